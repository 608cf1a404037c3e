//! Replies of one line, both ways. One table says how each is written, and what a line means. A reply that is written
//! and read again is the same.

use super::reply::Reply;
use super::unknown;
use super::verb::Verb;
use crate::types::Kind::{Exclusive, Read, Shared, Write};

/// A reply of one line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OneLine<'a> {
    /// Old clients look only at this: 0 is a failure.
    pub(super) number: u64,
    /// The text from the space behind the number up to the name.
    pub(super) words: &'static [u8],
    /// The name of a lock, an address or a verb. Empty if the line has none.
    pub(super) name: &'a [u8],
}

/// What stands at the end of a line.
trait Tail<'a>: Sized {
    fn written(self) -> &'a [u8];
    fn read(text: &'a [u8]) -> Option<Self>;
}

impl<'a> Tail<'a> for &'a [u8] {
    fn written(self) -> Self {
        self
    }

    fn read(text: &'a [u8]) -> Option<Self> {
        Some(text)
    }
}

impl<'a> Tail<'a> for Verb {
    fn written(self) -> &'a [u8] {
        self.word().as_bytes()
    }

    fn read(text: &'a [u8]) -> Option<Self> {
        Self::of(text)
    }
}

/// A row has the line and the reply. The line is a number (or `count`), words, and a tail. The reply is used as a
/// pattern to write a line, and as an expression to read one. The first row that fits a reply writes it.
macro_rules! lines {
    ($(
        [$number:tt $words:literal $($tail:ident)?] $variant:ident $({ $($field:ident $(: $value:tt)?),+ })?;
    )+) => {
        impl<'a> Reply<'a> {
            /// The line, if the reply is of one line.
            #[allow(clippy::cast_lossless, reason = "a row's number is a literal, or a count of either width")]
            pub(super) fn one_line(&self) -> Option<OneLine<'a>> {
                Some(match *self {
                    $(Reply::$variant $({ $($field $(: $value)?),+ })? => OneLine {
                        number: $number as u64,
                        words: concat!(" ", $words).as_bytes(),
                        name: [$(Tail::written($tail),)? &[]][0],
                    },)+
                    _ => return None,
                })
            }

            /// How many rows there are.
            #[cfg(test)]
            const fn candidates_count() -> usize {
                [$($words),+].len()
            }

            /// All replies that may be written as this number and text, and some others.
            #[allow(irrefutable_let_patterns, reason = "of a count that is as wide as what is read")]
            fn candidates(number: u64, text: &'a [u8]) -> impl Iterator<Item = Self> {
                let rows: &[fn(u64, &'a [u8]) -> Option<Self>] = &[$(|number, text| {
                    let _rest = text.strip_prefix(concat!(" ", $words).as_bytes())?;
                    let Ok($number) = number.try_into() else { return None };
                    $(let $tail = Tail::read(_rest)?;)?
                    Some(Reply::$variant $({ $($field $(: $value)?),+ })?)
                }),+];
                rows.iter().filter_map(move |row| row(number, text))
            }
        }
    };
}

