//! Listings, put together. Slices read by [`Machine::scan`](crate::Machine::scan) go in, and sorted text comes out in
//! pieces. Each slice is sorted when it comes in. The slices are merged on the way out. So no step takes long, however
//! long the listing is.

use super::reply::{Reply, Subject};
use super::row::Group;
use super::text::encode;
use crate::inspect::{Entry, More, Scan};
use crate::types::{Conn, Kind};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::io::Write;

/// The entries of one slice, copied.
#[derive(Debug)]
pub struct Slice {
    subject: Subject,
    bytes: Vec<u8>,
    rows: Vec<Extent>,
}

impl Group {
    /// The rows of one name in `ls` are sorted by group first. The group is kept in the two highest bits of a row's
    /// order. The machine has no orders that high.
    fn of(order: u64) -> Self {
        let kind = if order >> 63 == 0 { Kind::Exclusive } else { Kind::Shared };
        Self { kind, is_waiting: order >> 62 & 1 == 1 }
    }

    fn bits(self) -> u64 {
        (self.kind.index() as u64) << 63 | u64::from(self.is_waiting) << 62
    }
}

/// One entry: `key`, `text` and `tail` lie one after the other in the slice's bytes.
#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u32,
    /// Where the name ends and the holder begins.
    middle: u32,
    /// Where the holder ends; the rest comes behind the name.
    tail: u32,
    end: u32,
    conn: Conn,
    order: u64,
}

impl Slice {
    /// Bytes that an entry weighs beside its name and its holder: the `: ` and the line end.
    const PUNCTUATION: usize = 3;

    /// An empty slice for a scan. It has room for a usual slice, so that copying entries under the hub's lock need not
    /// allocate.
    #[must_use]
    pub fn new(scan: &Scan) -> Self {
        Self { subject: scan.subject(), bytes: Vec::with_capacity(16 << 10), rows: Vec::with_capacity(256) }
    }

    /// Copies an entry.
    pub fn push(&mut self, entry: Entry<'_>) {
        let start = self.bytes.len() as u32;
        // `who` is sorted by registration, not by name: its whole line is text.
        if self.subject != Subject::Who {
            self.bytes.extend_from_slice(entry.name);
        }
        let middle = self.bytes.len() as u32;
        let mut order = entry.order;
        if let Some(More { kind, is_waiting, ms, waiters }) = entry.more {
            let group = Group { kind, is_waiting };
            order |= group.bits();
            write!(self.bytes, "{} {ms} {waiters} ", group.word()).expect("writing to memory does not fail");
        }
        match (self.subject, entry.registered) {
            (Subject::Locks(_), Some(name)) => self.bytes.extend_from_slice(name),
            _ => write!(self.bytes, "{}", entry.addr).expect("writing to memory does not fail"),
        }
        if self.subject == Subject::Who {
            self.bytes.extend_from_slice(b": ");
            self.bytes.extend_from_slice(entry.name);
        }
        let tail = self.bytes.len() as u32;
        if let (Subject::All, Some(name)) = (self.subject, entry.registered) {
            self.bytes.push(b'\t');
            self.bytes.extend_from_slice(name);
        }
        let end = self.bytes.len() as u32;
        self.rows.push(Extent { start, middle, tail, end, conn: entry.conn, order });
    }

    /// What it counts for against `--max-listing-bytes`: for each entry its name, its holder, and
    /// three bytes. For `ls` the tab and the registered name count too.
    #[must_use]
    pub fn weight(&self) -> usize {
        // The lines of `who` are whole already, except for their ends.
        let punctuation = if self.subject == Subject::Who { 1 } else { Self::PUNCTUATION };
        self.bytes.len() + self.rows.len() * punctuation
    }

    fn key(&self, row: &Extent) -> &[u8] {
        &self.bytes[row.start as usize..row.middle as usize]
    }

    fn text(&self, row: &Extent) -> &[u8] {
        &self.bytes[row.middle as usize..row.tail as usize]
    }

    fn tail(&self, row: &Extent) -> &[u8] {
        &self.bytes[row.tail as usize..row.end as usize]
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let key = |row: &Extent| &bytes[row.start as usize..row.middle as usize];
        self.rows.sort_by(|a, b| (key(a), a.order, a.conn).cmp(&(key(b), b.order, b.conn)));
        self.bytes.shrink_to_fit();
        self.rows.shrink_to_fit();
    }
}

/// Slices that are merged into one text.
#[derive(Debug)]
pub struct Text {
    subject: Subject,
    slices: Vec<Slice>,
    /// The next row of each slice that has one, least first.
    heads: BinaryHeap<Reverse<Head>>,
    state: Progress,
    /// The name that was written last, and the connections that were written as its holders.
    name: Vec<u8>,
    holders: BTreeSet<Conn>,
    /// The group of the row that was written last.
    group: Group,
}

