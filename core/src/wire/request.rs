//! Requests: what each line means, once it is whole.

use crate::types::Kind;
use std::borrow::Cow;

use super::verb::Verb;

/// One request line, parsed. `N` is how the caller keeps names: borrowed or owned.
///
/// Names are as the codec makes them: without white space at the ends, each run of white space inside
/// folded to one space. The machine takes any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<N> {
    /// `g NAME`, `sg NAME`.
    Get(Kind, N),
    /// `gw MS NAME`.
    GetWait {
        /// How long to wait at most, in milliseconds; 0 does not wait.
        ms: u32,
        /// The lock.
        name: N,
    },
    /// `sgl LIMIT NAME`.
    SharedGetLimited {
        /// How many holders there may be, the asker included; 0 is no limit.
        limit: u32,
        /// The lock.
        name: N,
    },
    /// `sgw MS LIMIT NAME`.
    SharedGetWait {
        /// How long to wait at most, in milliseconds; 0 does not wait.
        ms: u32,
        /// How many holders there may be, the asker included; 0 is no limit.
        limit: u32,
        /// The lock.
        name: N,
    },
    /// `r NAME`, `sr NAME`.
    Release(Kind, N),
    /// `ra`.
    ReleaseAll,
    /// `f NAME`.
    Fence(N),
    /// `i NAME`, `si NAME`.
    Inspect(Kind, N),
    /// `d [NAME]`, `sd [NAME]`; all locks when the name is empty.
    List(Kind, N),
    /// `dump`, `dump shared`.
    Dump(Kind),
    /// `ls [PREFIX]`; every lock when the prefix is empty.
    ListAll(N),
    /// `kick ADDR`.
    Kick(N),
    /// `steal NAME`.
    Steal(N),
    /// `me`.
    Me,
    /// `iam NAME`; an empty name takes the registration back.
    Iam(N),
    /// `who [NAME]`; every registered connection when the name is empty.
    Who(N),
    /// `q`, `q full`.
    Query {
        /// Whether `full` was said.
        full: bool,
    },
    /// `ping`.
    Ping,
    /// `help`.
    Help,
    /// `quit`.
    Quit,
    /// A verb of ours, but where it takes a number there is none.
    BadArgument(Verb),
    /// No verb of ours: the verb.
    Unknown(N),
    /// A line over the limit. Its bytes are gone.
    LineTooLong,
}

impl<N> Command<N> {
    /// The verb it is counted under; `None` for an invalid line.
    pub const fn verb(&self) -> Option<Verb> {
        self.parts().0
    }

    /// The verb, and the name of a lock or of a connection, or the start of one; not the text of an unknown verb.
    #[inline]
    pub(crate) const fn parts(&self) -> (Option<Verb>, Option<&N>) {
        let (verb, name) = match self {
            Self::Get(Kind::Exclusive, name) => (Verb::Get, Some(name)),
            Self::Get(Kind::Shared, name) => (Verb::SharedGet, Some(name)),
            Self::GetWait { name, .. } => (Verb::GetWait, Some(name)),
            Self::SharedGetLimited { name, .. } => (Verb::SharedGetLimited, Some(name)),
            Self::SharedGetWait { name, .. } => (Verb::SharedGetWait, Some(name)),
            Self::Release(Kind::Exclusive, name) => (Verb::Release, Some(name)),
            Self::Release(Kind::Shared, name) => (Verb::SharedRelease, Some(name)),
            Self::ReleaseAll => (Verb::ReleaseAll, None),
            Self::Fence(name) => (Verb::Fence, Some(name)),
            Self::Inspect(Kind::Exclusive, name) => (Verb::Inspect, Some(name)),
            Self::Inspect(Kind::Shared, name) => (Verb::SharedInspect, Some(name)),
            Self::List(Kind::Exclusive, name) => (Verb::List, Some(name)),
            Self::List(Kind::Shared, name) => (Verb::SharedList, Some(name)),
            Self::Dump(_) => (Verb::Dump, None),
            Self::ListAll(prefix) => (Verb::ListAll, Some(prefix)),
            Self::Kick(addr) => (Verb::Kick, Some(addr)),
            Self::Steal(name) => (Verb::Steal, Some(name)),
            Self::Me => (Verb::Me, None),
            Self::Iam(name) => (Verb::Iam, Some(name)),
            Self::Who(name) => (Verb::Who, Some(name)),
            Self::Query { .. } => (Verb::Query, None),
            Self::Ping => (Verb::Ping, None),
            Self::Help => (Verb::Help, None),
            Self::Quit => (Verb::Quit, None),
            Self::BadArgument(_) | Self::Unknown(_) | Self::LineTooLong => return (None, None),
        };
        (Some(verb), name)
    }

