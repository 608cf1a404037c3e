//! Slices of a listing: entries are copied while the machine is read, then sorted and packed. A packed slice takes
//! little more than the bytes of its rows, and says exactly how much.

use super::reply::Subject;
use super::row::Group;
use crate::inspect::{Entry, More, Scan};
use crate::types::{Conn, Kind};
use std::io::Write;

/// The entries of one slice, copied.
#[derive(Debug)]
pub struct Slice {
    subject: Subject,
    bytes: Vec<u8>,
    rows: Vec<Extent>,
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

/// A slice that is sorted and packed. Only its rows are in memory, one after the other, each behind its head:
///
/// ```text
///   key's length | text's | tail's | order | connection | key | text | tail
///   |<----- five numbers, of 1 to 10 bytes each ------>|
/// ```
#[derive(Debug)]
pub struct Packed {
    bytes: Box<[u8]>,
    /// The length of the longest key.
    longest: usize,
    /// Rows of the name that has the most. 0 if the text need not know a name's holders.
    most_of_one: usize,
}

/// A row of a packed slice: what sorts it, and where its parts end.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedRow {
    start: u32,
    middle: u32,
    tail: u32,
    end: u32,
    pub(super) order: u64,
    pub(super) conn: Conn,
}

/// The rows of one name in `ls` are sorted by the places of their groups first. The place is kept in the highest bits
/// of a row's order. The machine has no orders that high.
const PLACE_BITS: u32 = 4;

impl PackedRow {
    /// The place of its group.
    pub(super) fn place(&self) -> u8 {
        (self.order >> (u64::BITS - PLACE_BITS)) as u8
    }
}

impl Slice {
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
        if let Some(More { kind, role, ms, waiters }) = entry.more {
            let group = Group { kind, role };
            order |= u64::from(group.place()) << (u64::BITS - PLACE_BITS);
            write!(self.bytes, "{} {ms} {waiters} ", group.word()).expect("writing to memory does not fail");
        }
        if let (Subject::Locks(_), Some(name)) = (self.subject, entry.registered) {
            self.bytes.extend_from_slice(name);
        } else {
            let mark = if entry.is_lingering { "~" } else { "" };
            write!(self.bytes, "{mark}{}", entry.addr).expect("writing to memory does not fail");
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

    /// Sorts it and packs it.
    #[must_use]
    pub fn pack(mut self) -> Packed {
        let bytes = &self.bytes;
        let key = |row: &Extent| &bytes[row.start as usize..row.middle as usize];
        self.rows.sort_by(|a, b| (key(a), a.order, a.conn).cmp(&(key(b), b.order, b.conn)));
        let heads: usize = self.rows.iter().flat_map(Extent::head).map(width).sum();
        let mut packed = Vec::with_capacity(heads + bytes.len());
        for row in &self.rows {
            for number in row.head() {
                put(&mut packed, number);
            }
            packed.extend_from_slice(&bytes[row.start as usize..row.end as usize]);
        }
        let keeps_holders = match self.subject {
            Subject::Locks(kind) | Subject::Dump(kind) => kind != Kind::Exclusive,
            Subject::All => true,
            Subject::Who => false,
        };
        let of_one = self.rows.chunk_by(|a, b| key(a) == key(b)).map(<[_]>::len);
        Packed {
            longest: self.rows.iter().map(|row| key(row).len()).max().unwrap_or(0),
            most_of_one: of_one.filter(|_| keeps_holders).max().unwrap_or(0),
            bytes: packed.into(),
        }
    }
}

impl Extent {
    /// The numbers before a packed row. The order is turned, so that a group does not make it a long number.
    fn head(&self) -> [u64; 5] {
        let lengths = [self.middle - self.start, self.tail - self.middle, self.end - self.tail];
        let [key, text, tail] = lengths.map(u64::from);
        [key, text, tail, self.order.rotate_left(PLACE_BITS), self.conn.bits()]
    }
}

impl Packed {
    /// What a slice takes beside its bytes, at most: its place in the heap, which may have twice the room that it
    /// needs, and three times while it grows.
    const PLACE: usize = 256;
    /// What a row takes as the holder of a name, while that name is written: its share of a set.
    const HOLDER: usize = 32;
    /// The longest head of a row.
    const HEAD: usize = 3 * 5 + 2 * 10;

    /// Bytes of memory that it takes while it is part of a [`Text`](super::listing::Text), at most. 0 if it is empty.
    #[must_use]
    pub fn memory(&self) -> usize {
        if self.bytes.is_empty() {
            return 0;
        }
        // The text keeps a copy of the key that it wrote last, in a buffer that grows by doubling.
        self.bytes.len() + Self::PLACE + 2 * self.longest + self.most_of_one * Self::HOLDER
    }

    /// The most that one row can add to [`memory`](Self::memory): if it is alone in its slice. `key` is the length of
    /// its name, `rest` that of what stands beside it in its line.
    #[must_use]
    pub const fn most_memory(key: usize, rest: usize) -> usize {
        Self::HEAD + Self::PLACE + Self::HOLDER + 3 * key + rest
    }

