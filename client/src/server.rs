//! Where a daemon listens, as people write it.

#[cfg(feature = "ssh")]
use crate::ssh::{BehindSsh, Ssh};
#[cfg(feature = "tls")]
use crate::tls::{TlsOptions, TlsServer};
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The port of elockd if none is given.
pub const DEFAULT_PORT: u16 = 9999;

/// The address of a daemon.
///
/// ```
/// use elockd_client::Server;
///
/// assert_eq!("locks.example:9999".parse(), Ok(Server::Tcp { host: "locks.example".into(), port: 9999 }));
/// assert_eq!("[::1]".parse(), Ok(Server::Tcp { host: "::1".into(), port: 9999 }));
/// assert_eq!("unix:/run/elockd.sock".parse(), Ok(Server::Unix("/run/elockd.sock".into())));
/// assert_eq!(Server::default().to_string(), "127.0.0.1:9999");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// A name or an IP address, and a port.
    Tcp {
        /// The name or the address. An IPv6 address has no brackets here.
        host: String,
        /// The port.
        port: u16,
    },
    /// A daemon that speaks TLS.
    #[cfg(feature = "tls")]
    Tls(Box<TlsServer>),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// Behind an SSH host.
    #[cfg(feature = "ssh")]
    Ssh(Box<BehindSsh>),
}

#[cfg(feature = "ssh")]
impl Server {
    /// The same address, as seen from an SSH host: connections to it are made there.
    #[must_use]
    pub fn via_ssh(self, ssh: &Ssh) -> Self {
        Self::Ssh(Box::new(BehindSsh::new(ssh, self)))
    }
}

impl Server {
    /// How long an attempt to connect may take, if the caller has a limit. A login by SSH has a limit of its own,
    /// because somebody may have to type a password.
    #[must_use]
    pub fn connect_limit(&self, limit: Duration) -> Duration {
        match self {
            #[cfg(feature = "ssh")]
            Self::Ssh(_) => Duration::MAX,
            _ => limit,
        }
    }
}

#[cfg(feature = "tls")]
impl Server {
    /// The same address, with these options if it speaks TLS.
    #[must_use]
    pub fn with_tls(self, options: &TlsOptions) -> Self {
        match self {
            Self::Tls(server) => Self::Tls(Box::new(TlsServer { options: options.clone(), ..*server })),
            server => server,
        }
    }
}

impl Default for Server {
    /// Where elockd listens if it is told nothing: `127.0.0.1:9999`.
    fn default() -> Self {
        Self::Tcp { host: "127.0.0.1".to_owned(), port: DEFAULT_PORT }
    }
}

/// A text is no address of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of a daemon: {reason}")]
pub struct ParseServerError {
    text: String,
    reason: &'static str,
}

impl FromStr for Server {
    type Err = ParseServerError;

    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT`, any of these behind `tls://`, `unix:/PATH` or `/PATH`.
    fn from_str(text: &str) -> Result<Self, ParseServerError> {
        read(text).map_err(|reason| ParseServerError { text: text.to_owned(), reason })
    }
}

fn read(text: &str) -> Result<Server, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() {
            Err("there is no path behind `unix:`")
        } else {
            Ok(Server::Unix(path.into()))
        };
    }
    if text.starts_with('/') {
        return Ok(Server::Unix(text.into()));
    }
    if let Some(text) = text.strip_prefix("tls://") {
        return tls(text);
    }
    let (host, port) = host_and_port(text)?;
    Ok(Server::Tcp { host, port })
}

#[cfg(feature = "tls")]
fn tls(text: &str) -> Result<Server, &'static str> {
    let (host, port) = host_and_port(text)?;
    Ok(Server::Tls(Box::new(TlsServer { host, port, options: TlsOptions::default() })))
}

#[cfg(not(feature = "tls"))]
fn tls(_text: &str) -> Result<Server, &'static str> {
    Err("this build does not speak TLS")
}

fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("`]` is missing")?;
            host.parse::<Ipv6Addr>().map_err(|_| "there is no IPv6 address between the brackets")?;
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':').ok_or("`:` and a port must follow `]`")?)),
            }
        }
        None if text.matches(':').count() > 1 => {
            return Err("an IPv6 address needs brackets, as in `[::1]:9999`");
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing");
    }
    if host.chars().any(|c| c.is_whitespace() || c == '/') {
        return Err("the host has a space or a `/`; the path of a Unix socket begins with `/` or `unix:`");
    }
    let port = port.map_or(Ok(DEFAULT_PORT), self::port)?;
    Ok((host.to_owned(), port))
}

/// Reads a port.
pub(crate) fn port(text: &str) -> Result<u16, &'static str> {
    // `u16` would read `+1`.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_number && *port > 0);
    port.ok_or("the port must be 1 to 65535")
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            #[cfg(feature = "tls")]
            Self::Tls(server) => server.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            #[cfg(feature = "ssh")]
            Self::Ssh(behind) => behind.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Server {
        Server::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for (text, server, shown) in [
            ("127.0.0.1:1", tcp("127.0.0.1", 1), "127.0.0.1:1"),
            ("locks", tcp("locks", 9999), "locks:9999"),
            ("[fe80::1]:65535", tcp("fe80::1", 65535), "[fe80::1]:65535"),
            ("[::]", tcp("::", 9999), "[::]:9999"),
            ("/run/a b", Server::Unix("/run/a b".into()), "unix:/run/a b"),
            ("unix:here", Server::Unix("here".into()), "unix:here"),
        ] {
            assert_eq!(text.parse(), Ok(server.clone()));
            assert_eq!(server.to_string(), shown);
            assert_eq!(shown.parse(), Ok(server));
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn addresses_with_tls_are_read_as_they_are_shown() {
        for (text, host, port, shown) in [
            ("tls://locks.example:9998", "locks.example", 9998, "tls://locks.example:9998"),
            ("tls://[::1]", "::1", 9999, "tls://[::1]:9999"),
        ] {
            let options = TlsOptions::default();
            let server = Server::Tls(Box::new(TlsServer { host: host.to_owned(), port, options }));
            assert_eq!(text.parse(), Ok(server.clone()));
            assert_eq!(server.to_string(), shown);
            assert_eq!(shown.parse(), Ok(server));
        }
        for wrong in ["tls://", "tls://a:0", "tls://unix:/a", "tls:///a"] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "host is missing"),
            (":1", "host is missing"),
            ("a:", "port must be"),
            ("a:0", "port must be"),
            ("a:+1", "port must be"),
            ("a:65536", "port must be"),
            ("::1", "brackets"),
            ("[::1", "`]`"),
            ("[::1]1", "must follow"),
            ("[a]:1", "no IPv6 address"),
            ("a/b", "`/`"),
            ("unix:", "no path"),
        ] {
            let error = text.parse::<Server>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
