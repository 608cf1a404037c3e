//! The rows of a listing, as a client reads them. `listing.rs` writes them, slice by slice.
//!
//! `dump` has no reader: names may have spaces, so its one line can be read in several ways. Use `ls` instead.

use super::reply::Subject;
use crate::types::{Addr, Kind};

/// A row of `d`, `sd`, `ls` or `who`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row<'a> {
    /// A row of `d` and `sd`: `NAME: HOLDER`.
    Lock {
        /// The lock.
        name: &'a [u8],
        /// Its holder's registered name, or else its address.
        holder: &'a [u8],
    },
    /// Of `ls`: `KIND MS WAITERS ADDR NAME`, or `KIND MS WAITERS ADDR NAME<TAB>REGISTERED`.
    Hold {
        /// What the connection does with the lock.
        group: Group,
        /// For how many milliseconds it has held it or waited for it.
        ms: u64,
        /// How many wait for the lock.
        waiters: u32,
        /// The connection.
        addr: Addr,
        /// Whether it has ended, and its hold lingers: the address is written with `~`.
        is_lingering: bool,
        /// The lock.
        name: &'a [u8],
        /// The connection's registered name, if it has one.
        registered: Option<&'a [u8]>,
    },
    /// A row of `who`: `ADDR: NAME`.
    Registered {
        /// The connection.
        addr: Addr,
        /// Its registered name.
        name: &'a [u8],
    },
}

/// What a connection has to do with a lock, and the lock's kind. `ls` shows this as one word, and sorts the
/// rows of one name by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The kind of lock.
    pub kind: Kind,
    /// What the connection has to do with it.
    pub role: Role,
}

/// What a connection has to do with a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It holds it.
    Holds,
    /// It waits for it.
    Waits,
    /// It waits for the end of its holds.
    AwaitsEnd,
}

impl Group {
    /// Every group, in the order in which `ls` shows them.
    pub const ALL: [Self; 10] = [
        Self { kind: Kind::Exclusive, role: Role::Holds },
        Self { kind: Kind::Exclusive, role: Role::Waits },
        Self { kind: Kind::Exclusive, role: Role::AwaitsEnd },
        Self { kind: Kind::Shared, role: Role::Holds },
        Self { kind: Kind::Shared, role: Role::Waits },
        Self { kind: Kind::Shared, role: Role::AwaitsEnd },
        Self { kind: Kind::Read, role: Role::Holds },
        Self { kind: Kind::Write, role: Role::Holds },
        Self { kind: Kind::Read, role: Role::Waits },
        Self { kind: Kind::Write, role: Role::Waits },
    ];

    /// Where its rows stand among those of one name: behind those of lower places. Readers and writers have one line,
    /// and so its place is the same for both.
    #[must_use]
    pub const fn place(self) -> u8 {
        self.kind.space() << 2 | self.role as u8
    }

    /// The first word of its rows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match (self.kind, self.role) {
            (Kind::Exclusive, Role::Holds) => "x",
            (Kind::Exclusive, Role::Waits) => "xw",
            (Kind::Exclusive, Role::AwaitsEnd) => "xe",
            (Kind::Shared, Role::Holds) => "s",
            (Kind::Shared, Role::Waits) => "sw",
            (Kind::Shared, Role::AwaitsEnd) => "se",
            (Kind::Read, Role::Holds) => "r",
            (Kind::Read, Role::Waits) => "rw",
            (Kind::Read, Role::AwaitsEnd) => "re",
            (Kind::Write, Role::Holds) => "w",
            (Kind::Write, Role::Waits) => "ww",
            (Kind::Write, Role::AwaitsEnd) => "we",
        }
    }
}

impl<'a> Row<'a> {
    /// Reads a row, without its end. In `d` and `sd` the last `: ` ends the name. So a row is read wrongly if the
    /// holder's registered name has a `: `. An address has none.
    #[must_use]
    pub fn read(subject: Subject, line: &'a [u8]) -> Option<Self> {
        match subject {
            Subject::Locks(_) => {
                let end = line.windows(2).rposition(|pair| pair == b": ")?;
                Some(Self::Lock { name: &line[..end], holder: &line[end + 2..] })
            }
            Subject::Who => {
                let end = line.windows(2).position(|pair| pair == b": ")?;
                Some(Self::Registered { addr: Addr::parse(&line[..end])?, name: &line[end + 2..] })
            }
            Subject::All => {
                let mut words = line.splitn(5, |byte| *byte == b' ');
                let mut word = || std::str::from_utf8(words.next()?).ok();
                let word_of_group = word()?;
                let group = Group::ALL.into_iter().find(|group| group.word() == word_of_group)?;
                let (ms, waiters) = (word()?.parse().ok()?, word()?.parse().ok()?);
                let addr = word()?;
                let (is_lingering, addr) = addr.strip_prefix('~').map_or((false, addr), |addr| (true, addr));
                let addr = Addr::parse(addr.as_bytes())?;
                // Neither name has a tab: the parser makes a space of it.
                let mut names = words.next()?.splitn(2, |byte| *byte == b'\t');
                Some(Self::Hold {
                    group,
                    ms,
                    waiters,
                    addr,
                    is_lingering,
                    name: names.next()?,
                    registered: names.next(),
                })
            }
            Subject::Dump(_) => None,
        }
    }
}

