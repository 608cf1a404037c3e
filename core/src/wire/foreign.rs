//! Other protocols. A peer that plainly speaks another protocol must not run a line of it as a request: a web page can
//! have a browser send any lines that it likes behind a header. The beginning of a connection decides.
//!
//! Only what no client of ours could mean is foreign. Verbs have small letters, so each of these beginnings would be
//! unknown as a request.

/// Another protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Foreign {
    /// A line that begins an HTTP request.
    Http,
    /// The header of a TLS record with a handshake.
    Tls,
    /// The banner of an SSH client.
    Ssh,
    /// A header of the PROXY protocol, version 1 or 2.
    Proxy,
}

impl Foreign {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Http, Self::Tls, Self::Ssh, Self::Proxy];

    /// The protocol's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::Ssh => "SSH",
            Self::Proxy => "PROXY",
        }
    }

    /// Appends the line that the peer is told before its connection is closed.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"0 Wrong Protocol: ");
        out.extend_from_slice(self.word().as_bytes());
        out.push(b'\n');
    }
}

/// What the beginning of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Requests, or what is to be treated as such.
    Ours,
    /// Another protocol.
    Foreign(Foreign),
    /// Nothing yet. No request is complete in it.
    Open,
}

/// Protocols that are known by their first bytes. Of the header of PROXY version 2, five bytes are enough: it has two
/// blank lines and a NUL.
const STARTS: [(&[u8], Foreign); 4] = [
    (b"\x16\x03", Foreign::Tls),
    (b"SSH-", Foreign::Ssh),
    (b"PROXY ", Foreign::Proxy),
    (b"\r\n\r\n\x00", Foreign::Proxy),
];

/// The methods of HTTP, and the first line of its version 2.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"OPTIONS ",
    b"PUT ",
    b"DELETE ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI ",
];

impl Beginning {
    /// Judges all bytes that a connection has sent so far. A line may have `max_line_bytes`. Once it is not
    /// [`Open`](Self::Open), more bytes do not change it.
    #[must_use]
    pub fn of(bytes: &[u8], max_line_bytes: usize) -> Self {
        for (start, foreign) in STARTS {
            if bytes.starts_with(start) {
                return Self::Foreign(foreign);
            }
            if start.starts_with(bytes) {
                return Self::Open;
            }
        }
        // A method of HTTP is a word. All that browsers send without asking first are in capitals.
        let word = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let Some(behind) = bytes.get(word) else {
            return if word <= max_line_bytes { Self::Open } else { Self::Ours };
        };
        if word == 0 || *behind != b' ' {
            return Self::Ours;
        }
        let is_method = METHODS.iter().any(|method| bytes.starts_with(method));
        let line = memchr::memchr(b'\n', bytes);
        match line {
            Some(end) if end <= max_line_bytes => {
                if has_version(&bytes[..end]) {
                    Self::Foreign(Foreign::Http)
                } else {
                    Self::Ours
                }
            }
            None if bytes.len() <= max_line_bytes => Self::Open,
            _ if is_method => Self::Foreign(Foreign::Http),
            _ => Self::Ours,
        }
    }
}

