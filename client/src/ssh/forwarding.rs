//! A port here, and where it leads at the other side: `[bind:]port:host:port`, as `ssh -L` has it.

use std::fmt;
use std::str::FromStr;

/// Where a tunnel begins if nothing is said: on this machine alone.
const BIND: &str = "127.0.0.1";

/// A port here that leads to a port at the other side of an SSH server.
///
/// ```
/// use elockd_client::ssh::Forwarding;
///
/// let forwarding: Forwarding = "9999:locks.internal:9999".parse()?;
/// assert_eq!(forwarding.to_string(), "127.0.0.1:9999:locks.internal:9999");
/// # Ok::<(), elockd_client::ssh::ParseForwardingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    pub(crate) bind: String,
    pub(crate) port: u16,
    pub(crate) host: String,
    pub(crate) host_port: u16,
}

/// A text is no forwarding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no forwarding: {reason}; write [BIND:]PORT:HOST:PORT, with brackets around IPv6 addresses"
)]
pub struct ParseForwardingError {
    text: String,
    reason: &'static str,
}

impl FromStr for Forwarding {
    type Err = ParseForwardingError;

    fn from_str(text: &str) -> Result<Self, ParseForwardingError> {
        read(text).map_err(|reason| ParseForwardingError { text: text.to_owned(), reason })
    }
}

fn read(text: &str) -> Result<Forwarding, &'static str> {
    let words = words(text)?;
    let (bind, [port, host, host_port]) = match &words[..] {
        [port, host, host_port] => (BIND, [port, host, host_port]),
        [bind, port, host, host_port] => (bind.as_str(), [port, host, host_port]),
        _ => return Err("it has three or four parts with colons between them"),
    };
    for word in [bind, host] {
        if word.is_empty() || word.starts_with('-') || word.chars().any(|c| c.is_whitespace() || c == '/') {
            return Err("a host is missing, or is none");
        }
    }
    let (port, host_port) = (crate::server::port(port)?, crate::server::port(host_port)?);
    Ok(Forwarding { bind: bind.to_owned(), port, host: host.clone(), host_port })
}

/// The parts between colons. Within brackets a colon is none.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = vec![String::new()];
    let mut is_within = false;
    for char in text.chars() {
        match char {
            '[' if !is_within => is_within = true,
            ']' if is_within => is_within = false,
            ':' if !is_within => words.push(String::new()),
            char => words.last_mut().expect("there is one from the beginning").push(char),
        }
    }
    if is_within { Err("`]` is missing") } else { Ok(words) }
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bind, port, host, host_port } = self;
        let bracketed = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        write!(f, "{}:{port}:{}:{host_port}", bracketed(bind), bracketed(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwardings_are_read_as_they_are_shown() {
        for (text, shown) in [
            ("1:h:2", "127.0.0.1:1:h:2"),
            ("*:1:h:2", "*:1:h:2"),
            ("localhost:65535:[::1]:9999", "localhost:65535:[::1]:9999"),
            ("[::1]:1:h:2", "[::1]:1:h:2"),
        ] {
            let forwarding: Forwarding = text.parse().unwrap();
            assert_eq!(forwarding.to_string(), shown);
            assert_eq!(shown.parse(), Ok(forwarding));
        }
    }

    #[test]
    fn what_is_no_forwarding_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "three or four"),
            ("1", "three or four"),
            ("1:h", "three or four"),
            ("a:1:h:2:3", "three or four"),
            ("::1:1:h:2", "three or four"),
            ("0:h:2", "port must be"),
            ("1:h:65536", "port must be"),
            ("1:h:x", "port must be"),
            ("1::2", "missing"),
            ("1:-oX:2", "missing"),
            (":1:h:2", "missing"),
            ("1:/run/x:2", "missing"),
            ("[::1:1:h:2", "`]`"),
        ] {
            let error = text.parse::<Forwarding>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