lines! {
    [1     "Lock Get Success: " name]             Got { kind: Exclusive, holders: 1, name };
    [count "Shared Lock Get Success: " name]      Got { kind: Shared, holders: count, name };
    [count "Read Lock Get Success: " name]        Got { kind: Read, holders: count, name };
    [1     "Write Lock Get Success: " name]       Got { kind: Write, holders: 1, name };
    [0     "Lock Get Failure: " name]             GetFailure { kind: Exclusive, name };
    [0     "Shared Lock Get Failure: " name]      GetFailure { kind: Shared, name };
    [0     "Read Lock Get Failure: " name]        GetFailure { kind: Read, name };
    [0     "Write Lock Get Failure: " name]       GetFailure { kind: Write, name };
    [0     "Lock Get Timeout: " name]             GetTimeout { kind: Exclusive, name };
    [0     "Shared Lock Get Timeout: " name]      GetTimeout { kind: Shared, name };
    [0     "Read Lock Get Timeout: " name]        GetTimeout { kind: Read, name };
    [0     "Write Lock Get Timeout: " name]       GetTimeout { kind: Write, name };
    [0     "Lock Get Deadlock: " name]            GetDeadlock { kind: Exclusive, name };
    [0     "Shared Lock Get Deadlock: " name]     GetDeadlock { kind: Shared, name };
    [0     "Read Lock Get Deadlock: " name]       GetDeadlock { kind: Read, name };
    [0     "Write Lock Get Deadlock: " name]      GetDeadlock { kind: Write, name };
    [0     "Lock Get Queue Full: " name]          QueueFull { kind: Exclusive, name };
    [0     "Shared Lock Get Queue Full: " name]   QueueFull { kind: Shared, name };
    [0     "Read Lock Get Queue Full: " name]     QueueFull { kind: Read, name };
    [0     "Write Lock Get Queue Full: " name]    QueueFull { kind: Write, name };
    [1     "Lock Ended: " name]                   Ended { kind: Exclusive, name };
    [1     "Shared Lock Ended: " name]            Ended { kind: Shared, name };
    [0     "Lock Wait Timeout: " name]            EndTimeout { kind: Exclusive, name };
    [0     "Shared Lock Wait Timeout: " name]     EndTimeout { kind: Shared, name };
    [0     "Lock Wait Deadlock: " name]           EndDeadlock { kind: Exclusive, name };
    [0     "Shared Lock Wait Deadlock: " name]    EndDeadlock { kind: Shared, name };
    [0     "Lock Wait Queue Full: " name]         EndQueueFull { kind: Exclusive, name };
    [0     "Shared Lock Wait Queue Full: " name]  EndQueueFull { kind: Shared, name };
    [1     "Lock Release Success: " name]         Released { kind: Exclusive, name };
    [1     "Shared Lock Release Success: " name]  Released { kind: Shared, name };
    [1     "Read Lock Release Success: " name]    Released { kind: Read, name };
    [1     "Write Lock Release Success: " name]   Released { kind: Write, name };
    [0     "Lock Release Failure: " name]         ReleaseFailure { kind: Exclusive, name };
    [0     "Shared Lock Release Failure: " name]  ReleaseFailure { kind: Shared, name };
    [0     "Read Lock Release Failure: " name]    ReleaseFailure { kind: Read, name };
    [0     "Write Lock Release Failure: " name]   ReleaseFailure { kind: Write, name };
    [count "Locks Released"]                      ReleasedAll { holds: count };
    [count "Lock Fence: " name]                   Fenced { kind: Exclusive, token: count, name };
    [0     "Lock Not Held: " name]                NotHeld { kind: Exclusive, name };
    [count "Shared Lock Fence: " name]            Fenced { kind: Shared, token: count, name };
    [0     "Shared Lock Not Held: " name]         NotHeld { kind: Shared, name };
    [count "Read Lock Fence: " name]              Fenced { kind: Read, token: count, name };
    [0     "Read Lock Not Held: " name]           NotHeld { kind: Read, name };
    [count "Write Lock Fence: " name]             Fenced { kind: Write, token: count, name };
    [0     "Write Lock Not Held: " name]          NotHeld { kind: Write, name };
    [0     "No Tokens"]                           NoTokens;
    [0     "Lock Not Locked: " name]              Inspected { kind: Exclusive, holders: 0, name };
    [1     "Lock Is Locked: " name]               Inspected { kind: Exclusive, holders: 1, name };
    [0     "Shared Lock Not Locked: " name]       Inspected { kind: Shared, holders: 0, name };
    [0     "Read Lock Not Locked: " name]         Inspected { kind: Read, holders: 0, name };
    [0     "Write Lock Not Locked: " name]        Inspected { kind: Write, holders: 0, name };
    [count "Shared Lock Is Locked: " name]        Inspected { kind: Shared, holders: count, name };
    [count "Read Lock Is Locked: " name]          Inspected { kind: Read, holders: count, name };
    [1     "Write Lock Is Locked: " name]         Inspected { kind: Write, holders: 1, name };
    [0     "Too Many Locks: " name]               TooManyLocks { name };
    [0     "Out Of Memory: " name]                OutOfMemory { name };
    [0     "Shutting Down"]                       ShuttingDown;
    [0     "Kick Failure: " addr]                 Kicked { connections: 0, addr };
    [count "Kick Success: " addr]                 Kicked { connections: count, addr };
    [0     "Linger Failure"]                      LingerFailure;
    [0     "Resume Failure"]                      ResumeFailure;
    [1     "Lock Steal Success: " name]           Stolen { kind: Exclusive, was_held: true, name };
    [0     "Lock Steal Failure: " name]           Stolen { kind: Exclusive, was_held: false, name };
    [1     "Write Lock Steal Success: " name]     Stolen { kind: Write, was_held: true, name };
    [0     "Write Lock Steal Failure: " name]     Stolen { kind: Write, was_held: false, name };
    [1     "Auth Success: " account]              LoggedIn { account };
    [0     "Auth Failure"]                        AuthFailure;
    [0     "Auth Required"]                       AuthRequired { framed: false };
    [0     "Auth Required"]                       AuthRequired { framed: true };
    [0     "Not Allowed: " verb]                  NotAllowed { verb };
    [1     "ok"]                                  Registered;
    [1     "pong"]                                Pong;
    [0     "disabled"]                            Disabled { framed: false };
    [0     "disabled"]                            Disabled { framed: true };
    [0     "Name Too Long"]                       NameTooLong { framed: false };
    [0     "Name Too Long"]                       NameTooLong { framed: true };
    [0     "Too Large"]                           TooLarge { framed: false };
    [0     "Too Large"]                           TooLarge { framed: true };
    [0     "Bad Argument: " verb]                 BadArgument { verb };
    [0     "Unknown Command: " verb]              UnknownCommand { verb };
    [0     "Line Too Long"]                       LineTooLong;
}

