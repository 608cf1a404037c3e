//! Requests, both ways: lines are parsed into commands, and commands are written as lines. A command that is written
//! and parsed again is the same.

use crate::types::{Account, Kind};
use std::borrow::Cow;

use super::verb::{Verb, VerbSet};
use super::wish::Wish;

/// One request line, parsed. `N` is the form of names: borrowed or owned.
///
/// [`parse`] makes names without white space at the ends. It folds each run of white space inside to one space. The
/// machine accepts names of any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<N> {
    /// Every verb that gets a lock: `g`, `gw`, `sg`, `sgl`, `sgw`, `rg`, `rgw`, `wg`, `wgw`.
    Get(Wish<N>),
    /// `iw MS NAME`, `siw MS NAME`.
    AwaitEnd {
        /// The kind of lock. No verb waits for the end of readers and writers: such a command is written as one of
        /// these two.
        kind: Kind,
        /// How long to wait at most, in milliseconds.
        ms: u32,
        /// The lock.
        name: N,
    },
    /// `r NAME`, `sr NAME`, `rr NAME`, `wr NAME`.
    Release(Kind, N),
    /// `ra`.
    ReleaseAll,
    /// `f NAME`, `sf NAME`, `rf NAME`, `wf NAME`.
    Fence(Kind, N),
    /// `i NAME`, `si NAME`, `ri NAME`, `wi NAME`.
    Inspect(Kind, N),
    /// `d [NAME]`, `sd [NAME]`; all locks when the name is empty. No verb lists readers and writers so: such a command
    /// is written as one of these two.
    List(Kind, N),
    /// `dump`, `dump shared`. No verb lists readers and writers so, as for `List`.
    Dump(Kind),
    /// `ls [PREFIX]`; every lock when the prefix is empty.
    ListAll(N),
    /// `kick ADDR`.
    Kick(N),
    /// `linger MS`; 0 takes it back.
    Linger(u32),
    /// `resume KEY`. The text is a secret, and no name.
    Resume(N),
    /// `steal NAME`, `wsteal NAME`. Nothing is stolen from those who share a lock: such a command is written as one of
    /// these two.
    Steal(Kind, N),
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
    /// `auth TOKEN`. The text is a secret. The driver says [`Login`](Self::Login) instead, because the machine knows no
    /// tokens: whoever says this to it fails to log in.
    Auth(N),
    /// `auth`, with the account whose the token is. `None` if there is no such token.
    Login(Option<Account>),
    /// `ping`.
    Ping,
    /// `help`. It lists these verbs: a driver that allows less leaves some out.
    Help(VerbSet),
    /// `quit`.
    Quit,
    /// A command with this verb that the driver does not run. It is counted, and answered with the refusal.
    Refused(Verb, Refusal),
    /// A known verb without the number that it needs.
    BadArgument(Verb),
    /// An unknown verb: this word.
    Unknown(N),
    /// A line over the limit. Its bytes are not kept.
    LineTooLong,
}

/// Why a driver does not run a command. Whether a name is too long comes after the first reason, and before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The connection has not logged in, and must.
    AuthRequired,
    /// A rule forbids the verb or the name.
    NotAllowed,
}

/// Parses one line, without its `\n`. `None` if it is blank.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Command<Cow<'_, [u8]>>> {
    let line = trim(line);
    if line.is_empty() {
        return None;
    }
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    Some(match Verb::of(word) {
        Some(verb) => parse_rest(verb, trim(rest)).unwrap_or(Command::BadArgument(verb)),
        None => Command::Unknown(Cow::Borrowed(word)),
    })
}