    /// Whether nothing of the same connection may run before this command's reply is complete: a
    /// listing is written in slices, `quit` ends the connection, and a wait may end much later, and `kick` may end it too. A batch ends
    /// after such a command.
    pub const fn ends_batch(&self) -> bool {
        matches!(
            self,
            Self::List(..) | Self::Dump(_) | Self::ListAll(_) | Self::Who(_) | Self::Quit | Self::Kick(_)
        ) || self.may_wait()
    }

    /// Whether it may have to wait for its reply.
    pub const fn may_wait(&self) -> bool {
        matches!(self, Self::GetWait { .. } | Self::SharedGetWait { .. })
    }

    /// Whether the reply has a variable number of lines and is ended by an empty one, also when it is
    /// a failure.
    pub(crate) const fn is_framed(&self) -> bool {
        matches!(self, Self::List(..) | Self::ListAll(_) | Self::Who(_) | Self::Query { .. } | Self::Help)
    }

    /// The same command with its text borrowed.
    pub fn borrowed(&self) -> Command<&[u8]>
    where
        N: AsRef<[u8]>,
    {
        self.as_ref().map(AsRef::as_ref)
    }

    const fn as_ref(&self) -> Command<&N> {
        match self {
            Self::Get(kind, name) => Command::Get(*kind, name),
            Self::GetWait { ms, name } => Command::GetWait { ms: *ms, name },
            Self::SharedGetLimited { limit, name } => Command::SharedGetLimited { limit: *limit, name },
            Self::SharedGetWait { ms, limit, name } => {
                Command::SharedGetWait { ms: *ms, limit: *limit, name }
            }
            Self::Release(kind, name) => Command::Release(*kind, name),
            Self::ReleaseAll => Command::ReleaseAll,
            Self::Fence(name) => Command::Fence(name),
            Self::Inspect(kind, name) => Command::Inspect(*kind, name),
            Self::List(kind, name) => Command::List(*kind, name),
            Self::Dump(kind) => Command::Dump(*kind),
            Self::ListAll(prefix) => Command::ListAll(prefix),
            Self::Kick(addr) => Command::Kick(addr),
            Self::Steal(name) => Command::Steal(name),
            Self::Me => Command::Me,
            Self::Iam(name) => Command::Iam(name),
            Self::Who(name) => Command::Who(name),
            Self::Query { full } => Command::Query { full: *full },
            Self::Ping => Command::Ping,
            Self::Help => Command::Help,
            Self::Quit => Command::Quit,
            Self::BadArgument(verb) => Command::BadArgument(*verb),
            Self::Unknown(verb) => Command::Unknown(verb),
            Self::LineTooLong => Command::LineTooLong,
        }
    }

    /// The same command with its text kept another way.
    pub fn map<M>(self, text: impl FnOnce(N) -> M) -> Command<M> {
        match self {
            Self::Get(kind, name) => Command::Get(kind, text(name)),
            Self::GetWait { ms, name } => Command::GetWait { ms, name: text(name) },
            Self::SharedGetLimited { limit, name } => Command::SharedGetLimited { limit, name: text(name) },
            Self::SharedGetWait { ms, limit, name } => Command::SharedGetWait { ms, limit, name: text(name) },
            Self::Release(kind, name) => Command::Release(kind, text(name)),
            Self::ReleaseAll => Command::ReleaseAll,
            Self::Fence(name) => Command::Fence(text(name)),
            Self::Inspect(kind, name) => Command::Inspect(kind, text(name)),
            Self::List(kind, name) => Command::List(kind, text(name)),
            Self::Dump(kind) => Command::Dump(kind),
            Self::ListAll(prefix) => Command::ListAll(text(prefix)),
            Self::Kick(addr) => Command::Kick(text(addr)),
            Self::Steal(name) => Command::Steal(text(name)),
            Self::Me => Command::Me,
            Self::Iam(name) => Command::Iam(text(name)),
            Self::Who(name) => Command::Who(text(name)),
            Self::Query { full } => Command::Query { full },
            Self::Ping => Command::Ping,
            Self::Help => Command::Help,
            Self::Quit => Command::Quit,
            Self::BadArgument(verb) => Command::BadArgument(verb),
            Self::Unknown(verb) => Command::Unknown(text(verb)),
            Self::LineTooLong => Command::LineTooLong,
        }
    }
}

