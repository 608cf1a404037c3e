//! The expected replies, and the check of what came, byte by byte and however it is cut into pieces.

use super::{LoadError, http};

/// The most bytes of a line that is checked as a whole.
const MAX_LINE: usize = 256;

/// The next reply, or replies.
pub(super) enum Expect {
    /// These bytes.
    Exactly { bytes: Vec<u8>, replies: u32 },
    /// One of two lines. A later [`Expect::Consequence`] depends on which it was.
    Attempt { yes: Vec<u8>, no: Vec<u8> },
    /// `yes` if the last attempt heard `yes`, else `no`.
    Consequence { yes: Vec<u8>, no: Vec<u8> },
    /// A number from 1 to `most`, followed by `rest`.
    Counted { most: u32, rest: Vec<u8> },
    /// An HTTP response with status 200, and with `part` in its body.
    Response { part: Vec<u8> },
}

/// How far a connection has come in the replies of a turn.
#[derive(Default)]
pub(super) struct Ear {
    /// The index of the turn's next expectation.
    next: usize,
    /// How many bytes of it have come, if it is [`Expect::Exactly`].
    matched: usize,
    /// The bytes of it that have come, if it is anything else.
    partial: Vec<u8>,
    /// Whether the last attempt succeeded.
    has_won: bool,
}

/// The result of a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// Replies that are complete now.
    pub(super) replies: u32,
    /// Whether nothing more is owed.
    pub(super) is_all: bool,
}

impl Ear {
    pub(super) fn new() -> Self {
        // There is room from the start. So nothing allocates in a run, except the first HTTP response.
        Self { partial: Vec::with_capacity(MAX_LINE), ..Self::default() }
    }

    /// Begins anew with the first expectation of a turn.
    pub(super) fn begin(&mut self) {
        debug_assert!(self.partial.is_empty() && self.matched == 0, "a turn begins after the last one's end");
        self.next = 0;
    }

    /// Checks what came. Anything that is not expected is an error, even behind the last reply.
    pub(super) fn hear(&mut self, expected: &[Expect], mut bytes: &[u8]) -> Result<Heard, LoadError> {
        let mut replies = 0;
        while !bytes.is_empty() {
            let Some(expect) = expected.get(self.next) else { return Err(wrong(b"nothing", bytes)) };
            if let Expect::Exactly { bytes: all, replies: count } = expect {
                let owed = &all[self.matched..];
                let length = owed.len().min(bytes.len());
                let (now, later) = bytes.split_at(length);
                if now != &owed[..length] {
                    return Err(difference(owed, now));
                }
                bytes = later;
                replies += if length == all.len() { *count } else { lines(now) };
                self.matched += length;
                if length == owed.len() {
                    self.advance();
                }
                continue;
            }
            let (is_whole, later) = self.gather(expect, bytes)?;
            bytes = later;
            if is_whole {
                self.check(expect)?;
                self.partial.clear();
                self.advance();
                replies += 1;
            }
        }
        Ok(Heard { replies, is_all: self.next == expected.len() })
    }

    /// Adds bytes to a reply that is checked as a whole. Returns whether all of it is there now, and the bytes behind
    /// it.
    fn gather<'b>(&mut self, expect: &Expect, bytes: &'b [u8]) -> Result<(bool, &'b [u8]), LoadError> {
        if let Expect::Response { .. } = expect {
            let before = self.partial.len();
            self.partial.extend_from_slice(bytes);
            let Some(length) = http::length(&self.partial)? else { return Ok((false, &[])) };
            let is_whole = length <= self.partial.len();
            self.partial.truncate(length);
            return Ok((is_whole, bytes.get(length - before..).unwrap_or_default()));
        }
        let end = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let (line, later) = bytes.split_at(end.unwrap_or(bytes.len()));
        if self.partial.len() + line.len() > MAX_LINE {
            return Err(wrong(b"a shorter line", line));
        }
        self.partial.extend_from_slice(line);
        Ok((end.is_some(), later))
    }

    fn advance(&mut self) {
        self.next += 1;
        self.matched = 0;
    }

    /// Checks a whole line, or a whole response.
    fn check(&mut self, expect: &Expect) -> Result<(), LoadError> {
        let line = self.partial.as_slice();
        match expect {
            Expect::Exactly { .. } => unreachable!("bytes are compared as they come"),
            Expect::Response { part } => http::check(line, part)?,
            Expect::Attempt { yes, no } => {
                self.has_won = line == yes;
                if !self.has_won && line != no {
                    return Err(wrong(yes, line));
                }
            }
            Expect::Consequence { yes, no } => {
                let expected = if self.has_won { yes } else { no };
                if line != expected {
                    return Err(wrong(expected, line));
                }
            }
            Expect::Counted { most, rest } => {
                let number = line.strip_suffix(rest.as_slice()).and_then(decimal);
                if !number.is_some_and(|number| (1..=*most).contains(&number)) {
                    return Err(wrong(rest, line));
                }
            }
        }
        Ok(())
    }
}

