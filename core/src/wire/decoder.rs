//! Bytes to commands. However the bytes are cut into pieces, the commands are the same.

use super::request::{Command, parse};
use crate::types::Kind;
use std::borrow::Cow;

/// Finds lines in a stream of bytes and parses them. Between pieces it keeps only the start of a line whose end has not
/// come yet.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Bytes a line may have, not counting its `\n`. In 32 bits, because every connection has a decoder.
    max_line_bytes: u32,
    /// The start of a line, without its end.
    partial: Vec<u8>,
    /// Whether the current line exceeds the limit. Then it has been reported, and the rest of it is dropped.
    dropping: bool,
}

impl Decoder {
    /// A decoder at the start of a stream. No limit is above 4 GiB.
    #[must_use]
    pub fn new(max_line_bytes: usize) -> Self {
        let max_line_bytes = u32::try_from(max_line_bytes).unwrap_or(u32::MAX);
        Self { max_line_bytes, partial: Vec::new(), dropping: false }
    }

    /// Returns the next command in `input`, and advances `input` past it. `None` if all of `input` is used up.
    ///
    /// Blank lines are skipped. A line without its `\n` waits for more input. If none comes, it is never run. A line
    /// over the limit gives one [`Command::LineTooLong`], as soon as it exceeds the limit, and is dropped up to its
    /// end.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Command<Cow<'a, [u8]>>> {
        self.give_next(input, |command| command)
    }

    /// Like `next`, but calls `take` with the command at the place where it is made, so that it need not be moved.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "handing a command on takes as long as making it")]
    pub fn give_next<'a, R>(
        &mut self,
        input: &mut &'a [u8],
        take: impl FnOnce(Command<Cow<'a, [u8]>>) -> R,
    ) -> Option<R> {
        if input.is_empty() {
            return None;
        }
        if self.partial.is_empty()
            && !self.dropping
            && let Some((verb, name)) = plain_line(input, self.max_line_bytes as usize)
        {
            let name = Cow::Borrowed(name);
            // Once in each arm: there the compiler knows what the command is.
            return Some(match verb {
                PlainVerb::Get => take(Command::get(Kind::Exclusive, name)),
                PlainVerb::SharedGet => take(Command::get(Kind::Shared, name)),
                PlainVerb::Release => take(Command::Release(Kind::Exclusive, name)),
                PlainVerb::SharedRelease => take(Command::Release(Kind::Shared, name)),
            });
        }
        self.next_of_any(input).map(take)
    }

    fn next_of_any<'a>(&mut self, input: &mut &'a [u8]) -> Option<Command<Cow<'a, [u8]>>> {
        loop {
            let (line, ended) = match memchr::memchr(b'\n', input) {
                Some(at) => (&input[..at], true),
                None if input.is_empty() => return None,
                None => (*input, false),
            };
            *input = &input[line.len() + usize::from(ended)..];
            if self.dropping {
                self.dropping = !ended;
            } else if self.partial.len() + line.len() > self.max_line_bytes as usize {
                self.partial = Vec::new();
                self.dropping = !ended && !bug!(LongLineReportedAgain);
                mark!(LineWasTooLong);
                return Some(Command::LineTooLong);
            } else if !ended {
                self.partial.extend_from_slice(line);
            } else if self.partial.is_empty() {
                if let Some(command) = parse(line) {
                    return Some(command);
                }
            } else {
                let mut joined = std::mem::take(&mut self.partial);
                joined.extend_from_slice(line);
                mark!(LineCameInPieces);
                if let Some(command) = parse(&joined) {
                    return Some(command.map(|text| Cow::Owned(text.into_owned())));
                }
            }
        }
    }
}

/// The verbs of nearly all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainVerb {
    Get,
    SharedGet,
    Release,
    SharedRelease,
}