/// Whether a line ends with a version of HTTP.
fn has_version(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let Some((version, before)) = line.split_last_chunk::<9>().map(|(before, version)| (version, before))
    else {
        return false;
    };
    let [name @ .., major, b'.', minor] = version else { return false };
    name == b" HTTP/" && major.is_ascii_digit() && minor.is_ascii_digit() && !before.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Verb, parse};
    use super::*;
    use quickcheck::quickcheck;

    const MAX: usize = 40;

    fn of(bytes: &[u8]) -> Beginning {
        Beginning::of(bytes, MAX)
    }

    #[test]
    fn other_protocols_are_known_by_how_they_begin() {
        let http: &[&[u8]] = &[
            b"GET / HTTP/1.1\r\n",
            b"POST /a b HTTP/1.0\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
            b"ANYTHING /x HTTP/1.1\r\ng a\n",
            b"GET /a-path-that-is-longer-than-a-line-may-be HTTP/1.1\r\n",
            b"GET /a-path-that-is-longer-than-a-line-may-b",
        ];
        for bytes in http {
            assert_eq!(of(bytes), Beginning::Foreign(Foreign::Http), "{bytes:?}");
        }
        for (bytes, foreign) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], Foreign::Tls),
            (b"SSH-2.0-OpenSSH_10\r\n", Foreign::Ssh),
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 3 4\r\n", Foreign::Proxy),
            (b"PROXY UNKNOWN\r\n", Foreign::Proxy),
            (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11", Foreign::Proxy),
        ] {
            assert_eq!(of(bytes), Beginning::Foreign(foreign), "{bytes:?}");
        }
    }

    #[test]
    fn what_could_be_meant_for_us_is_ours() {
        let ours: &[&[u8]] = &[
            b"g et HTTP/1.1\r\n",
            b"g x\n",
            b"get / HTTP/1.1\r\n",
            b"GET\n",
            b"GET /\r\n",
            b"GET / HTTP/1.1x\n",
            b"GET / HTTP/11\n",
            b"GET /HTTP/1.1\n",
            b"G\x00 / HTTP/1.1\n",
            b"\x16g\n",
            b"SSH\n",
            b"PROXY\n",
            b"PROXYx\n",
            b"\r\n\r\ng x\n",
            b"\r\n\r\nGET / HTTP/1.1\r\n",
            b"ABC a-line-that-is-longer-than-a-line-may-be-but-no-method",
            b" GET / HTTP/1.1\r\n",
        ];
        for bytes in ours {
            assert_eq!(of(bytes), Beginning::Ours, "{bytes:?}");
        }
    }

    #[test]
    fn a_line_is_too_long_at_the_very_byte() {
        let long = [&b"GET "[..], &[b'/'; MAX - 4]].concat();
        assert_eq!(of(&long), Beginning::Open);
        assert_eq!(of(&[&long[..], b"/"].concat()), Beginning::Foreign(Foreign::Http));
        assert_eq!(of(&[&long[..], b"\n"].concat()), Beginning::Ours, "it has no version");
        assert_eq!(of(&[b'A'; MAX]), Beginning::Open);
        assert_eq!(of(&[b'A'; MAX + 1]), Beginning::Ours);
    }

    #[test]
    fn no_verb_is_foreign() {
        for verb in Verb::ALL {
            let line = format!("{} x HTTP/1.1\n", verb.word());
            assert_eq!(of(line.as_bytes()), Beginning::Ours, "{line}");
        }
    }

    fn runs(line: &[u8]) -> bool {
        parse(line).is_some_and(|command| !matches!(command, Command::Unknown(_)))
    }

    quickcheck! {
        /// Goal: the beginning means the same in any pieces, and while it is open nothing could have run. Method:
        /// random bytes of what matters, judged at each length.
        fn more_bytes_change_nothing_that_is_decided(bytes: Vec<u8>, known: u8) -> bool {
            let alphabet = b"GETP /HTTP/1.1\r\n\n\x00\x16\x03SH-ROXY gx";
            let known = [&b""[..], b"GET /", b"PROXY", b"SSH", b"\r\n\r\n", b"\x16"][usize::from(known % 6)];
            let random = bytes.iter().map(|byte| alphabet[usize::from(*byte) % alphabet.len()]);
            let bytes: Vec<u8> = known.iter().copied().chain(random).collect();
            let judged: Vec<_> = (0..=bytes.len()).map(|len| Beginning::of(&bytes[..len], 20)).collect();
            let decided = judged.iter().position(|beginning| *beginning != Beginning::Open);
            let open = decided.unwrap_or(judged.len());
            // What stands behind the last line end is no whole line.
            let mut lines: Vec<_> = bytes[..open.saturating_sub(1)].split(|byte| *byte == b'\n').collect();
            lines.pop();
            judged[open..].iter().all(|beginning| *beginning == judged[open])
                && !lines.into_iter().any(runs)
                && open <= 22
        }
    }
}