/// Parses one line, without its `\n`; `None` for a blank one.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Command<Cow<'_, [u8]>>> {
    let line = trim(line);
    if line.is_empty() {
        return None;
    }
    let verb_len = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (verb, rest) = line.split_at(verb_len);
    let rest = trim(rest);
    Some(match verb {
        b"g" => Command::Get(Kind::Exclusive, fold(rest)),
        b"sg" => Command::Get(Kind::Shared, fold(rest)),
        b"gw" => numbers(rest).map_or(Command::BadArgument(Verb::GetWait), |([ms], name)| Command::GetWait {
            ms,
            name: fold(name),
        }),
        b"sgl" => numbers(rest).map_or(Command::BadArgument(Verb::SharedGetLimited), |([limit], name)| {
            Command::SharedGetLimited { limit, name: fold(name) }
        }),
        b"sgw" => numbers(rest).map_or(Command::BadArgument(Verb::SharedGetWait), |([ms, limit], name)| {
            Command::SharedGetWait { ms, limit, name: fold(name) }
        }),
        b"r" => Command::Release(Kind::Exclusive, fold(rest)),
        b"sr" => Command::Release(Kind::Shared, fold(rest)),
        b"ra" => Command::ReleaseAll,
        b"f" => Command::Fence(fold(rest)),
        b"i" => Command::Inspect(Kind::Exclusive, fold(rest)),
        b"si" => Command::Inspect(Kind::Shared, fold(rest)),
        b"d" => Command::List(Kind::Exclusive, fold(rest)),
        b"sd" => Command::List(Kind::Shared, fold(rest)),
        b"dump" if has_word(rest, b"shared") => Command::Dump(Kind::Shared),
        b"dump" => Command::Dump(Kind::Exclusive),
        b"ls" => Command::ListAll(fold(rest)),
        b"kick" => Command::Kick(fold(rest)),
        b"steal" => Command::Steal(fold(rest)),
        b"me" => Command::Me,
        b"iam" => Command::Iam(fold(rest)),
        b"who" => Command::Who(fold(rest)),
        b"q" => Command::Query { full: has_word(rest, b"full") },
        b"ping" => Command::Ping,
        b"help" => Command::Help,
        b"quit" => Command::Quit,
        _ => Command::Unknown(Cow::Borrowed(verb)),
    })
}

/// White space is what C's `isspace` says: `is_ascii_whitespace` lacks the vertical tab, 0x0B.
const fn is_space(byte: u8) -> bool {
    matches!(byte, 0x09..=0x0D | b' ')
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// The numbers at the start of trimmed text, and the trimmed rest; `None` unless there are as many. A number
/// is one to ten digits, at most 2^32 - 1.
fn numbers<const N: usize>(mut text: &[u8]) -> Option<([u32; N], &[u8])> {
    let mut found = [0; N];
    for number in &mut found {
        let end = text.iter().position(|&byte| is_space(byte)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        if !(1..=10).contains(&word.len()) {
            return None;
        }
        let mut value = 0_u64;
        for byte in word {
            value = value * 10 + u64::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        }
        *number = u32::try_from(value).ok()?;
        text = trim(rest);
    }
    Some((found, text))
}

/// A trimmed name with every run of white space as one space. Nearly all names are so already.
fn fold(name: &[u8]) -> Cow<'_, [u8]> {
    // The least byte, which one instruction can find of many: nearly all names have no white space at all.
    if name.iter().fold(u8::MAX, |least, byte| least.min(*byte)) > b' ' {
        return Cow::Borrowed(name);
    }
    let mut after_space = false;
    let is_folded = name.iter().all(|&byte| {
        let is_fine = !is_space(byte) || (byte == b' ' && !after_space);
        after_space = byte == b' ';
        is_fine
    });
    if is_folded { Cow::Borrowed(name) } else { Cow::Owned(words(name).collect::<Vec<_>>().join(&b' ')) }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| is_space(byte)).filter(|word| !word.is_empty())
}