/// Reads the first line in `input` and advances past it, if the line is plain: a verb that gets or releases, a space, a
/// name without white space, and the end. Nearly all lines are plain. The result is that of [`parse`], in less time.
#[inline(always)]
#[expect(clippy::inline_always, reason = "handing a command on takes as long as making it")]
fn plain_line<'a>(input: &mut &'a [u8], max_line_bytes: usize) -> Option<(PlainVerb, &'a [u8])> {
    let (verb, rest) = match *input {
        [b'g', b' ', rest @ ..] => (PlainVerb::Get, rest),
        [b'r', b' ', rest @ ..] => (PlainVerb::Release, rest),
        [b's', b'g', b' ', rest @ ..] => (PlainVerb::SharedGet, rest),
        [b's', b'r', b' ', rest @ ..] => (PlainVerb::SharedRelease, rest),
        _ => return None,
    };
    let (name, end) = rest.split_at(up_to_space(rest));
    let ([b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..]) = end else { return None };
    if input.len() - rest.len() - 1 > max_line_bytes {
        return None;
    }
    *input = rest;
    Some((verb, name))
}

/// The number of bytes before the first one that may be white space, which is a space or a lower byte.
#[inline]
fn up_to_space(bytes: &[u8]) -> usize {
    /// The highest bit of each byte of a word, and the lowest.
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const LOW: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The subtraction sets the highest bit of each byte below 0x21. By its borrow it may set that of bytes above it
        // too, but never that of bytes below. So the lowest bit found is right.
        let found = word.wrapping_sub(LOW * 0x21) & !word & HIGH;
        if found != 0 {
            return number * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let tail = rest.iter().position(|byte| *byte <= b' ').unwrap_or(rest.len());
    bytes.len() - rest.len() + tail
}

#[cfg(test)]
mod tests {
    use super::super::wish::Wish;
    use super::*;
    use quickcheck::quickcheck;

    fn decode(max_line_bytes: usize, pieces: &[&[u8]]) -> Vec<Command<Vec<u8>>> {
        let mut decoder = Decoder::new(max_line_bytes);
        let mut commands = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(command) = decoder.next(&mut input) {
                commands.push(command.map(Cow::into_owned));
            }
            assert!(input.is_empty(), "a piece is used up before the next one comes");
        }
        commands
    }

    /// A plain line, read by the way that only plain lines take. `None` for other lines.
    fn plain_command<'a>(input: &mut &'a [u8], max_line_bytes: usize) -> Option<Command<Cow<'a, [u8]>>> {
        let mut shorter = *input;
        plain_line(&mut shorter, max_line_bytes)?;
        Decoder::new(max_line_bytes).give_next(input, |command| command)
    }

    fn get(name: &str) -> Command<Vec<u8>> {
        Command::Get(Wish::at_once(Kind::Exclusive, name.into()))
    }

    const SAMPLE: &[u8] =
        b" g  foo\r\nsg  two  words\t here \n\n \t\x0b\x0c\r\nr\x00x\nxx y\ng \xff\xfe\x00\n\
        0123456789012345678901234567890123456789\nq full\ndump shared\ni cut off";

    #[test]
    fn the_sample_means_what_it_should() {
        let expected = vec![
            get("foo"),
            Command::Get(Wish::at_once(Kind::Shared, b"two words here".to_vec())),
            Command::Unknown(b"r\x00x".to_vec()),
            Command::Unknown(b"xx".to_vec()),
            Command::Get(Wish::at_once(Kind::Exclusive, b"\xff\xfe\x00".to_vec())),
            Command::LineTooLong,
            Command::Query { full: true },
            Command::Dump(Kind::Shared),
        ];
        assert_eq!(decode(30, &[SAMPLE]), expected);
    }

    #[test]
    fn split_at_every_byte_the_sample_means_the_same() {
        let whole = decode(30, &[SAMPLE]);
        for at in 0..=SAMPLE.len() {
            let (first, second) = SAMPLE.split_at(at);
            assert_eq!(decode(30, &[first, second]), whole, "split at {at}");
        }
        let bytes: Vec<_> = SAMPLE.chunks(1).collect();
        assert_eq!(decode(30, &bytes), whole, "one byte at a time");
    }

    #[test]
    fn the_first_byte_that_may_be_white_space_is_found_wherever_it_is() {
        for byte in 0..=u8::MAX {
            for len in 0..36 {
                for at in 0..len {
                    for other in [b'!', 0x7F, 0x80, 0xA0, 0xFF] {
                        let mut bytes = vec![other; len];
                        bytes[at] = byte;
                        let expected = if byte <= b' ' { at } else { len };
                        assert_eq!(up_to_space(&bytes), expected, "{byte:#x} at {at} of {len} {other:#x}");
                        // White space behind it changes nothing.
                        bytes[at + 1..].fill(b'\n');
                        let expected = if byte <= b' ' { at } else { at + 1 };
                        assert_eq!(
                            up_to_space(&bytes),
                            expected,
                            "{byte:#x} at {at} of {len}, then line ends"
                        );
                    }
                }
            }
        }
    }

    quickcheck! {
        /// Goal: a plain line means what `parse` says. Method: random lines from an alphabet of what matters, each read
        /// by both.
        fn a_plain_line_is_no_other(verb: u8, bytes: Vec<u8>, returns: bool) -> bool {
            let verb = ["g ", "r ", "sg ", "sr ", "g", "r", "i ", " g "][usize::from(verb % 8)];
            let alphabet = b"abc\xff\x80!\x00 \t\r";
            let name = bytes.iter().map(|byte| alphabet[usize::from(*byte) % alphabet.len()]);
            let mut line: Vec<u8> = verb.bytes().chain(name).collect();
            if returns {
                line.push(b'\r');
            }
            let expected = parse(&line);
            let input = [&line, &b"\ng next\n"[..]].concat();
            let (mut rest, mut whole) = (&input[..], &input[..]);
            match plain_command(&mut rest, line.len()) {
                None => rest == input,
                command => {
                    command == expected && rest == b"g next\n" && plain_line(&mut whole, line.len() - 1).is_none()
                }
            }
        }

        /// Goal: commands do not depend on how bytes are cut into pieces. Method: random bytes from an alphabet of what
        /// matters to the decoder, cut at random, against the same bytes in one piece.
        fn any_bytes_in_any_pieces_mean_the_same(bytes: Vec<u8>, cuts: Vec<u8>) -> bool {
            let alphabet = b"gsriqd \t\r\n\n\x0b\x00\xffabc";
            let bytes: Vec<u8> = bytes.iter().map(|b| alphabet[usize::from(*b) % alphabet.len()]).collect();
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, more) = rest.split_at(usize::from(cut % 16).min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            pieces.push(rest);
            decode(12, &pieces) == decode(12, &[&bytes])
        }
    }

    #[test]
    fn what_nearly_all_lines_are_is_plain() {
        for line in ["g a\n", "r a\r\n", "sg \n", "sr 0123456789abcdef\n"] {
            let mut input = line.as_bytes();
            let command = plain_command(&mut input, 100);
            assert!(command.is_some(), "{line:?}");
            assert_eq!((command, input), (parse(line.as_bytes()), &[][..]), "{line:?}");
        }
        for line in ["", "g", "g a", "g a\r", "g a b\n", "g  a\n", "g a \n", "i a\n", "gw 1 a\n", "s a\n"] {
            assert_eq!(plain_line(&mut line.as_bytes(), 100), None, "{line:?}");
        }
    }

    #[test]
    fn the_line_limit_is_met_exactly() {
        let fits = b"g 34567890\n";
        assert_eq!(decode(10, &[fits]), [get("34567890")]);
        assert_eq!(decode(9, &[fits]), [Command::LineTooLong]);
        let long_then_good = b"g 34567890123\ng a\n";
        assert_eq!(decode(10, &[long_then_good]), [Command::LineTooLong, get("a")]);
        assert_eq!(decode(10, &[b"0123456789", b"0"]), [Command::LineTooLong], "told before its end comes");
        assert_eq!(decode(10, &[b"0123456789", b"0", b"123\ng a\n"]), [Command::LineTooLong, get("a")]);
    }

    #[test]
    fn a_dropped_line_takes_no_memory() {
        let mut decoder = Decoder::new(100);
        for _ in 0..1000 {
            let mut input: &[u8] = &[b'x'; 10_000];
            while decoder.next(&mut input).is_some() {}
            assert!(decoder.partial.capacity() <= 100);
        }
    }
}