/// The next row of a slice. The order of the fields is the order of the text.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    key: Vec<u8>,
    order: u64,
    conn: Conn,
    slice: usize,
    row: usize,
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
            slices: Vec::new(),
            heads: BinaryHeap::new(),
            state: Progress::Start,
            name: Vec::new(),
            holders: BTreeSet::new(),
            group: Group::of(0),
        }
    }

    /// Adds a slice. All slices must be added before the first piece is taken.
    pub fn add(&mut self, mut slice: Slice) {
        assert_eq!(self.state, Progress::Start, "slices come before pieces");
        if slice.rows.is_empty() {
            return;
        }
        slice.sort();
        let row = slice.rows[0];
        self.heads.push(Reverse(Head {
            key: slice.key(&row).to_vec(),
            order: row.order,
            conn: row.conn,
            slice: self.slices.len(),
            row: 0,
        }));
        self.slices.push(slice);
    }

    /// Writes the next piece, of at most `rows` rows. Returns whether there is more.
    pub fn piece(&mut self, rows: usize, out: &mut Vec<u8>) -> bool {
        if self.state == Progress::Start {
            self.state = Progress::Rows;
            if let Subject::Dump(_) = self.subject {
                out.extend_from_slice(b"map[");
            }
        }
        for _ in 0..rows {
            if self.state == Progress::Done || !self.row(out) {
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
        let Reverse(head) = &mut *top;
        let slice = &self.slices[head.slice];
        let row = slice.rows[head.row];
        let is_first = self.holders.is_empty();
        let is_new_name = is_first || self.name != head.key;
        let group = Group::of(row.order);
        let is_new_lock = is_new_name || group.kind != self.group.kind;
        if is_new_lock {
            self.holders.clear();
        }
        // Met twice: see `scan`. An exclusive lock gets only one line, whatever happened meanwhile.
        let is_double = match self.subject {
            Subject::Locks(Kind::Exclusive) | Subject::Dump(Kind::Exclusive) => !is_new_name,
            Subject::All if row.order.leading_zeros() >= 2 && !is_new_lock => true,
            _ => self.holders.contains(&row.conn),
        };
        if is_double {
            mark!(ListingMetAHoldTwice);
        } else {
            self.holders.insert(row.conn);
            self.group = group;
            let holder = (slice.text(&row), slice.tail(&row));
            write_row(self.subject, is_first, is_new_name, &head.key, holder, out);
            if is_new_name {
                self.name.clear();
                self.name.extend_from_slice(&head.key);
            }
        }
        head.row += 1;
        if let Some(row) = slice.rows.get(head.row) {
            head.key.clear();
            head.key.extend_from_slice(slice.key(row));
            (head.order, head.conn) = (row.order, row.conn);
        } else {
            let Reverse(spent) = PeekMut::pop(top);
            let slice = &mut self.slices[spent.slice];
            (slice.bytes, slice.rows) = (Vec::new(), Vec::new());
        }
        true
    }

    fn end(&self, out: &mut Vec<u8>) {
        match self.subject {
            Subject::Dump(Kind::Shared) if !self.holders.is_empty() => out.extend_from_slice(b"]]\n"),
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
        Subject::Dump(Kind::Shared) if is_first => [name, b":[", holder, b""],
        Subject::Dump(Kind::Shared) if is_new_name => {
            out.extend_from_slice(b"] ");
            [name, b":[", holder, b""]
        }
        Subject::Dump(Kind::Shared) => [b" ", holder, b"", b""],
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
    use crate::types::Addr;
    use crate::wire::Listing;

    /// A row: the name, the connection's serial, its registered name, its order.
    type Given<'a> = (&'a str, u64, Option<&'a str>, u64);

    fn slice(subject: Subject, rows: &[Given<'_>]) -> Slice {
        let mut slice = Slice::new(&Scan::new(Listing { subject, name: b"" }));
        for (name, serial, registered, order) in rows {
            slice.push(Entry {
                name: name.as_bytes(),
                conn: Conn::new(0, *serial),
                addr: Addr::Unix(*serial),
                registered: registered.map(str::as_bytes),
                order: *order,
                since: None,
                more: None,
            });
        }
        slice
    }

    /// The text of some slices. Panics unless it is the same in pieces of any size.
    fn text(subject: Subject, slices: &[&[Given<'_>]]) -> String {
        let texts = [1, 2, 1000].map(|rows| {
            let mut text = Text::new(subject);
            for rows in slices {
                text.add(slice(subject, rows));
            }
            let mut out = Vec::new();
            while text.piece(rows, &mut out) {}
            assert!(!text.piece(rows, &mut out), "nothing comes after the end");
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
        assert!(text.piece(2, &mut out));
        assert_eq!(out, b"a: unix:1\nb: unix:1\n");
        assert!(!text.piece(2, &mut out), "the last row and the end");
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
    fn an_entry_weighs_its_name_its_holder_and_three_bytes() {
        assert_eq!(slice(D, &[]).weight(), 0);
        let rows: [Given<'_>; 2] = [("abc", 1, None, 0), ("d", 22, Some("x"), 0)];
        assert_eq!(slice(D, &rows).weight(), (3 + 6 + 3) + (1 + 1 + 3));
        assert_eq!(slice(DUMP, &rows).weight(), (3 + 6 + 3) + (1 + 7 + 3));
        assert_eq!(slice(Subject::Who, &rows).weight(), (6 + 3 + 3) + (7 + 1 + 3));
    }

    #[test]
    fn ls_has_the_registered_name_behind_the_name_and_counts_it() {
        let slice = |registered: Option<&[u8]>| {
            let mut slice = Slice::new(&Scan::new(Listing { subject: Subject::All, name: b"" }));
            let more = Some(More { kind: Kind::Shared, is_waiting: true, ms: 5, waiters: 2 });
            let (name, conn, addr) = (b"two words", Conn::new(0, 1), Addr::Unix(7));
            slice.push(Entry { name, conn, addr, registered, order: 1, since: None, more });
            slice
        };
        let text = |slice: Slice| {
            let mut text = Text::new(Subject::All);
            text.add(slice);
            let mut out = Vec::new();
            while text.piece(1, &mut out) {}
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(slice(None)), "sw 5 2 unix:7 two words\n\n");
        assert_eq!(text(slice(Some(b"nightly run"))), "sw 5 2 unix:7 two words\tnightly run\n\n");
        assert_eq!(slice(Some(b"nightly run")).weight(), slice(None).weight() + 1 + 11);
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
