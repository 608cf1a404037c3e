//! Listings, put together. Slices read by [`Machine::scan`](crate::Machine::scan) go in, and sorted text comes out in
//! pieces. Each slice is sorted when it comes in. The slices are merged on the way out. So no step takes long, however
//! long the listing is.

pub use super::slice::{Packed, Slice};

use super::reply::{Reply, Subject};
use super::row::{Group, Role};
use super::slice::PackedRow;
use super::text::encode;
use crate::types::{Conn, Kind};
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::collections::binary_heap::{BinaryHeap, PeekMut};

/// Where a name's rows begin in `ls`: with the hold of the exclusive lock. `ls` shows it at most once, whatever
/// happened meanwhile.
const EXCLUSIVE_HOLD: u8 = Group { kind: Kind::Exclusive, role: Role::Holds }.place();

/// Slices that are merged into one text.
#[derive(Debug)]
pub struct Text {
    subject: Subject,
    /// The slices that have rows left, the one with the least row first.
    heads: BinaryHeap<Reverse<Head>>,
    /// How many slices there have been.
    slices: u32,
    state: Progress,
    /// Whether a row was written.
    has_rows: bool,
    /// The name that was written last, and the connections that were written as its holders. For `who` there are none:
    /// it meets no connection twice.
    name: Vec<u8>,
    holders: BTreeSet<Conn>,
    /// The place of the group of the row that was written last.
    place: u8,
}

/// A slice and its next row.
#[derive(Debug)]
struct Head {
    slice: Packed,
    row: PackedRow,
    number: u32,
}

impl Head {
    /// What sorts the rows of a text.
    fn place(&self) -> (&[u8], u64, Conn, u32) {
        (self.slice.key(&self.row), self.row.order, self.row.conn, self.number)
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Start,
    Rows,
    Done,
}

impl Text {
    /// A text without rows yet.
    #[must_use]
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            heads: BinaryHeap::new(),
            slices: 0,
            state: Progress::Start,
            has_rows: false,
            name: Vec::new(),
            holders: BTreeSet::new(),
            place: 0,
        }
    }

    /// Adds a slice. All slices must be added before the first piece is taken. The text takes as much memory as its
    /// slices [say](Packed::memory), beside itself.
    pub fn add(&mut self, slice: Packed) {
        assert_eq!(self.state, Progress::Start, "slices come before pieces");
        if let Some(row) = slice.row(0) {
            // Twice the room each time, as always, but from one place on: most listings are one slice.
            if self.heads.len() == self.heads.capacity() {
                self.heads.reserve_exact(self.heads.len().max(1));
            }
            self.heads.push(Reverse(Head { slice, row, number: self.slices }));
            self.slices += 1;
        }
    }

    /// Writes the next piece: at most `rows` rows, and none once `out` has `full` bytes or more. Returns whether there
    /// is more.
    pub fn piece(&mut self, rows: usize, full: usize, out: &mut Vec<u8>) -> bool {
        if self.state == Progress::Start {
            self.state = Progress::Rows;
            if let Subject::Dump(_) = self.subject {
                out.extend_from_slice(b"map[");
            }
        }
        for _ in 0..rows {
            if out.len() >= full || self.state == Progress::Done || !self.row(out) {
                break;
            }
        }
        self.state != Progress::Done
    }

    /// Writes the next row, or the end. Returns whether there is more.
    fn row(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(mut top) = self.heads.peek_mut() else {
            self.state = Progress::Done;
            self.end(out);
            return false;
        };
        let Reverse(Head { slice, row, .. }) = &mut *top;
        let key = slice.key(row);
        let is_first = !self.has_rows;
        let is_new_name = is_first || self.name != key;
        let place = row.place();
        let is_new_lock = is_new_name || place >> 2 != self.place >> 2;
        if is_new_lock {
            self.holders.clear();
        }
        // Met twice: see `scan`. An exclusive lock gets only one line, whatever happened meanwhile.
        let is_double = match self.subject {
            Subject::Locks(Kind::Exclusive) | Subject::Dump(Kind::Exclusive) => !is_new_name,
            Subject::All if place == EXCLUSIVE_HOLD && !is_new_lock => true,
            Subject::Who => false,
            _ => !self.holders.insert(row.conn),
        };
        if is_double {
            mark!(ListingMetAHoldTwice);
        } else {
            self.has_rows = true;
            self.place = place;
            let holder = (slice.text(row), slice.tail(row));
            write_row(self.subject, is_first, is_new_name, key, holder, out);
            if is_new_name {
                self.name.clear();
                self.name.extend_from_slice(key);
            }
        }
        match slice.row(row.end()) {
            Some(next) => *row = next,
            None => drop(PeekMut::pop(top)),
        }
        true
    }

    fn end(&self, out: &mut Vec<u8>) {
        match self.subject {
            Subject::Dump(Kind::Exclusive) => out.extend_from_slice(b"]\n"),
            Subject::Dump(_) if self.has_rows => out.extend_from_slice(b"]]\n"),
            Subject::Dump(_) => out.extend_from_slice(b"]\n"),
            Subject::Locks(_) | Subject::All | Subject::Who => out.push(b'\n'),
        }
    }
}