/// The command of a verb and the words behind it. `None` if a number is missing.
#[inline]
fn parse_rest(verb: Verb, rest: &[u8]) -> Option<Command<Cow<'_, [u8]>>> {
    use Kind::{Exclusive, Read, Shared, Write};
    Some(match verb {
        Verb::Get => Command::Get(Wish::at_once(Exclusive, fold(rest))),
        Verb::SharedGet => Command::Get(Wish::at_once(Shared, fold(rest))),
        Verb::GetWait => {
            let ([ms], name) = numbers(rest)?;
            Command::Get(Wish::at_once(Exclusive, fold(name)).waiting(ms))
        }
        Verb::SharedGetLimited => {
            let ([limit], name) = numbers(rest)?;
            Command::Get(Wish::at_once(Shared, fold(name)).limited(limit))
        }
        Verb::SharedGetWait => {
            let ([ms, limit], name) = numbers(rest)?;
            Command::Get(Wish::at_once(Shared, fold(name)).limited(limit).waiting(ms))
        }
        Verb::ReadGet => Command::Get(Wish::at_once(Read, fold(rest))),
        Verb::WriteGet => Command::Get(Wish::at_once(Write, fold(rest))),
        Verb::ReadGetWait => {
            let ([ms], name) = numbers(rest)?;
            Command::Get(Wish::at_once(Read, fold(name)).waiting(ms))
        }
        Verb::WriteGetWait => {
            let ([ms], name) = numbers(rest)?;
            Command::Get(Wish::at_once(Write, fold(name)).waiting(ms))
        }
        Verb::AwaitEnd => await_end(Exclusive, rest)?,
        Verb::SharedAwaitEnd => await_end(Shared, rest)?,
        Verb::Release => Command::Release(Exclusive, fold(rest)),
        Verb::SharedRelease => Command::Release(Shared, fold(rest)),
        Verb::ReadRelease => Command::Release(Read, fold(rest)),
        Verb::WriteRelease => Command::Release(Write, fold(rest)),
        Verb::ReleaseAll => Command::ReleaseAll,
        Verb::Fence => Command::Fence(Exclusive, fold(rest)),
        Verb::SharedFence => Command::Fence(Shared, fold(rest)),
        Verb::ReadFence => Command::Fence(Read, fold(rest)),
        Verb::WriteFence => Command::Fence(Write, fold(rest)),
        Verb::Inspect => Command::Inspect(Exclusive, fold(rest)),
        Verb::SharedInspect => Command::Inspect(Shared, fold(rest)),
        Verb::ReadInspect => Command::Inspect(Read, fold(rest)),
        Verb::WriteInspect => Command::Inspect(Write, fold(rest)),
        Verb::List => Command::List(Exclusive, fold(rest)),
        Verb::SharedList => Command::List(Shared, fold(rest)),
        Verb::Dump => Command::Dump(if has_word(rest, b"shared") { Shared } else { Exclusive }),
        Verb::ListAll => Command::ListAll(fold(rest)),
        Verb::Kick => Command::Kick(fold(rest)),
        Verb::Linger => {
            let ([ms], _) = numbers(rest)?;
            Command::Linger(ms)
        }
        Verb::Resume => Command::Resume(fold(rest)),
        Verb::Steal => Command::Steal(Exclusive, fold(rest)),
        Verb::WriteSteal => Command::Steal(Write, fold(rest)),
        Verb::Me => Command::Me,
        Verb::Iam => Command::Iam(fold(rest)),
        Verb::Who => Command::Who(fold(rest)),
        Verb::Query => Command::Query { full: has_word(rest, b"full") },
        Verb::Auth => Command::Auth(fold(rest)),
        Verb::Ping => Command::Ping,
        Verb::Help => Command::Help(VerbSet::ALL),
        Verb::Quit => Command::Quit,
    })
}

fn await_end(kind: Kind, rest: &[u8]) -> Option<Command<Cow<'_, [u8]>>> {
    let ([ms], name) = numbers(rest)?;
    Some(Command::AwaitEnd { kind, ms, name: fold(name) })
}