/// The rows of a whole listing. `None` if the text is not a listing, is a refusal, or is not whole.
#[must_use]
pub fn read_rows(subject: Subject, text: &[u8]) -> Option<Vec<Row<'_>>> {
    let rows = match text {
        b"\n" => return Some(Vec::new()),
        _ => text.strip_suffix(b"\n\n")?,
    };
    rows.split(|byte| *byte == b'\n').map(|line| Row::read(subject, line)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::listing::{Slice, Text};
    use super::super::reply::Listing;
    use super::*;
    use crate::inspect::{Entry, More, Scan};
    use crate::types::Conn;
    use quickcheck::quickcheck;

    /// The text of a listing of one entry.
    fn written(subject: Subject, entry: Entry<'_>) -> Vec<u8> {
        let mut slice = Slice::new(&Scan::new(Listing { subject, name: &[] }));
        slice.push(entry);
        let mut text = Text::new(subject);
        text.add(slice.pack());
        let mut bytes = Vec::new();
        while text.piece(1, usize::MAX, &mut bytes) {}
        bytes
    }

    /// Whether rows of every listing, of these names and numbers, are read as they were written.
    fn rows_are_read(
        name: &[u8],
        registered: Option<&[u8]>,
        (ms, waiters, serial): (u64, u32, u64),
        group: Group,
    ) -> bool {
        let addr = match serial % 3 {
            0 => Addr::Unix(serial),
            1 => Addr::Ip("127.0.0.1:80".parse().unwrap()),
            _ => Addr::Ip("[fe80::1]:65535".parse().unwrap()),
        };
        let Group { kind, role } = group;
        let is_lingering = role == Role::Holds && ms % 2 == 1;
        let conn = Conn::new(0, 1);
        let entry = Entry { name, conn, addr, is_lingering, registered, order: 1, since: None, more: None };
        let more = Some(More { kind, role, ms, waiters });
        let holder = format!("{}{addr}", if is_lingering { "~" } else { "" });
        let unnamed = Entry { registered: None, ..entry };
        let rows = [
            (Subject::Locks(kind), unnamed, Row::Lock { name, holder: holder.as_bytes() }),
            (Subject::Who, Entry { is_lingering: false, ..entry }, Row::Registered { addr, name }),
            (
                Subject::All,
                Entry { more, ..entry },
                Row::Hold { group, ms, waiters, addr, is_lingering, name, registered },
            ),
        ];
        rows.into_iter()
            .all(|(subject, entry, row)| read_rows(subject, &written(subject, entry)) == Some(vec![row]))
    }

    quickcheck! {
        /// Goal: a row is read as it was written. Method: rows of any names and numbers are written and read.
        fn a_row_that_is_written_is_read_again(
            name: Vec<u8>, registered: Option<Vec<u8>>, ms: u64, waiters: u32, serial: u64, group: u8
        ) -> bool {
            let clean = |name: Vec<u8>| -> Vec<u8> {
                name.into_iter().filter(|byte| !matches!(byte, b'\n' | b'\t')).collect()
            };
            let (name, registered) = (clean(name), registered.map(clean));
            let group = Group::ALL[usize::from(group) % Group::ALL.len()];
            rows_are_read(&name, registered.as_deref(), (ms, waiters, serial), group)
        }
    }

    #[test]
    fn what_is_no_whole_listing_is_not_read() {
        let subject = Subject::Locks(Kind::Exclusive);
        assert_eq!(read_rows(subject, b"\n"), Some(vec![]), "an empty one is whole");
        for wrong in [&b""[..], b"a: 1.2.3.4:5\n", b"0 disabled\n\n", b"0 Too Large\n"] {
            assert_eq!(read_rows(subject, wrong), None, "{:?}", wrong.escape_ascii().to_string());
        }
        assert_eq!(Row::read(Subject::All, b"y 1 0 1.2.3.4:5 a"), None);
        assert_eq!(Row::read(Subject::All, b"x 1 0 nowhere a"), None);
    }
}
