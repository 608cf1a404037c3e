//! Where an SSH server is, and as whom one comes there.

use std::fmt;
use std::str::FromStr;

/// A host that takes SSH: `[user@]host[:port]`.
///
/// What is not given is up to the way: the program of OpenSSH looks into its configuration. In this process it is the
/// user of this process, and port 22.
///
/// ```
/// use elockd_client::ssh::Destination;
///
/// let destination: Destination = "alice@gateway.example:2222".parse()?;
/// assert_eq!(destination.user(), Some("alice"));
/// assert_eq!(destination.host(), "gateway.example");
/// assert_eq!(destination.port(), Some(2222));
/// # Ok::<(), elockd_client::ssh::ParseDestinationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Destination {
    /// The user, if one is given.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host. An IPv6 address has no brackets here.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is given.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// A text is no destination for SSH.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no destination for SSH: {reason}; write [USER@]HOST[:PORT]")]
pub struct ParseDestinationError {
    text: String,
    reason: &'static str,
}

impl FromStr for Destination {
    type Err = ParseDestinationError;

    fn from_str(text: &str) -> Result<Self, ParseDestinationError> {
        read(text).map_err(|reason| ParseDestinationError { text: text.to_owned(), reason })
    }
}

fn read(text: &str) -> Result<Destination, &'static str> {
    // A user may have an `@`, a host has none.
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    };
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => match rest.split_once(']').ok_or("`]` is missing")? {
            (host, "") => (host, None),
            (host, rest) => (host, Some(rest.strip_prefix(':').ok_or("`:` and a port must follow `]`")?)),
        },
        None if rest.matches(':').count() > 1 => return Err("an IPv6 address needs brackets"),
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let port = port.map(crate::server::port).transpose()?;
    // The program of OpenSSH would take them for options, and its configuration may hand them to a shell.
    for word in user.into_iter().chain([host]) {
        if word.is_empty() {
            return Err("the user or the host is missing");
        }
        if word.starts_with('-') {
            return Err("neither the user nor the host may begin with `-`");
        }
        if word.chars().any(|c| c.is_whitespace() || c.is_control() || "'\"`$\\;&<>|(){}/".contains(c)) {
            return Err("the user or the host has a character that a shell would obey");
        }
    }
    Ok(Destination { user: user.map(str::to_owned), host: host.to_owned(), port })
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None if self.host.contains(':') => write!(f, "[{}]", self.host),
            None => f.write_str(&self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_as_they_are_shown() {
        for (text, user, host, port) in [
            ("gateway", None, "gateway", None),
            ("alice@gateway", Some("alice"), "gateway", None),
            ("a@b@gateway:22", Some("a@b"), "gateway", Some(22)),
            ("[fe80::1%eth0]:2222", None, "fe80::1%eth0", Some(2222)),
            ("alice@[::1]", Some("alice"), "::1", None),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!((destination.user(), destination.host(), destination.port()), (user, host, port));
            assert_eq!(destination.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_destination_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "missing"),
            ("@gateway", "missing"),
            ("alice@", "missing"),
            (":22", "missing"),
            ("gateway:0", "port must be"),
            ("gateway:65536", "port must be"),
            ("gateway:ssh", "port must be"),
            ("::1", "brackets"),
            ("[::1", "`]`"),
            ("[::1]22", "must follow"),
            ("-oProxyCommand=x", "begin with `-`"),
            ("-l@gateway", "begin with `-`"),
            ("a b", "a shell would obey"),
            ("$(x)@gateway", "a shell would obey"),
            ("gateway\n", "a shell would obey"),
            ("ssh://gateway", "port must be"),
        ] {
            let error = text.parse::<Destination>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