/// The same command with `$text` applied to its text. Takes a command or a reference to one.
macro_rules! retold {
    ($command:expr, $text:expr, $map:ident) => {
        match $command {
            Self::Get(wish) => Command::Get(wish.$map($text)),
            Self::AwaitEnd { kind, ms, name } => {
                Command::AwaitEnd { kind: kind.to_owned(), ms: ms.to_owned(), name: $text(name) }
            }
            Self::Release(kind, name) => Command::Release(kind.to_owned(), $text(name)),
            Self::ReleaseAll => Command::ReleaseAll,
            Self::Fence(kind, name) => Command::Fence(kind.to_owned(), $text(name)),
            Self::Inspect(kind, name) => Command::Inspect(kind.to_owned(), $text(name)),
            Self::List(kind, name) => Command::List(kind.to_owned(), $text(name)),
            Self::Dump(kind) => Command::Dump(kind.to_owned()),
            Self::ListAll(prefix) => Command::ListAll($text(prefix)),
            Self::Kick(addr) => Command::Kick($text(addr)),
            Self::Linger(ms) => Command::Linger(ms.to_owned()),
            Self::Resume(key) => Command::Resume($text(key)),
            Self::Steal(kind, name) => Command::Steal(kind.to_owned(), $text(name)),
            Self::Me => Command::Me,
            Self::Iam(name) => Command::Iam($text(name)),
            Self::Who(name) => Command::Who($text(name)),
            Self::Query { full } => Command::Query { full: full.to_owned() },
            Self::Auth(token) => Command::Auth($text(token)),
            Self::Login(account) => Command::Login(account.to_owned()),
            Self::Ping => Command::Ping,
            Self::Help(verbs) => Command::Help(verbs.to_owned()),
            Self::Quit => Command::Quit,
            Self::Refused(verb, why) => Command::Refused(verb.to_owned(), why.to_owned()),
            Self::BadArgument(verb) => Command::BadArgument(verb.to_owned()),
            Self::Unknown(verb) => Command::Unknown($text(verb)),
            Self::LineTooLong => Command::LineTooLong,
        }
    };
}

impl<N> Command<N> {
    /// `g NAME`, `sg NAME`.
    #[inline]
    pub const fn get(kind: Kind, name: N) -> Self {
        Self::Get(Wish::at_once(kind, name))
    }

    /// The verb, and the name of a lock or of a connection, or the start of one. The text of an unknown verb is no
    /// name, and a key or a token is none.
    #[inline]
    pub(crate) const fn verb_and_name(&self) -> (Option<Verb>, Option<&N>) {
        let (verb, name) = match self {
            Self::Get(wish) => (wish.verb(), Some(wish.name())),
            Self::AwaitEnd { kind, name, .. } => (Verb::that_awaits_the_end_of(*kind), Some(name)),
            Self::Release(Kind::Exclusive, name) => (Verb::Release, Some(name)),
            Self::Release(Kind::Shared, name) => (Verb::SharedRelease, Some(name)),
            Self::Release(Kind::Read, name) => (Verb::ReadRelease, Some(name)),
            Self::Release(Kind::Write, name) => (Verb::WriteRelease, Some(name)),
            Self::ReleaseAll => (Verb::ReleaseAll, None),
            Self::Fence(Kind::Exclusive, name) => (Verb::Fence, Some(name)),
            Self::Fence(Kind::Shared, name) => (Verb::SharedFence, Some(name)),
            Self::Fence(Kind::Read, name) => (Verb::ReadFence, Some(name)),
            Self::Fence(Kind::Write, name) => (Verb::WriteFence, Some(name)),
            Self::Inspect(Kind::Exclusive, name) => (Verb::Inspect, Some(name)),
            Self::Inspect(Kind::Shared, name) => (Verb::SharedInspect, Some(name)),
            Self::Inspect(Kind::Read, name) => (Verb::ReadInspect, Some(name)),
            Self::Inspect(Kind::Write, name) => (Verb::WriteInspect, Some(name)),
            Self::List(Kind::Exclusive | Kind::Write, name) => (Verb::List, Some(name)),
            Self::List(Kind::Shared | Kind::Read, name) => (Verb::SharedList, Some(name)),
            Self::Dump(_) => (Verb::Dump, None),
            Self::ListAll(prefix) => (Verb::ListAll, Some(prefix)),
            Self::Kick(addr) => (Verb::Kick, Some(addr)),
            Self::Linger(_) => (Verb::Linger, None),
            Self::Resume(_) => (Verb::Resume, None),
            Self::Steal(Kind::Exclusive | Kind::Shared, name) => (Verb::Steal, Some(name)),
            Self::Steal(Kind::Read | Kind::Write, name) => (Verb::WriteSteal, Some(name)),
            Self::Me => (Verb::Me, None),
            Self::Iam(name) => (Verb::Iam, Some(name)),
            Self::Who(name) => (Verb::Who, Some(name)),
            Self::Query { .. } => (Verb::Query, None),
            Self::Auth(_) | Self::Login(_) => (Verb::Auth, None),
            Self::Refused(verb, _) => (*verb, None),
            Self::Ping => (Verb::Ping, None),
            Self::Help(_) => (Verb::Help, None),
            Self::Quit => (Verb::Quit, None),
            Self::BadArgument(_) | Self::Unknown(_) | Self::LineTooLong => return (None, None),
        };
        (Some(verb), name)
    }