impl<'a> Reply<'a> {
    /// Reads a reply of one line, with its line ends. `None` for anything else: part of a reply, a listing, figures,
    /// help, and `me`, which has a [reader of its own](super::read_me).
    /// The replies to `linger` and `resume` it reads too.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let line = text.strip_suffix(b"\n")?;
        if let Some(reply) = super::text::read_session(line) {
            return Some(reply);
        }
        let (line, framed) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
        let (digits, rest) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
        let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let is_it = |reply: &Self| {
            reply.is_framed() == framed
                && reply.one_line().is_some_and(|OneLine { number: count, words, name }| {
                    count == number && rest.strip_prefix(words) == Some(name)
                })
                && !matches!(reply, Reply::UnknownCommand { verb } if !unknown::is_shown(verb))
        };
        let is_plain = itoa::Buffer::new().format(number).as_bytes() == digits;
        Self::candidates(number, rest).find(is_it).filter(|_| is_plain)
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::{encode, tests::text};
    use super::*;
    use crate::types::Kind;
    use quickcheck::quickcheck;

    #[test]
    fn words_mean_their_reply_alone() {
        for wrong in [
            "1 Lock Get Success: a",
            "1 Lock Get Success: a\n\n",
            "01 Lock Get Success: a\n",
            "+1 Lock Get Success: a\n",
            "2 Lock Get Success: a\n",
            "0 Lock Is Locked: a\n",
            "0 Shared Lock Is Locked: a\n",
            "0 Kick Success: a\n",
            "1 10.0.0.1:1 Lock Get Success: a\n",
            "1 okay\n",
            "1 ok \n",
            "0 Not Allowed: jump\n",
            "0 Not Allowed: ls\n",
            "0 Not Allowed: kick\n\n",
            "4294967296 Shared Lock Get Success: a\n",
            "0 Unknown Command: \u{1b}[2J\n",
            "locks: 7\n\n",
            "\n",
            "",
        ] {
            assert_eq!(Reply::read(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    quickcheck! {
        /// Goal: a reply is read as it was written. Method: every row of the table is written and read, with any name
        /// and counts.
        fn a_reply_that_is_written_is_read_again(name: Vec<u8>, count: u32, token: u64) -> bool {
            let name: Vec<u8> = name.into_iter().filter(|byte| *byte != b'\n').collect();
            every_reply(&name, count.max(1), token).into_iter().all(|reply| {
                let mut text = Vec::new();
                encode(&reply, &mut text);
                Reply::read(&text) == Some(reply)
            })
        }

        /// An unknown verb is read as it was shown, which is not always as it was.
        fn an_unknown_verb_that_was_shown_is_read_and_shown_again(verb: Vec<u8>) -> bool {
            let (mut text, mut again) = (Vec::new(), Vec::new());
            encode(&Reply::UnknownCommand { verb: &verb }, &mut text);
            encode(&Reply::read(&text).unwrap(), &mut again);
            text == again
        }
    }

    /// One reply for each row.
    fn every_reply(name: &[u8], count: u32, token: u64) -> Vec<Reply<'_>> {
        let verb = Verb::Kick;
        let mut replies = vec![
            Reply::Got { kind: Exclusive, holders: 1, name },
            Reply::Got { kind: Shared, holders: count, name },
            Reply::Got { kind: Read, holders: count, name },
            Reply::Got { kind: Write, holders: 1, name },
            Reply::ReleasedAll { holds: 0 },
            Reply::ReleasedAll { holds: count },
            Reply::NoTokens,
            Reply::Inspected { kind: Exclusive, holders: 1, name },
            Reply::Inspected { kind: Shared, holders: count, name },
            Reply::Inspected { kind: Read, holders: count, name },
            Reply::Inspected { kind: Write, holders: 1, name },
            Reply::TooManyLocks { name },
            Reply::OutOfMemory { name },
            Reply::ShuttingDown,
            Reply::Kicked { connections: 0, addr: name },
            Reply::Kicked { connections: count, addr: name },
            Reply::LingerFailure,
            Reply::ResumeFailure,
            Reply::Stolen { kind: Exclusive, was_held: true, name },
            Reply::Stolen { kind: Exclusive, was_held: false, name },
            Reply::Stolen { kind: Write, was_held: true, name },
            Reply::Stolen { kind: Write, was_held: false, name },
            Reply::LoggedIn { account: name },
            Reply::AuthFailure,
            Reply::NotAllowed { verb },
            Reply::Registered,
            Reply::Pong,
            Reply::BadArgument { verb },
            Reply::UnknownCommand { verb: b"bogus" },
            Reply::LineTooLong,
        ];
        for kind in [Exclusive, Shared] {
            replies.extend([
                Reply::Ended { kind, name },
                Reply::EndTimeout { kind, name },
                Reply::EndDeadlock { kind, name },
                Reply::EndQueueFull { kind, name },
            ]);
        }
        for framed in [false, true] {
            replies.extend([
                Reply::AuthRequired { framed },
                Reply::Disabled { framed },
                Reply::NameTooLong { framed },
                Reply::TooLarge { framed },
            ]);
        }
        for kind in Kind::ALL {
            replies.extend([
                Reply::GetFailure { kind, name },
                Reply::GetTimeout { kind, name },
                Reply::GetDeadlock { kind, name },
                Reply::QueueFull { kind, name },
                Reply::Released { kind, name },
                Reply::ReleaseFailure { kind, name },
                Reply::Inspected { kind, holders: 0, name },
                Reply::Fenced { kind, token, name },
                Reply::NotHeld { kind, name },
            ]);
        }
        replies
    }

    /// Fails if a row is added to the table and not tried above.
    #[test]
    fn every_row_is_tried() {
        let replies = every_reply(b"name", 7, 9);
        let mut lines: Vec<_> = replies.iter().map(text).collect();
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), replies.len());
        // `ReleasedAll` is tried twice.
        assert_eq!(lines.len(), Reply::candidates_count() + 1);
    }
}