fn decimal(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn lines(bytes: &[u8]) -> u32 {
    bytes.iter().map(|&byte| u32::from(byte == b'\n')).sum()
}

/// Shows the first line that differs, not the thousand before it.
pub(super) fn difference(expected: &[u8], heard: &[u8]) -> LoadError {
    let same = expected.iter().zip(heard).take_while(|(one, other)| one == other).count();
    let start = heard[..same].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    wrong(&expected[start..], &heard[start..])
}

pub(super) fn wrong(expected: &[u8], heard: &[u8]) -> LoadError {
    let first_line = |bytes: &[u8]| {
        let end = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
        String::from_utf8_lossy(&bytes[..end.min(MAX_LINE)]).into_owned()
    };
    LoadError::Wrong { expected: first_line(expected), heard: first_line(heard) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fight() -> Vec<Expect> {
        let line = |text: &str| text.as_bytes().to_vec();
        vec![
            Expect::Attempt { yes: line("1 got\n"), no: line("0 not\n") },
            Expect::Consequence { yes: line("1 released\n"), no: line("0 not held\n") },
            Expect::Exactly { bytes: line("a\nb\n"), replies: 2 },
            Expect::Counted { most: 50, rest: line(" shares\n") },
        ]
    }

    /// Goal: right replies pass however they are cut, and each is counted once.
    #[test]
    fn every_cut_hears_the_same() {
        for text in ["1 got\n1 released\na\nb\n7 shares\n", "0 not\n0 not held\na\nb\n50 shares\n"] {
            for at in 0..=text.len() {
                let (expected, mut ear) = (fight(), Ear::new());
                ear.begin();
                let (first, second) = text.as_bytes().split_at(at);
                let first = ear.hear(&expected, first).expect("the start is right");
                let second = ear.hear(&expected, second).expect("the rest is right");
                assert_eq!(first.replies + second.replies, 5, "{text:?} cut at {at}");
                assert!(second.is_all, "{text:?} cut at {at}");
            }
        }
    }

    /// Goal: a response is one reply however it is cut, and bytes behind it are not part of it.
    #[test]
    fn every_cut_of_responses_hears_the_same() {
        let response = |part: &str| Expect::Response { part: part.as_bytes().to_vec() };
        let expected = [response("yes"), response("no")];
        let text =
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nyes!HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nno";
        for at in 0..=text.len() {
            let mut ear = Ear::new();
            let (first, second) = text.as_bytes().split_at(at);
            let first = ear.hear(&expected, first).expect("the start is right");
            let second = ear.hear(&expected, second).expect("the rest is right");
            assert_eq!(first.replies + second.replies, 2, "cut at {at}");
            assert!(second.is_all, "cut at {at}");
        }
        assert!(Ear::new().hear(&expected[..1], text.as_bytes()).is_err(), "one too many");
        assert!(Ear::new().hear(&expected[1..], text.as_bytes()).is_err(), "the wrong one");
    }

    /// Goal: any changed or added byte is found.
    #[test]
    fn every_wrong_byte_is_found() {
        let right = b"1 got\n1 released\na\nb\n7 shares\n";
        for at in 0..right.len() {
            let mut text = *right;
            text[at] ^= 0x40;
            let mut ear = Ear::new();
            let heard = ear.hear(&fight(), &text);
            assert!(heard.is_err() || !heard.is_ok_and(|heard| heard.is_all), "a wrong byte at {at}");
        }
        let mut ear = Ear::new();
        assert!(ear.hear(&fight(), b"1 got\n1 released\na\nb\n7 shares\nx").is_err());
        let mixed: [&[u8]; 4] = [
            b"1 got\n0 not held\n",
            b"0 not\n1 released\n",
            b"1 got\n1 released\na\nb\n51 shares\n",
            b"2 got\n",
        ];
        for text in mixed {
            assert!(Ear::new().hear(&fight(), text).is_err(), "{text:?}");
        }
    }
}