    /// The verb that statistics count it under. `None` for an invalid line.
    pub const fn verb(&self) -> Option<Verb> {
        self.verb_and_name().0
    }

    /// The name of a lock or of a connection that it carries, or the start of one.
    pub const fn name(&self) -> Option<&N> {
        self.verb_and_name().1
    }

    /// Whether it must be the last of its batch (see [`Verb::ends_batch`]).
    #[inline]
    pub const fn ends_batch(&self) -> bool {
        match self {
            // Nearly all commands are one of these two, and this is faster.
            Self::Get(wish) => wish.ms().is_some(),
            Self::Release(..) => false,
            _ => match self.verb() {
                Some(verb) => verb.ends_batch(),
                None => false,
            },
        }
    }

    /// Whether the reply may come later, at the end of a wait.
    #[inline]
    pub const fn may_wait(&self) -> bool {
        match self {
            Self::Get(wish) => wish.ms().is_some(),
            Self::AwaitEnd { .. } => true,
            _ => false,
        }
    }

    /// Whether an empty line ends the reply (see [`Verb::is_framed`]).
    pub const fn is_framed(&self) -> bool {
        match self.verb() {
            Some(verb) => verb.is_framed(),
            None => false,
        }
    }

    /// The same command with its text changed by `text`.
    pub fn map<M>(self, text: impl FnOnce(N) -> M) -> Command<M> {
        retold!(self, text, map)
    }
}

impl<N: AsRef<[u8]>> Command<N> {
    /// The same command with its text borrowed.
    pub fn borrowed(&self) -> Command<&[u8]> {
        retold!(self, N::as_ref, map_ref)
    }

    /// Appends this command's line, with its end.
    ///
    /// If the name is as [`parse`] makes names and has no line end, parsing the line gives the same command. A line
    /// over the limit has no bytes left, and is written as an empty line. What only a driver says is written as its
    /// verb.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (verb, name) = self.verb_and_name();
        out.extend_from_slice(match (self, verb) {
            (Self::BadArgument(verb), _) => verb.word().as_bytes(),
            (Self::Unknown(word), _) => word.as_ref(),
            (_, Some(verb)) => verb.word().as_bytes(),
            (_, None) => &[],
        });
        let numbers = match self {
            Self::Get(wish) => wish.numbers(),
            Self::Linger(ms) | Self::AwaitEnd { ms, .. } => [Some(*ms), None],
            _ => [None; 2],
        };
        let word: &[u8] = match self {
            Self::Dump(Kind::Shared | Kind::Read) => b"shared",
            Self::Query { full: true } => b"full",
            Self::Resume(secret) | Self::Auth(secret) => secret.as_ref(),
            _ => b"",
        };
        for number in numbers.into_iter().flatten() {
            out.push(b' ');
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        for rest in [word, name.map_or(&[], AsRef::as_ref)] {
            if !rest.is_empty() {
                out.push(b' ');
                out.extend_from_slice(rest);
            }
        }
        out.push(b'\n');
    }

