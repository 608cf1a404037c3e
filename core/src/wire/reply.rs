//! Replies: what they are, and their bytes. They borrow from the command and from the machine.

use super::verb::Verb;
use crate::inspect::{Figure, Figures};
use crate::machine::Reason;
use crate::types::{Addr, Kind};
use std::io::Write;

/// The answer to one command. Small, because every reply is handed on: what would make it large is borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `1 Lock Get Success: NAME`, `N Shared Lock Get Success: NAME`.
    Got {
        /// Whose name space.
        kind: Kind,
        /// Holders, the asker included.
        holders: u32,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Failure: NAME`: another connection holds it. `0 Shared Lock Get Failure: NAME`: as many
    /// hold it as may, or somebody waits for it.
    GetFailure {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Timeout: NAME`, `0 Shared Lock Get Timeout: NAME`: the wait came to its end without the lock.
    GetTimeout {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Deadlock: NAME`, `0 Shared Lock Get Deadlock: NAME`: the wait would be for ever.
    GetDeadlock {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Queue Full: NAME`, `0 Shared Lock Get Queue Full: NAME`: too many wait already.
    QueueFull {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `1 Lock Release Success: NAME`, `1 Shared Lock Release Success: NAME`.
    Released {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Release Failure: NAME`, `0 Shared Lock Release Failure: NAME`: the asker does not hold it.
    ReleaseFailure {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `N Locks Released`: everything the asker held, exclusive and shared.
    ReleasedAll {
        /// How many holds those were.
        holds: u32,
    },
    /// `TOKEN Lock Fence: NAME`.
    Fenced {
        /// The hold's fencing token.
        token: u64,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Not Held: NAME`: the asker does not hold it.
    NotHeld {
        /// The lock.
        name: &'a [u8],
    },
    /// `0 No Tokens`: none is left of those that the driver reserved.
    NoTokens,
    /// `1 Lock Is Locked: NAME`, `N Shared Lock Is Locked: NAME`; `0 … Not Locked: NAME` for no holders.
    Inspected {
        /// Whose name space.
        kind: Kind,
        /// Holders.
        holders: u32,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Too Many Locks: NAME`: the get would pass a limit.
    TooManyLocks {
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Shutting Down`: nothing is granted any more.
    ShuttingDown,
    /// To be answered with a listing, which the driver collects with [`Machine::scan`](crate::Machine::scan).
    Listing(Listing<'a>),
    /// `N Kick Success: ADDR`; `0 Kick Failure: ADDR` when there is none.
    Kicked {
        /// How many connections were closed that come from there.
        connections: u32,
        /// The address, as it was asked for.
        addr: &'a [u8],
    },
    /// `1 Lock Steal Success: NAME`; `0 Lock Steal Failure: NAME`: nobody holds it.
    Stolen {
        /// Whether somebody did hold it.
        was_held: bool,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Not Allowed: VERB`: only on an administrative listener.
    NotAllowed {
        /// What it is that is not.
        verb: Verb,
    },
    /// `1 ADDR NAME`.
    Me {
        /// Where the connection comes from.
        addr: &'a Addr,
        /// Its registered name, if it has one.
        name: Option<&'a [u8]>,
    },
    /// `1 ok`.
    Registered,
    /// The statistics.
    Figures {
        /// What they are now.
        figures: &'a Figures<'a>,
        /// Whether all of them are wanted.
        full: bool,
    },
    /// `1 pong`.
    Pong,
    /// One line for each command.
    Help,
    /// `0 disabled`.
    Disabled {
        /// Whether an empty line ends the reply.
        framed: bool,
    },
    /// `0 Name Too Long`.
    NameTooLong {
        /// Whether an empty line ends the reply.
        framed: bool,
    },
    /// `0 Bad Argument: VERB`.
    BadArgument {
        /// Whose argument is no number, or too high.
        verb: Verb,
    },
    /// `0 Unknown Command: VERB`.
    UnknownCommand {
        /// What stood where a verb belongs.
        verb: &'a [u8],
    },
    /// `0 Line Too Long`.
    LineTooLong,
}

impl Reply<'_> {
    /// Whether it is a failure: one whose line begins with `0 `. To say that nobody holds a lock is one.
    #[must_use]
    #[inline]
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::GetFailure { .. }
            | Self::GetTimeout { .. }
            | Self::GetDeadlock { .. }
            | Self::QueueFull { .. }
            | Self::ReleaseFailure { .. }
            | Self::ReleasedAll { holds: 0 }
            | Self::NotHeld { .. }
            | Self::NoTokens
            | Self::Kicked { connections: 0, .. }
            | Self::Stolen { was_held: false, .. }
            | Self::NotAllowed { .. }
            | Self::BadArgument { .. }
            | Self::Inspected { holders: 0, .. }
            | Self::TooManyLocks { .. }
            | Self::ShuttingDown
            | Self::Disabled { .. }
            | Self::NameTooLong { .. }
            | Self::UnknownCommand { .. }
            | Self::LineTooLong => true,
            Self::Got { .. }
            | Self::Released { .. }
            | Self::ReleasedAll { .. }
            | Self::Fenced { .. }
            | Self::Kicked { .. }
            | Self::Stolen { .. }
            | Self::Inspected { .. }
            | Self::Listing(_)
            | Self::Me { .. }
            | Self::Registered
            | Self::Figures { .. }
            | Self::Pong
            | Self::Help => false,
        }
    }
}

/// What a listing is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Which listing.
    pub subject: Subject,
    /// Only this name, or what starts with it; everything when empty.
    pub name: &'a [u8],
}

/// The listings there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `d`, `sd`.
    Locks(Kind),
    /// `dump`, `dump shared`.
    Dump(Kind),
    /// `ls`: `name` is the start of the names.
    All,
    /// `who`.
    Who,
}

/// Appends a reply, with all its line ends.
///
/// [`Reply::Listing`] appends nothing: its text is collected in slices (see [`crate::wire::listing`]).
#[inline(always)]
#[expect(clippy::inline_always, reason = "one of two lines is copied, mostly")]
pub fn encode(reply: &Reply<'_>, out: &mut Vec<u8>) {
    match reply {
        // Nearly all replies are one of these two, and short enough to be encoded where they are made.
        Reply::Got { kind: Kind::Exclusive, name, .. } => line(out, GOT, name),
        Reply::Released { kind: Kind::Exclusive, name } => line(out, RELEASED, name),
        _ => encode_any(reply, out),
    }
}

const GOT: &[u8] = b"1 Lock Get Success: ";
const RELEASED: &[u8] = b"1 Lock Release Success: ";

fn encode_any(reply: &Reply<'_>, out: &mut Vec<u8>) {
    match reply {
        Reply::Got { kind: Kind::Exclusive, name, .. } => line(out, GOT, name),
        Reply::Released { kind: Kind::Exclusive, name } => line(out, RELEASED, name),
        Reply::Got { kind: Kind::Shared, holders, name } => {
            counted_line(out, u64::from(*holders), b" Shared Lock Get Success: ", name);
        }
        Reply::GetFailure { kind, name } => failed_get(out, *kind, b"Failure: ", name),
        Reply::GetTimeout { kind, name } => failed_get(out, *kind, b"Timeout: ", name),
        Reply::GetDeadlock { kind, name } => failed_get(out, *kind, b"Deadlock: ", name),
        Reply::QueueFull { kind, name } => failed_get(out, *kind, b"Queue Full: ", name),
        Reply::Released { kind: Kind::Shared, name } => line(out, b"1 Shared Lock Release Success: ", name),
        Reply::ReleaseFailure { kind: Kind::Exclusive, name } => line(out, b"0 Lock Release Failure: ", name),
        Reply::ReleaseFailure { kind: Kind::Shared, name } => {
            line(out, b"0 Shared Lock Release Failure: ", name);
        }
        Reply::ReleasedAll { holds } => counted_line(out, u64::from(*holds), b" Locks Released", b""),
        Reply::Fenced { token, name } => counted_line(out, *token, b" Lock Fence: ", name),
        Reply::NotHeld { name } => line(out, b"0 Lock Not Held: ", name),
        Reply::NoTokens => line(out, b"0 No Tokens", b""),
        Reply::Inspected { kind: Kind::Exclusive, holders: 0, name } => {
            line(out, b"0 Lock Not Locked: ", name);
        }
        Reply::Inspected { kind: Kind::Exclusive, name, .. } => line(out, b"1 Lock Is Locked: ", name),
        Reply::Inspected { kind: Kind::Shared, holders: 0, name } => {
            line(out, b"0 Shared Lock Not Locked: ", name);
        }
        Reply::Inspected { kind: Kind::Shared, holders, name } => {
            counted_line(out, u64::from(*holders), b" Shared Lock Is Locked: ", name);
        }
        Reply::TooManyLocks { name } => line(out, b"0 Too Many Locks: ", name),
        Reply::ShuttingDown => line(out, b"0 Shutting Down", b""),
        Reply::Listing(_) => {}
        Reply::Kicked { connections: 0, addr } => line(out, b"0 Kick Failure: ", addr),
        Reply::Kicked { connections, addr } => {
            counted_line(out, u64::from(*connections), b" Kick Success: ", addr);
        }
        Reply::Stolen { was_held: true, name } => line(out, b"1 Lock Steal Success: ", name),
        Reply::Stolen { was_held: false, name } => line(out, b"0 Lock Steal Failure: ", name),
        Reply::NotAllowed { verb } => line(out, b"0 Not Allowed: ", verb.word().as_bytes()),
        Reply::Me { addr, name } => {
            write!(out, "1 {addr} ").expect("writing to memory does not fail");
            match name {
                Some(name) => line(out, b"", name),
                None => writeln!(out, "{addr}").expect("writing to memory does not fail"),
            }
        }
        Reply::Registered => line(out, b"1 ok", b""),
        Reply::Figures { figures, full } => encode_figures(figures, *full, out),
        Reply::Pong => line(out, b"1 pong", b""),
        Reply::Help => {
            for verb in Verb::ALL {
                line(out, verb.help().as_bytes(), b"");
            }
            out.push(b'\n');
        }
        Reply::Disabled { framed } => framed_line(out, b"0 disabled", *framed),
        Reply::NameTooLong { framed } => framed_line(out, b"0 Name Too Long", *framed),
        Reply::BadArgument { verb } => line(out, b"0 Bad Argument: ", verb.word().as_bytes()),
        Reply::UnknownCommand { verb } => line(out, b"0 Unknown Command: ", verb),
        Reply::LineTooLong => line(out, b"0 Line Too Long", b""),
    }
}

/// Appends the last line that a connection gets before it is closed, if there is one.
pub fn encode_reason(reason: Reason, out: &mut Vec<u8>) {
    match reason {
        Reason::TooManyConnections => line(out, b"0 Too Many Connections", b""),
        // An unasked-for line would be taken for the answer to the next request.
        Reason::Quit | Reason::Idle | Reason::Kicked => {}
    }
}

fn encode_figures(figures: &Figures<'_>, full: bool, out: &mut Vec<u8>) {
    figures.each(full, &mut |key, figure| {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b": ");
        match figure {
            Figure::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Figure::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
        out.push(b'\n');
    });
    out.push(b'\n');
}

#[inline]
fn line(out: &mut Vec<u8>, text: &[u8], name: &[u8]) {
    out.reserve(text.len() + name.len() + 1);
    out.extend_from_slice(text);
    out.extend_from_slice(name);
    out.push(b'\n');
}

fn failed_get(out: &mut Vec<u8>, kind: Kind, how: &[u8], name: &[u8]) {
    out.extend_from_slice(match kind {
        Kind::Exclusive => b"0 Lock Get ",
        Kind::Shared => b"0 Shared Lock Get ",
    });
    line(out, how, name);
}

fn counted_line(out: &mut Vec<u8>, count: u64, text: &[u8], name: &[u8]) {
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    line(out, text, name);
}

fn framed_line(out: &mut Vec<u8>, text: &[u8], framed: bool) {
    line(out, text, if framed { b"\n" } else { b"" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::machine::Machine;
    use crate::types::Addr;

    fn text(reply: &Reply<'_>) -> String {
        let mut out = b"before ".to_vec();
        encode(reply, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").expect("appended").to_owned()
    }

    #[test]
    fn replies_are_the_lines_of_the_protocol() {
        let name = &b"n"[..];
        let (x, s) = (Kind::Exclusive, Kind::Shared);
        let table = [
            (Reply::Got { kind: x, holders: 1, name }, "1 Lock Get Success: n\n"),
            (Reply::Got { kind: s, holders: 12, name }, "12 Shared Lock Get Success: n\n"),
            (Reply::GetFailure { kind: x, name }, "0 Lock Get Failure: n\n"),
            (Reply::GetFailure { kind: s, name }, "0 Shared Lock Get Failure: n\n"),
            (Reply::GetTimeout { kind: x, name }, "0 Lock Get Timeout: n\n"),
            (Reply::GetTimeout { kind: s, name }, "0 Shared Lock Get Timeout: n\n"),
            (Reply::GetDeadlock { kind: x, name }, "0 Lock Get Deadlock: n\n"),
            (Reply::GetDeadlock { kind: s, name }, "0 Shared Lock Get Deadlock: n\n"),
            (Reply::QueueFull { kind: x, name }, "0 Lock Get Queue Full: n\n"),
            (Reply::QueueFull { kind: s, name }, "0 Shared Lock Get Queue Full: n\n"),
            (Reply::Released { kind: x, name }, "1 Lock Release Success: n\n"),
            (Reply::Released { kind: s, name }, "1 Shared Lock Release Success: n\n"),
            (Reply::ReleaseFailure { kind: x, name }, "0 Lock Release Failure: n\n"),
            (Reply::ReleaseFailure { kind: s, name }, "0 Shared Lock Release Failure: n\n"),
            (Reply::ReleasedAll { holds: 0 }, "0 Locks Released\n"),
            (Reply::ReleasedAll { holds: 2 }, "2 Locks Released\n"),
            (Reply::Fenced { token: 9_007_199_254_740_991, name }, "9007199254740991 Lock Fence: n\n"),
            (Reply::NotHeld { name }, "0 Lock Not Held: n\n"),
            (Reply::NoTokens, "0 No Tokens\n"),
            (Reply::Kicked { connections: 1, addr: name }, "1 Kick Success: n\n"),
            (Reply::Kicked { connections: 0, addr: name }, "0 Kick Failure: n\n"),
            (Reply::Stolen { was_held: true, name }, "1 Lock Steal Success: n\n"),
            (Reply::Stolen { was_held: false, name }, "0 Lock Steal Failure: n\n"),
            (Reply::NotAllowed { verb: Verb::Kick }, "0 Not Allowed: kick\n"),
            (Reply::BadArgument { verb: Verb::GetWait }, "0 Bad Argument: gw\n"),
            (Reply::Inspected { kind: x, holders: 1, name }, "1 Lock Is Locked: n\n"),
            (Reply::Inspected { kind: x, holders: 0, name }, "0 Lock Not Locked: n\n"),
            (Reply::Inspected { kind: s, holders: 3, name }, "3 Shared Lock Is Locked: n\n"),
            (Reply::Inspected { kind: s, holders: 0, name }, "0 Shared Lock Not Locked: n\n"),
            (Reply::TooManyLocks { name }, "0 Too Many Locks: n\n"),
            (Reply::ShuttingDown, "0 Shutting Down\n"),
            (Reply::Me { addr: &Addr::Unix(7), name: None }, "1 unix:7 unix:7\n"),
            (Reply::Me { addr: &Addr::Unix(7), name: Some(name) }, "1 unix:7 n\n"),
            (Reply::Registered, "1 ok\n"),
            (Reply::Pong, "1 pong\n"),
            (Reply::Disabled { framed: false }, "0 disabled\n"),
            (Reply::Disabled { framed: true }, "0 disabled\n\n"),
            (Reply::NameTooLong { framed: false }, "0 Name Too Long\n"),
            (Reply::NameTooLong { framed: true }, "0 Name Too Long\n\n"),
            (Reply::UnknownCommand { verb: name }, "0 Unknown Command: n\n"),
            (Reply::LineTooLong, "0 Line Too Long\n"),
        ];
        for (reply, line) in table {
            assert_eq!(text(&reply), line);
            assert_eq!(reply.is_failure(), line.starts_with("0 "), "{line}");
        }
    }

    #[test]
    fn an_empty_name_leaves_its_place_empty() {
        assert_eq!(text(&Reply::GetFailure { kind: Kind::Exclusive, name: b"" }), "0 Lock Get Failure: \n");
    }

    #[test]
    fn help_has_a_line_for_each_verb_that_starts_with_it() {
        let help = text(&Reply::Help);
        let lines: Vec<_> = help.strip_suffix("\n\n").expect("an empty line ends it").lines().collect();
        assert_eq!(lines.len(), Verb::COUNT);
        for (line, verb) in lines.into_iter().zip(Verb::ALL) {
            let (request, what) = line.split_once(": ").expect("the request and what it does");
            assert_eq!(request.split(' ').next(), Some(verb.word()));
            assert!(!what.is_empty());
        }
    }

    #[test]
    fn figures_are_sorted_lines_and_full_ones_are_more() {
        let mut config = Config::default();
        config.identity.version = "1.2.3".to_owned();
        let machine = Machine::new(config);
        let plain = text(&Reply::Figures { figures: &machine.figures(), full: false });
        let full = text(&Reply::Figures { figures: &machine.figures(), full: true });
        let keys = "command_d command_dump command_g command_i command_q command_r command_sd command_sg \
                    command_si command_sr connections invalid_commands locks orphans shared_locks shared_orphans";
        assert_eq!(plain, keys.split_whitespace().collect::<Vec<_>>().join(": 0\n") + ": 0\n\n");
        assert!(full.lines().is_sorted_by_key(|line| if line.is_empty() { "~" } else { line }));
        assert!(plain.lines().all(|line| full.contains(line)));
        assert!(full.contains("version: 1.2.3\n") && full.contains("limit_name_bytes: 4096\n"));
    }

    #[test]
    fn only_a_refused_connection_gets_a_last_line() {
        let line = |reason| {
            let mut out = Vec::new();
            encode_reason(reason, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(Reason::TooManyConnections), "0 Too Many Connections\n");
        assert_eq!(line(Reason::Quit) + &line(Reason::Idle) + &line(Reason::Kicked), "");
    }
}
