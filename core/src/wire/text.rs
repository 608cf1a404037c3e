//! Replies as bytes. The table in `one_line.rs` has most replies of one line. Here are replies of several lines, `me`,
//! and the last line of a connection.

use super::one_line::OneLine;
use super::reply::Reply;
use super::unknown;
use crate::inspect::Figure;
use crate::machine::Reason;
use crate::types::{Addr, Kind};
use std::io::Write;

/// Appends a reply, with all its line ends.
///
/// For [`Reply::Listing`] it appends nothing. The text of a listing is collected in slices (see
/// [`listing`](super::listing)).
#[inline(always)]
#[expect(clippy::inline_always, reason = "one of two lines is copied, mostly")]
pub fn encode(reply: &Reply<'_>, out: &mut Vec<u8>) {
    match reply {
        // Nearly all replies are one of these two, and these are short enough to be encoded inline.
        Reply::Got { kind: Kind::Exclusive, name, .. } => line(out, b"1 Lock Get Success: ", name),
        Reply::Released { kind: Kind::Exclusive, name } => line(out, b"1 Lock Release Success: ", name),
        _ => encode_any(reply, out),
    }
}

fn encode_any(reply: &Reply<'_>, out: &mut Vec<u8>) {
    if let Some(OneLine { number, words, name }) = reply.one_line() {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        if let Reply::UnknownCommand { verb } = reply {
            out.extend_from_slice(words);
            unknown::append(verb, out);
            out.push(b'\n');
        } else {
            line(out, words, name);
        }
    }
    match reply {
        Reply::Me { addr, name } => {
            write!(out, "1 {addr} ").expect("writing to memory does not fail");
            match name {
                Some(name) => line(out, b"", name),
                None => writeln!(out, "{addr}").expect("writing to memory does not fail"),
            }
        }
        Reply::Lingers { key, ms } => {
            out.extend_from_slice(LINGERS);
            out.extend_from_slice(key.unwrap_or(b"-"));
            writeln!(out, " {ms}").expect("writing to memory does not fail");
        }
        Reply::Resumed { holds } => {
            out.extend_from_slice(RESUMED);
            writeln!(out, "{holds}").expect("writing to memory does not fail");
        }
        Reply::Figures { figures, full } => {
            figures.each(*full, &mut |key, figure| write_figure(key, figure, out));
        }
        Reply::OwnFigures(own) => own.each(&mut |key, figure| write_figure(key, figure, out)),
        Reply::Help { verbs } => verbs.iter().for_each(|verb| line(out, verb.help().as_bytes(), b"")),
        _ => {}
    }
    if reply.is_framed() {
        out.push(b'\n');
    }
}

/// Appends the last line that a connection gets before it is closed, if `reason` has one.
pub fn encode_reason(reason: Reason, out: &mut Vec<u8>) {
    match reason {
        Reason::TooManyConnections => out.extend_from_slice(REFUSED),
        Reason::NoQuorum => out.extend_from_slice(NO_QUORUM),
        // A client would take a line that it did not ask for as the answer to its next request.
        Reason::Quit | Reason::Idle | Reason::Kicked | Reason::Resumed => {}
    }
}

/// Reads the last line that a connection got before it was closed. `None` if it is another line.
#[must_use]
pub fn read_reason(text: &[u8]) -> Option<Reason> {
    match text {
        REFUSED => Some(Reason::TooManyConnections),
        NO_QUORUM => Some(Reason::NoQuorum),
        _ => None,
    }
}

fn write_figure(key: &str, figure: Figure<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b": ");
    match figure {
        Figure::Number(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        Figure::Text(text) => out.extend_from_slice(text.as_bytes()),
    }
    out.push(b'\n');
}

#[inline]
fn line(out: &mut Vec<u8>, text: &[u8], name: &[u8]) {
    out.reserve(text.len() + name.len() + 1);
    out.extend_from_slice(text);
    out.extend_from_slice(name);
    out.push(b'\n');
}

const REFUSED: &[u8] = b"0 Too Many Connections\n";
const NO_QUORUM: &[u8] = b"0 No Quorum\n";
const LINGERS: &[u8] = b"1 Linger Success: ";
const RESUMED: &[u8] = b"1 Resume Success: ";