    /// This command's line, without its end.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        self.write(&mut line);
        line.pop();
        line
    }
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

/// The `N` numbers at the start of trimmed text, and the trimmed rest. `None` if there are fewer. A number is one to
/// ten digits, at most 2^32 - 1.
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

/// A trimmed name with every run of white space folded to one space. Nearly all names are so already.
fn fold(name: &[u8]) -> Cow<'_, [u8]> {
    // Looks for the least byte, because one instruction can do so for many bytes. Nearly all names have no white space.
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
    use quickcheck::quickcheck;

    #[test]
    fn listings_waits_and_quit_end_a_batch_and_nothing_else_does() {
        let last = [
            Command::List(Kind::Exclusive, ""),
            Command::Dump(Kind::Shared),
            Command::ListAll("x"),
            Command::Who("x"),
            Command::Kick("x"),
            Command::Auth("x"),
            Command::Login(None),
            Command::Get(Wish::at_once(Kind::Exclusive, "x").waiting(1)),
            Command::Get(Wish::at_once(Kind::Shared, "x").limited(1).waiting(1)),
            Command::Quit,
        ];
        assert!(last.iter().all(Command::ends_batch));
        let others = [
            Command::Get(Wish::at_once(Kind::Exclusive, "x")),
            Command::Get(Wish::at_once(Kind::Shared, "x").limited(1)),
            Command::Query { full: true },
            Command::Help(VerbSet::ALL),
            Command::Unknown("x"),
            Command::LineTooLong,
        ];
        assert!(!others.iter().any(Command::ends_batch));
    }

    fn get(name: &str) -> Command<Vec<u8>> {
        Command::Get(Wish::at_once(Kind::Exclusive, name.into()))
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
        let wish = |kind, name: &str| Wish::at_once(kind, Cow::Owned(name.into()));
        let wait = |ms, name| Some(Command::Get(wish(Kind::Exclusive, name).waiting(ms)));
        assert_eq!(parse(b"gw 100 a  b"), wait(100, "a b"));
        assert_eq!(parse(b" gw \t 0000000007\x0b5 a\r"), wait(7, "5 a"), "ten digits");
        assert_eq!(parse(b"gw 4294967295 a"), wait(u32::MAX, "a"));
        assert_eq!(parse(b"gw 5"), wait(5, ""), "the empty name is a name");
        let bad = |verb| Some(Command::BadArgument(verb));
        for line in ["gw", "gw a", "gw -1 a", "gw +1 a", "gw 1x a", "gw 4294967296 a", "gw 00000000001 a"] {
            assert_eq!(parse(line.as_bytes()), bad(Verb::GetWait), "{line:?}");
        }
        let limited = Command::Get(wish(Kind::Shared, "5 a").limited(3));
        assert_eq!(parse(b"sgl 3 5 a"), Some(limited));
        assert_eq!(parse(b"sgl a"), bad(Verb::SharedGetLimited));
        let both = Command::Get(wish(Kind::Shared, "3").limited(2).waiting(1));
        assert_eq!(parse(b"sgw 1 2 3"), Some(both));
        assert_eq!(parse(b"sgw 1"), bad(Verb::SharedGetWait));
        assert_eq!(parse(b"sgw 1 x 2"), bad(Verb::SharedGetWait));
        assert_eq!(parse(b"rgw 5 3 a"), Some(Command::Get(wish(Kind::Read, "3 a").waiting(5))));
        assert_eq!(parse(b"wgw 5 a"), Some(Command::Get(wish(Kind::Write, "a").waiting(5))));
        assert_eq!(parse(b"rgw"), bad(Verb::ReadGetWait));
        assert_eq!(parse(b"wgw a"), bad(Verb::WriteGetWait));
        assert_eq!(parse(b"g 5 a"), Some(get("5 a").map(Cow::Owned)), "the old verbs take no number");
    }

    #[test]
    fn a_name_that_needs_no_folding_is_not_copied() {
        for line in ["g", "g a", "sg  a b c ", "iam \x00\x7f", "gw 1 a b", "sgw 1 2 a", "f a", "ls a"] {
            let command = parse(line.as_bytes()).unwrap();
            let name = command.name().expect("it has a name");
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

    /// One command of each form.
    fn forms(name: &[u8], numbers: (u32, u32)) -> Vec<Command<Cow<'_, [u8]>>> {
        let (ms, limit) = numbers;
        let name = || Cow::Borrowed(name);
        let mut forms = vec![
            Command::Get(Wish::at_once(Kind::Shared, name()).limited(limit)),
            Command::Get(Wish::at_once(Kind::Shared, name()).limited(limit).waiting(ms)),
            Command::ReleaseAll,
            Command::ListAll(name()),
            Command::Kick(name()),
            Command::Linger(ms),
            Command::Resume(name()),
            Command::Steal(Kind::Exclusive, name()),
            Command::Steal(Kind::Write, name()),
            Command::Me,
            Command::Iam(name()),
            Command::Who(name()),
            Command::Query { full: false },
            Command::Query { full: true },
            Command::Auth(name()),
            Command::Ping,
            Command::Help(VerbSet::ALL),
            Command::Quit,
        ];
        for kind in Kind::ALL {
            forms.extend([
                Command::Get(Wish::at_once(kind, name())),
                Command::Get(Wish::at_once(kind, name()).waiting(ms)),
                Command::Release(kind, name()),
                Command::Fence(kind, name()),
                Command::Inspect(kind, name()),
            ]);
        }
        for kind in [Kind::Exclusive, Kind::Shared] {
            forms.extend([
                Command::List(kind, name()),
                Command::Dump(kind),
                Command::AwaitEnd { kind, ms, name: name() },
            ]);
        }
        forms
    }

    #[test]
    fn every_verb_has_a_form() {
        let forms = forms(b"a", (1, 2));
        for verb in Verb::ALL {
            assert!(forms.iter().any(|command| command.verb() == Some(verb)), "{verb:?}");
        }
    }

    #[test]
    fn a_line_says_what_a_command_says_of_itself() {
        for command in forms(b"a", (1, 2)) {
            let verb = command.verb().expect("it is valid");
            let said = (command.ends_batch(), command.may_wait(), command.is_framed());
            assert_eq!(said, (verb.ends_batch(), verb.may_wait(), verb.is_framed()), "{verb:?}");
        }
    }

    #[test]
    fn invalid_lines_are_written_as_they_came() {
        for (command, line) in [
            (Command::BadArgument(Verb::SharedGetWait), "sgw"),
            (Command::Login(Some(Account(7))), "auth"),
            (Command::Refused(Verb::ListAll, Refusal::NotAllowed), "ls"),
            (Command::Unknown("x\ty"), "x\ty"),
            (Command::LineTooLong, ""),
        ] {
            assert_eq!(command.line(), line.as_bytes());
        }
        for line in ["gw", "sgl", "sgw", "x\ty", "G"] {
            assert_eq!(parse(line.as_bytes()).unwrap().line(), line.as_bytes());
        }
    }

    quickcheck! {
        /// Goal: a command is read as it was written. Method: every form is written and read, with names of any words,
        /// and any numbers.
        fn a_command_that_is_written_is_read_again(name: Vec<Vec<u8>>, numbers: (u32, u32)) -> bool {
            let words = name.iter().flat_map(|word| words(word)).collect::<Vec<_>>();
            let name = words.join(&b' ');
            forms(&name, numbers).into_iter().all(|command| parse(&command.line()) == Some(command))
        }
    }
}
