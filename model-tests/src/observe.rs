//! What the outside sees of a machine, owned and comparable: the bytes sent to each connection, and the connections
//! closed. Nothing that a client could notice may be left out.

use elockd_core::wire::listing::{Packed, Slice, Text};
use elockd_core::wire::{encode, encode_reason};
use elockd_core::{BorrowedInput, Conn, Input, Machine, Now, Output, Reason, Reply, Scan};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something that happens to one connection.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// It is sent a reply.
    Sent(Conn, Vec<u8>),
    /// It waits: its reply comes later.
    Waits(Conn),
    /// It is sent a last line, or nothing, and closed.
    Disconnected(Conn, Reason, Vec<u8>),
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(conn, text) => write!(f, "{}<\"{}\"", conn, text.escape_ascii()),
            Self::Waits(conn) => write!(f, "{conn} waits"),
            Self::Disconnected(conn, reason, text) => {
                write!(f, "{}<\"{}\" and closed: {reason:?}", conn, text.escape_ascii())
            }
        }
    }
}

/// Applies one input to the real machine, and behind a `Tick` sweeps a slice. Reads a listing at once, slice by slice,
/// with no input in between. It shows what the asker's account may see.
pub fn observe(machine: &mut Machine, now: Now, input: BorrowedInput<'_, Vec<u8>>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut listing = None;
    let is_tick = matches!(input, Input::Tick);
    machine.apply(now, input, &mut |conn, output| match output {
        Output::Reply(Reply::Listing(of)) => listing = Some((conn, Scan::new(of))),
        Output::Reply(reply) => {
            let mut text = Vec::new();
            encode(&reply, &mut text);
            events.push(Event::Sent(conn, text));
        }
        Output::Wait => events.push(Event::Waits(conn)),
        Output::Disconnect(reason) => {
            let mut text = Vec::new();
            encode_reason(reason, &mut text);
            events.push(Event::Disconnected(conn, reason, text));
        }
    });
    if is_tick {
        // As a driver does whenever it looks.
        machine.sweep(1);
    }
    if let Some((conn, scan)) = listing {
        let mut scan = scan.seen_by(machine.account_of(conn).expect("who asks is open"));
        let mut text = Text::new(scan.subject());
        while !scan.is_done() {
            text.add(read_slice(machine, &mut scan));
        }
        events.push(Event::Sent(conn, whole(text)));
    }
    events
}

/// How events differ from those that were expected, in words. Of two answers with figures it names the figures alone.
#[must_use]
pub fn difference(events: &[Event], expected: &[Event]) -> String {
    if let ([Event::Sent(conn, text)], [Event::Sent(other, wanted)]) = (events, expected)
        && conn == other
        && let Some(figures) = different_figures(text, wanted)
    {
        return figures;
    }
    format!("{events:?}, expected {expected:?}")
}

/// The figures that differ between two answers to `q` or `q full`. `None` if that is not what they are.
#[must_use]
pub fn different_figures(text: &[u8], wanted: &[u8]) -> Option<String> {
    let (figures, wanted) = (figures(text)?, figures(wanted)?);
    let keys: BTreeSet<&str> = figures.keys().chain(wanted.keys()).copied().collect();
    let of = |figures: &BTreeMap<&str, &str>, key| {
        figures.get(key).map_or("missing".to_owned(), ToString::to_string)
    };
    let is_different = |key: &&str| figures.get(key) != wanted.get(key);
    let differences = keys
        .into_iter()
        .filter(is_different)
        .map(|key| format!("the figure {key} is {}, expected {}", of(&figures, key), of(&wanted, key)));
    Some(differences.collect::<Vec<_>>().join("; ")).filter(|differences| !differences.is_empty())
}

fn figures(text: &[u8]) -> Option<BTreeMap<&str, &str>> {
    let lines = std::str::from_utf8(text).ok()?.strip_suffix("\n\n")?;
    let figures: Option<BTreeMap<_, _>> = lines.lines().map(|line| line.split_once(": ")).collect();
    figures.filter(|figures| figures.contains_key("connections") && figures.contains_key("locks"))
}

/// Reads the next slice of a listing.
pub fn read_slice(machine: &Machine, scan: &mut Scan) -> Packed {
    let mut slice = Slice::new(scan);
    machine.scan(scan, &mut |entry| slice.push(entry));
    slice.pack()
}

/// A listing's text, taken in pieces of two rows.
#[must_use]
pub fn whole(mut text: Text) -> Vec<u8> {
    let mut bytes = Vec::new();
    while text.piece(2, usize::MAX, &mut bytes) {}
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_figures_names_them_and_any_other_shows_everything() {
        let conn = Conn::new(0, 3);
        let sent = |text: &str| vec![Event::Sent(conn, text.as_bytes().to_vec())];
        let told = difference(
            &sent("connections: 1\nlocks: 2\norphans: 7\nwaits: 9\n\n"),
            &sent("connections: 1\nlocks: 3\norphans: 7\n\n"),
        );
        assert_eq!(told, "the figure locks is 2, expected 3; the figure waits is 9, expected missing");
        let told = difference(&sent("1 pong\n"), &sent("0 Lock Get Failure: a\n"));
        assert_eq!(told, r#"[3<"1 pong\n"], expected [3<"0 Lock Get Failure: a\n"]"#);
        let same_order = "locks: 1\nconnections: 1\n\n";
        assert!(
            difference(&sent("connections: 1\nlocks: 1\n\n"), &sent(same_order)).contains(", expected [")
        );
    }
}