/// Reads a success of `linger` or `resume`, without its line end.
pub(super) fn read_session(line: &[u8]) -> Option<Reply<'_>> {
    let number = |text: &[u8]| -> Option<u32> {
        let number = std::str::from_utf8(text).ok()?.parse().ok()?;
        (itoa::Buffer::new().format(number).as_bytes() == text).then_some(number)
    };
    if let Some(holds) = line.strip_prefix(RESUMED) {
        return Some(Reply::Resumed { holds: number(holds)? });
    }
    let (key, ms) = line
        .strip_prefix(LINGERS)?
        .split_at_checked(line.iter().rposition(|byte| *byte == b' ')? - LINGERS.len())?;
    let ms = number(&ms[1..])?;
    match (key, ms) {
        (b"-", 0) => Some(Reply::Lingers { key: None, ms }),
        (b"-" | b"", _) | (_, 0) => None,
        _ => Some(Reply::Lingers { key: Some(key), ms }),
    }
}

/// Reads the reply to `me`: the address, and the registered name or the address again.
#[must_use]
pub fn read_me(text: &[u8]) -> Option<(Addr, &[u8])> {
    let rest = text.strip_prefix(b"1 ")?.strip_suffix(b"\n")?;
    let (addr, name) = rest.split_at(rest.iter().position(|byte| *byte == b' ')?);
    Some((Addr::parse(addr)?, &name[1..]))
}

/// Reads the reply to `q` or `q full`: its keys and values, in their order. `None` if the text is not a whole reply to
/// these.
///
/// ```
/// let figures = elockd_core::wire::read_figures(b"locks: 7\nversion: 1.2.3\n\n").unwrap();
/// assert_eq!(figures, [("locks", "7"), ("version", "1.2.3")]);
/// ```
#[must_use]
pub fn read_figures(text: &[u8]) -> Option<Vec<(&str, &str)>> {
    let rows = std::str::from_utf8(text).ok()?.strip_suffix("\n\n")?;
    rows.split('\n').map(|row| row.split_once(": ")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::verb::{Verb, VerbSet};
    use super::*;
    use crate::config::Config;
    use crate::machine::Machine;

    pub(in crate::wire) fn text(reply: &Reply<'_>) -> String {
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
            (
                Reply::Fenced { kind: x, token: 9_007_199_254_740_991, name },
                "9007199254740991 Lock Fence: n\n",
            ),
            (Reply::NotHeld { kind: x, name }, "0 Lock Not Held: n\n"),
            (Reply::NoTokens, "0 No Tokens\n"),
            (Reply::Kicked { connections: 1, addr: name }, "1 Kick Success: n\n"),
            (Reply::Kicked { connections: 0, addr: name }, "0 Kick Failure: n\n"),
            (Reply::Stolen { kind: x, was_held: true, name }, "1 Lock Steal Success: n\n"),
            (Reply::Stolen { kind: x, was_held: false, name }, "0 Lock Steal Failure: n\n"),
            (Reply::NotAllowed { verb: Verb::Kick }, "0 Not Allowed: kick\n"),
            (Reply::NotAllowed { verb: Verb::ListAll }, "0 Not Allowed: ls\n\n"),
            (Reply::LoggedIn { account: name }, "1 Auth Success: n\n"),
            (Reply::AuthFailure, "0 Auth Failure\n"),
            (Reply::AuthRequired { framed: false }, "0 Auth Required\n"),
            (Reply::AuthRequired { framed: true }, "0 Auth Required\n\n"),
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
        let help = text(&Reply::Help { verbs: VerbSet::ALL });
        let lines: Vec<_> = help.strip_suffix("\n\n").expect("an empty line ends it").lines().collect();
        assert_eq!(lines.len(), Verb::COUNT);
        for (line, verb) in lines.into_iter().zip(Verb::ALL) {
            let (request, what) = line.split_once(": ").expect("the request and what it does");
            assert_eq!(request.split(' ').next(), Some(verb.word()));
            assert!(!what.is_empty());
        }
        let short = text(&Reply::Help { verbs: VerbSet::BEFORE_AUTH });
        let words: Vec<_> = short.lines().filter_map(|line| line.split([' ', ':']).next()).collect();
        assert_eq!(
            words,
            ["auth", "help", "ping", "quit", ""],
            "a line for each verb of the set, and the end"
        );
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
    fn only_who_is_refused_gets_a_last_line() {
        let line = |reason| {
            let mut out = Vec::new();
            encode_reason(reason, &mut out);
            assert_eq!(
                read_reason(&out),
                (!out.is_empty()).then_some(reason),
                "it is read as it was written"
            );
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(Reason::TooManyConnections), "0 Too Many Connections\n");
        assert_eq!(line(Reason::NoQuorum), "0 No Quorum\n");
        assert_eq!(line(Reason::Quit) + &line(Reason::Idle) + &line(Reason::Kicked), "");
    }
}