fn write_row(
    subject: Subject,
    is_first: bool,
    is_new_name: bool,
    name: &[u8],
    (holder, tail): (&[u8], &[u8]),
    out: &mut Vec<u8>,
) {
    let parts: [&[u8]; 4] = match subject {
        Subject::Locks(_) => [name, b": ", holder, b"\n"],
        Subject::All => {
            out.extend_from_slice(holder);
            [b" ", name, tail, b"\n"]
        }
        Subject::Who => [b"", b"", holder, b"\n"],
        Subject::Dump(Kind::Exclusive) if is_first => [name, b":", holder, b""],
        Subject::Dump(Kind::Exclusive) => [b" ", name, b":", holder],
        Subject::Dump(_) if is_first => [name, b":[", holder, b""],
        Subject::Dump(_) if is_new_name => {
            out.extend_from_slice(b"] ");
            [name, b":[", holder, b""]
        }
        Subject::Dump(_) => [b" ", holder, b"", b""],
    };
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Writes the reply to a listing that would exceed the limit: `0 Too Large`, framed like the listing.
pub fn write_too_large(subject: Subject, out: &mut Vec<u8>) {
    encode(&Reply::TooLarge { framed: !matches!(subject, Subject::Dump(_)) }, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Entry, More, Scan};
    use crate::types::Addr;
    use crate::wire::Listing;

    /// A row: the name, the connection's serial, its registered name, its order.
    type Given<'a> = (&'a str, u64, Option<&'a str>, u64);

    fn slice(subject: Subject, rows: &[Given<'_>]) -> Packed {
        let mut slice = Slice::new(&Scan::new(Listing { subject, name: b"" }));
        for (name, serial, registered, order) in rows {
            slice.push(Entry {
                name: name.as_bytes(),
                conn: Conn::new(0, *serial),
                addr: Addr::Unix(*serial),
                is_lingering: false,
                registered: registered.map(str::as_bytes),
                order: *order,
                since: None,
                more: None,
            });
        }
        slice.pack()
    }

    /// The text of some slices. Panics unless it is the same in pieces of any size.
    fn text(subject: Subject, slices: &[&[Given<'_>]]) -> String {
        let texts = [1, 2, 1000].map(|rows| {
            let mut text = Text::new(subject);
            for rows in slices {
                text.add(slice(subject, rows));
            }
            let mut out = Vec::new();
            while text.piece(rows, usize::MAX, &mut out) {}
            assert!(!text.piece(rows, usize::MAX, &mut out), "nothing comes after the end");
            String::from_utf8(out).unwrap()
        });
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        texts[0].clone()
    }

    const D: Subject = Subject::Locks(Kind::Exclusive);
    const SD: Subject = Subject::Locks(Kind::Shared);
    const DUMP: Subject = Subject::Dump(Kind::Exclusive);
    const DUMP_SHARED: Subject = Subject::Dump(Kind::Shared);

    #[test]
    fn empty_listings_have_their_ends() {
        for (subject, end) in [(D, "\n"), (SD, "\n"), (Subject::Who, "\n"), (DUMP, "map[]\n")] {
            assert_eq!(text(subject, &[]), end);
            assert_eq!(text(subject, &[&[], &[]]), end);
        }
        assert_eq!(text(DUMP_SHARED, &[]), "map[]\n");
    }

    #[test]
    fn slices_are_merged_by_name_and_holders_by_order() {
        let slices: [&[Given<'_>]; 2] =
            [&[("b", 1, None, 0), ("a", 2, Some("two"), 7)], &[("a", 1, None, 3), ("", 3, None, 0)]];
        assert_eq!(text(SD, &slices), ": unix:3\na: unix:1\na: two\nb: unix:1\n\n");
        assert_eq!(text(DUMP_SHARED, &slices), "map[:[unix:3] a:[unix:1 unix:2] b:[unix:1]]\n");
    }

    #[test]
    fn a_piece_has_as_many_rows_as_it_may() {
        let mut text = Text::new(D);
        text.add(slice(D, &[("a", 1, None, 0), ("b", 1, None, 0), ("c", 1, None, 0)]));
        let mut out = Vec::new();
        assert!(text.piece(2, usize::MAX, &mut out));
        assert_eq!(out, b"a: unix:1\nb: unix:1\n");
        assert!(!text.piece(2, usize::MAX, &mut out), "the last row and the end");
    }

    #[test]
    fn exclusive_locks_have_one_line_each() {
        let slices: [&[Given<'_>]; 2] =
            [&[("b", 1, Some("one"), 0), ("a", 2, None, 0)], &[("b", 2, None, 0)]];
        assert_eq!(text(D, &slices), "a: unix:2\nb: one\n\n");
        assert_eq!(text(DUMP, &slices), "map[a:unix:2 b:unix:1]\n");
    }

    #[test]
    fn a_hold_met_sole_and_then_tied_is_there_once() {
        let slices: [&[Given<'_>]; 2] = [&[("a", 1, None, 0)], &[("a", 2, None, 6), ("a", 1, None, 5)]];
        assert_eq!(text(SD, &slices), "a: unix:1\na: unix:2\n\n");
        assert_eq!(text(DUMP_SHARED, &slices), "map[a:[unix:1 unix:2]]\n");
    }

    #[test]
    fn who_is_in_the_order_of_registration() {
        let slices: [&[Given<'_>]; 2] = [&[("x", 1, Some("x"), 9)], &[("z", 2, Some("z"), 3)]];
        assert_eq!(text(Subject::Who, &slices), "unix:2: z\nunix:1: x\n\n");
    }

    #[test]
    fn a_piece_ends_when_enough_bytes_are_there() {
        let mut text = Text::new(D);
        text.add(slice(D, &[("a", 1, None, 0), ("b", 1, None, 0), ("c", 1, None, 0)]));
        let mut out = b"before".to_vec();
        assert!(text.piece(100, 6 + 11, &mut out));
        assert_eq!(out, b"beforea: unix:1\nb: unix:1\n", "the row that fills it is whole");
        assert!(text.piece(100, 6 + 11, &mut out), "it stays full");
        assert_eq!(out.len(), 6 + 20);
        assert!(!text.piece(100, usize::MAX, &mut out));
    }

    /// Bytes that a text takes beside itself: its slices, their places, and the name and the holders of the row that
    /// was written last. Each entry of a set takes up to 32 with its share of the nodes.
    fn room(text: &Text) -> usize {
        let slices: usize = text.heads.iter().map(|Reverse(head)| head.slice.bytes()).sum();
        slices + text.heads.capacity() * size_of::<Head>() + text.name.capacity() + text.holders.len() * 32
    }

    /// Goal: a text never takes more than its slices say. Method: slices of every shape, and a look after each step.
    #[test]
    fn a_text_takes_no_more_than_its_slices_say() {
        let long = "n".repeat(5000);
        for subject in [D, SD, DUMP_SHARED, Subject::All, Subject::Who] {
            for names in [1, 3, 1000] {
                let (mut text, mut said) = (Text::new(subject), 0);
                for number in 0..70_u64 {
                    let names: Vec<_> = (0..20)
                        .map(|row| {
                            format!("{}{}", (number * 20 + row) % names, &long[..number as usize * 60])
                        })
                        .collect();
                    let rows: Vec<Given<'_>> = names
                        .iter()
                        .zip(number * 20..)
                        .map(|(name, serial)| (&**name, serial, None, 1))
                        .collect();
                    let slice = slice(subject, &rows);
                    said += slice.memory();
                    text.add(slice);
                    assert!(room(&text) <= said, "{subject:?}: {} of {said} bytes", room(&text));
                }
                assert!(
                    4 * room(&text) > said,
                    "{subject:?}: {said} bytes are said, and {} taken",
                    room(&text)
                );
                let mut out = Vec::new();
                while text.piece(1, usize::MAX, &mut out) {
                    assert!(room(&text) <= said, "{subject:?}: {} of {said} bytes", room(&text));
                }
                assert!(text.heads.is_empty() && text.slices == 70);
            }
        }
    }

    #[test]
    fn ls_has_the_registered_name_behind_the_name_and_counts_it() {
        let slice = |registered: Option<&[u8]>| {
            let mut slice = Slice::new(&Scan::new(Listing { subject: Subject::All, name: b"" }));
            let more = Some(More { kind: Kind::Shared, role: Role::Waits, ms: 5, waiters: 2 });
            let (name, conn, addr) = (b"two words", Conn::new(0, 1), Addr::Unix(7));
            slice.push(Entry {
                name,
                conn,
                addr,
                is_lingering: false,
                registered,
                order: 1,
                since: None,
                more,
            });
            slice.pack()
        };
        let text = |slice: Packed| {
            let mut text = Text::new(Subject::All);
            text.add(slice);
            let mut out = Vec::new();
            while text.piece(1, usize::MAX, &mut out) {}
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(slice(None)), "sw 5 2 unix:7 two words\n\n");
        assert_eq!(text(slice(Some(b"nightly run"))), "sw 5 2 unix:7 two words\tnightly run\n\n");
        assert_eq!(slice(Some(b"nightly run")).memory(), slice(None).memory() + 1 + 11);
    }

    #[test]
    fn what_is_too_large_is_framed_like_the_listing() {
        let told = |subject| {
            let mut out = Vec::new();
            write_too_large(subject, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(D), "0 Too Large\n\n");
        assert_eq!(told(Subject::Who), "0 Too Large\n\n");
        assert_eq!(told(DUMP_SHARED), "0 Too Large\n");
    }
}
