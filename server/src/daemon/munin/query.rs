//! One question to a running daemon, over the protocol that every client speaks.

use elockd_core::wire::read_figures;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// The numbers of `q full`, by key.
pub(super) type Figures = BTreeMap<String, u64>;

/// How long each step may take. munin-node gives up on slow plugins too.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any `q full` has.
const MOST_BYTES: u64 = 64 << 10;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Why there are no figures.
#[derive(Debug, Error)]
#[error("no figures from elockd at {address}: {source}")]
pub(super) struct QueryError {
    address: Address,
    source: io::Error,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => text.parse().map(Self::Tcp).map_err(|_| {
                "give IP:PORT, [IPv6]:PORT or unix:PATH; host names are not looked up".to_owned()
            }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Asks a daemon for its figures.
///
/// # Errors
///
/// If nobody answers there in time, or if the answer is not elockd's.
pub(super) fn ask(address: &Address) -> Result<Figures, QueryError> {
    let answer = match address {
        Address::Tcp(tcp) => TcpStream::connect_timeout(tcp, PATIENCE).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask_over(stream)
        }),
        Address::Unix(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            ask_over(stream)
        }),
    };
    answer.map_err(|source| QueryError { address: address.clone(), source })
}

fn ask_over(mut stream: impl Read + Write) -> io::Result<Figures> {
    stream.write_all(b"q full\n")?;
    let mut reader = BufReader::new(stream.take(MOST_BYTES));
    let mut answer = Vec::new();
    loop {
        let begun = answer.len();
        if reader.read_until(b'\n', &mut answer)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer has no end"));
        }
        let line = &answer[begun..];
        if line == b"\n" {
            return numbers(&answer);
        }
        // Checks the first line at once: a server that is not elockd may never send an empty line.
        numbers(&[line, b"\n"].concat())?;
    }
}

/// The numbers of an answer to `q full`. Words, such as the version, are left out.
fn numbers(answer: &[u8]) -> io::Result<Figures> {
    let figures = read_figures(answer).ok_or_else(|| {
        io::Error::other(format!("it answers \"{}\"", answer.trim_ascii_end().escape_ascii()))
    })?;
    let number = |(key, value): (&str, &str)| value.parse().ok().map(|number| (key.to_owned(), number));
    Ok(figures.into_iter().filter_map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that drops what is written, and gives its text to read.
    struct Fake(&'static [u8]);

    impl Read for Fake {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.read(into)
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn numbers_are_taken_and_words_are_not() {
        let figures = ask_over(Fake(b"locks: 7\nversion: 1.2.3\n\n")).unwrap();
        assert_eq!(figures, Figures::from([("locks".to_owned(), 7)]));
    }

    #[test]
    fn half_an_answer_is_none() {
        assert!(ask_over(Fake(b"locks: 7\n")).is_err());
        assert!(ask_over(Fake(b"0 Too Many Connections\n")).unwrap_err().to_string().contains("Too Many"));
    }

    #[test]
    fn addresses_are_ip_and_port_or_a_path() {
        assert_eq!("unix:/run/x".parse(), Ok(Address::Unix("/run/x".into())));
        assert_eq!("[::1]:9999".parse::<Address>().unwrap().to_string(), "[::1]:9999");
        for wrong in ["localhost:9999", "127.0.0.1", "unix:", ""] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