    /// Bytes of its rows.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The row that begins at `at`. `None` at the end.
    pub(super) fn row(&self, at: u32) -> Option<PackedRow> {
        let mut rest = self.bytes.get(at as usize..).filter(|rest| !rest.is_empty())?;
        let [key, text, tail, order, conn] = std::array::from_fn(|_| take(&mut rest));
        let start = self.bytes.len() as u32 - rest.len() as u32;
        let middle = start + key as u32;
        let tail_at = middle + text as u32;
        let (order, conn) = (order.rotate_right(PLACE_BITS), Conn::from_bits(conn));
        Some(PackedRow { start, middle, tail: tail_at, end: tail_at + tail as u32, order, conn })
    }

    pub(super) fn key(&self, row: &PackedRow) -> &[u8] {
        &self.bytes[row.start as usize..row.middle as usize]
    }

    pub(super) fn text(&self, row: &PackedRow) -> &[u8] {
        &self.bytes[row.middle as usize..row.tail as usize]
    }

    pub(super) fn tail(&self, row: &PackedRow) -> &[u8] {
        &self.bytes[row.tail as usize..row.end as usize]
    }
}

impl PackedRow {
    /// Where the next row begins.
    pub(super) fn end(&self) -> u32 {
        self.end
    }
}

/// Bytes that a number takes: seven bits in each, the lowest first.
fn width(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// Writes a number. The highest bit of a byte says that another follows.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number that was written, and goes past it.
fn take(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for place in 0.. {
        let (byte, rest) = bytes.split_first().expect("a number ends");
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << (7 * place);
        if *byte < 0x80 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Addr;
    use crate::wire::Listing;
    use quickcheck::quickcheck;

    const D: Subject = Subject::Locks(Kind::Exclusive);

    #[test]
    fn numbers_take_as_many_bytes_as_they_need() {
        for (number, wanted) in
            [(0, 1), (127, 1), (128, 2), (1 << 14, 3), (u64::from(u32::MAX), 5), (u64::MAX, 10)]
        {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!((bytes.len(), width(number)), (wanted, wanted), "{number}");
        }
    }

    quickcheck! {
        fn a_number_that_is_written_is_read(numbers: Vec<u64>, shift: u32) -> bool {
            let numbers: Vec<u64> = numbers.iter().map(|number| number >> (shift % 64)).collect();
            let mut bytes = Vec::new();
            for number in &numbers {
                put(&mut bytes, *number);
            }
            let mut rest = &*bytes;
            let read: Vec<_> = numbers.iter().map(|_| take(&mut rest)).collect();
            read == numbers && rest.is_empty() && bytes.len() == numbers.iter().copied().map(width).sum()
        }
    }

    fn slice(subject: Subject, rows: &[(&str, u64, Option<&str>)]) -> Slice {
        let mut slice = Slice::new(&Scan::new(Listing { subject, name: b"" }));
        for (name, serial, registered) in rows {
            slice.push(Entry {
                name: name.as_bytes(),
                conn: Conn::new(0, *serial),
                addr: Addr::Unix(*serial),
                is_lingering: false,
                registered: registered.map(str::as_bytes),
                order: 0,
                since: None,
                more: None,
            });
        }
        slice
    }

    #[test]
    fn a_slice_takes_what_its_rows_take_and_its_place() {
        assert_eq!(slice(D, &[]).pack().memory(), 0);
        let rows = [("abc", 1, None), ("d", 22, Some("x"))];
        let place = 256 + 2 * 3;
        assert_eq!(slice(D, &rows).pack().memory(), (5 + 3 + 6) + (5 + 1 + 1) + place);
        let shared = Subject::Dump(Kind::Shared);
        assert_eq!(slice(shared, &rows).pack().memory(), (5 + 3 + 6) + (5 + 1 + 7) + place + 32);
        let same = [("abc", 1, None), ("abc", 2, None), ("b", 2, None)];
        assert_eq!(slice(shared, &same).pack().memory(), 3 * (5 + 6) + 3 + 3 + 1 + place + 2 * 32);
        assert_eq!(slice(Subject::Who, &rows).pack().memory(), (5 + 6 + 5) + (5 + 7 + 3) + 256);
        let alone = slice(shared, &rows[..1]).pack().memory();
        assert!(alone <= Packed::most_memory(3, 6) && alone + 40 > Packed::most_memory(3, 6), "{alone}");
    }

    #[test]
    fn orders_and_connections_are_kept_whole() {
        let mut slice = slice(D, &[]);
        let name = "n".repeat(300);
        let orders = [0, 1, (1 << 62) - 1, 3 << 62 | 5];
        for order in orders {
            let (conn, addr) = (Conn::new(u16::MAX, (1 << 48) - 1), Addr::Unix(1));
            let entry = Entry {
                name: name.as_bytes(),
                conn,
                addr,
                is_lingering: false,
                registered: None,
                order,
                since: None,
                more: None,
            };
            slice.push(entry);
        }
        let packed = slice.pack();
        let mut at = 0;
        for order in orders {
            let row = packed.row(at).unwrap();
            assert_eq!((row.order, row.conn), (order, Conn::new(u16::MAX, (1 << 48) - 1)));
            assert_eq!((packed.key(&row), packed.text(&row)), (name.as_bytes(), &b"unix:1"[..]));
            at = row.end();
        }
        assert!(packed.row(at).is_none());
    }
}