fn has_word(text: &[u8], word: &[u8]) -> bool {
    words(text).any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_waits_and_quit_end_a_batch_and_nothing_else_does() {
        let last = [
            Command::List(Kind::Exclusive, ""),
            Command::Dump(Kind::Shared),
            Command::ListAll("x"),
            Command::Who("x"),
            Command::Kick("x"),
            Command::GetWait { ms: 1, name: "x" },
            Command::SharedGetWait { ms: 1, limit: 1, name: "x" },
            Command::Quit,
        ];
        assert!(last.iter().all(Command::ends_batch));
        let others = [
            Command::Get(Kind::Exclusive, "x"),
            Command::SharedGetLimited { limit: 1, name: "x" },
            Command::Query { full: true },
            Command::Help,
            Command::Unknown("x"),
            Command::LineTooLong,
        ];
        assert!(!others.iter().any(Command::ends_batch));
    }

    fn get(name: &str) -> Command<Vec<u8>> {
        Command::Get(Kind::Exclusive, name.into())
    }

    #[test]
    fn white_space_is_dropped_at_the_ends_and_folded_inside() {
        for line in ["g a b", "  g a b  ", "g   a b", "g a   b", "\x0b\x0c\tg \t a\x0b\x0cb\r", "g a\tb"] {
            assert_eq!(parse(line.as_bytes()).unwrap(), get("a b").map(Cow::Owned), "{line:?}");
        }
        assert_eq!(parse(b"g").unwrap(), get("").map(Cow::Owned), "the empty name is a name");
        assert_eq!(parse(b" \t\x0b\x0c\r"), None);
        let tab = Command::Unknown(Cow::Borrowed(&b"g\ta"[..]));
        assert_eq!(parse(b"g\ta").unwrap(), tab, "a verb ends at a space only");
        assert_eq!(parse(b"G a").unwrap().verb(), None, "verbs are case-sensitive");
    }

    #[test]
    fn numbers_come_before_the_name() {
        let wait = |ms, name: &str| Some(Command::GetWait { ms, name: Cow::Owned(name.into()) });
        assert_eq!(parse(b"gw 100 a  b"), wait(100, "a b"));
        assert_eq!(parse(b" gw \t 0000000007\x0b5 a\r"), wait(7, "5 a"), "ten digits");
        assert_eq!(parse(b"gw 4294967295 a"), wait(u32::MAX, "a"));
        assert_eq!(parse(b"gw 5"), wait(5, ""), "the empty name is a name");
        let bad = |verb| Some(Command::BadArgument(verb));
        for line in ["gw", "gw a", "gw -1 a", "gw +1 a", "gw 1x a", "gw 4294967296 a", "gw 00000000001 a"] {
            assert_eq!(parse(line.as_bytes()), bad(Verb::GetWait), "{line:?}");
        }
        let limited = Command::SharedGetLimited { limit: 3, name: Cow::Owned(b"5 a".to_vec()) };
        assert_eq!(parse(b"sgl 3 5 a"), Some(limited));
        assert_eq!(parse(b"sgl a"), bad(Verb::SharedGetLimited));
        let both = Command::SharedGetWait { ms: 1, limit: 2, name: Cow::Owned(b"3".to_vec()) };
        assert_eq!(parse(b"sgw 1 2 3"), Some(both));
        assert_eq!(parse(b"sgw 1"), bad(Verb::SharedGetWait));
        assert_eq!(parse(b"sgw 1 x 2"), bad(Verb::SharedGetWait));
        assert_eq!(parse(b"g 5 a"), Some(get("5 a").map(Cow::Owned)), "the old verbs take no number");
    }

    #[test]
    fn a_name_that_needs_no_folding_is_not_copied() {
        for line in ["g", "g a", "sg  a b c ", "iam \x00\x7f", "gw 1 a b", "sgw 1 2 a", "f a", "ls a"] {
            let command = parse(line.as_bytes()).unwrap();
            let name = command.parts().1.expect("it has a name");
            assert!(matches!(name, Cow::Borrowed(_)), "{line:?}");
        }
    }

    #[test]
    fn other_words_after_q_and_dump_change_nothing() {
        assert_eq!(parse(b"q all"), Some(Command::Query { full: false }));
        assert_eq!(parse(b"q  full "), Some(Command::Query { full: true }));
        assert_eq!(parse(b"q fuller"), Some(Command::Query { full: false }));
        assert_eq!(parse(b"dump exclusive"), Some(Command::Dump(Kind::Exclusive)));
        assert_eq!(parse(b"dump it shared"), Some(Command::Dump(Kind::Shared)));
        assert_eq!(parse(b"me myself"), Some(Command::Me));
    }
}
