//! What the outside sees of a machine, owned and comparable: the bytes sent to each connection, and the connections
//! closed. Nothing that a client could notice may be left out.

use elockd_core::wire::listing::{Packed, Slice, Text};
use elockd_core::wire::{encode, encode_reason};
use elockd_core::{Command, Conn, Input, Machine, Now, Output, Reason, Reply, Scan};
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
            Self::Sent(conn, text) => write!(f, "{}<\"{}\"", conn.serial(), text.escape_ascii()),
            Self::Waits(conn) => write!(f, "{} waits", conn.serial()),
            Self::Disconnected(conn, reason, text) => {
                write!(f, "{}<\"{}\" and closed: {reason:?}", conn.serial(), text.escape_ascii())
            }
        }
    }
}

/// Applies one input to the real machine. Reads a listing at once, slice by slice, with no input in between.
pub fn observe(machine: &mut Machine, now: Now, input: Input<&Command<Vec<u8>>>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut listing = None;
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
    if let Some((conn, mut scan)) = listing {
        let mut text = Text::new(scan.subject());
        while !scan.is_done() {
            text.add(read_slice(machine, &mut scan));
        }
        events.push(Event::Sent(conn, whole(text)));
    }
    events
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
