//! The log on the disk: entries, the vote, and how far the log is committed and purged. It stands on redb, behind a
//! trait, so that another store may take its place.
//!
//! Each step is durable as a whole, or has not happened. Every value has a checksum, which is compared whenever the
//! value is read, and for all values when the log is opened.

use crate::store::DAMAGED;
use crate::store::record::{Ballot, Position, Record};
use crate::wire::{decode, encode, seal, unseal};
use bincode::{Decode, Encode};
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Where the log begins and ends, and what goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last entry that was purged. The log begins behind it.
    pub purged: Option<Position>,
    /// The last entry, purged or not.
    pub last: Option<Position>,
    /// The last entry that was known to be committed.
    pub committed: Option<Position>,
    /// The vote.
    pub ballot: Option<Ballot>,
}

/// A change of the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// More entries at its end.
    Append(Arc<[Record]>),
    /// No entries from this index on.
    Truncate(u64),
    /// No entries up to this one.
    Purge(Position),
    /// A vote.
    Vote(Ballot),
    /// How far the log is committed.
    Commit(Position),
}

/// A log that outlives its process.
pub trait Log: Send + Sync + 'static {
    /// Where it begins and ends, and about how many bytes its entries take. Looks at every record.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a record is damaged.
    fn head(&self) -> io::Result<(Head, u64)>;

    /// Makes changes, in their order. When this returns they are durable.
    ///
    /// # Errors
    ///
    /// If the disk fails. All of the changes are made then, or none of them.
    fn change(&self, changes: &[Change]) -> io::Result<()>;

    /// Entries by their index: as many as there are, without a gap, up to the first that makes it `bytes_max` or more.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a record is damaged.
    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>>;
}

const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
const MARKS: TableDefinition<&str, &[u8]> = TableDefinition::new("marks");
const BALLOT: &str = "ballot";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";

/// What redb keeps in memory. The newest entries are not read from it.
const CACHE_BYTES: usize = 16 << 20;

/// The log in a database of redb.
pub struct DiskLog(Database);

impl DiskLog {
    /// The log on a disk, or on what takes its place. It is made if the disk is empty.
    ///
    /// # Errors
    ///
    /// If the disk fails, or what is on it is no log.
    pub fn open(disk: impl StorageBackend) -> io::Result<Self> {
        let database =
            Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(disk).map_err(failed)?;
        let log = Self(database);
        // Later transactions, those that only read too, find both tables.
        let transaction = log.0.begin_write().map_err(failed)?;
        transaction.open_table(ENTRIES).map_err(failed)?;
        transaction.open_table(MARKS).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(log)
    }

    /// The log in a file.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the file is no log.
    pub fn open_file(file: std::fs::File) -> io::Result<Self> {
        Self::open(redb::backends::FileBackend::new(file).map_err(failed)?)
    }

    /// A log in memory, for tests.
    ///
    /// # Errors
    ///
    /// None are known.
    pub fn in_memory() -> io::Result<Self> {
        Self::open(redb::backends::InMemoryBackend::new())
    }
}

impl Log for DiskLog {
    fn head(&self) -> io::Result<(Head, u64)> {
        let transaction = self.0.begin_read().map_err(failed)?;
        let marks = transaction.open_table(MARKS).map_err(failed)?;
        let mut head = Head {
            purged: mark(&marks, PURGED)?,
            committed: mark(&marks, COMMITTED)?,
            ballot: mark(&marks, BALLOT)?,
            ..Head::default()
        };
        head.last = head.purged;
        let mut bytes = 0;
        for entry in transaction.open_table(ENTRIES).map_err(failed)?.iter().map_err(failed)? {
            let (index, sealed) = entry.map_err(failed)?;
            let next = head.last.map_or(0, |last| last.index + 1);
            let record = record(index.value(), sealed.value())?;
            if record.position.index != next {
                return Err(damaged(&format!("entry {next} is missing")));
            }
            bytes += record.size() as u64;
            head.last = Some(record.position);
        }
        Ok((head, bytes))
    }

    fn change(&self, changes: &[Change]) -> io::Result<()> {
        let mut transaction = self.0.begin_write().map_err(failed)?;
        transaction.set_durability(Durability::Immediate).map_err(failed)?;
        {
            let mut entries = transaction.open_table(ENTRIES).map_err(failed)?;
            let mut marks = transaction.open_table(MARKS).map_err(failed)?;
            for change in changes {
                match change {
                    Change::Append(records) => {
                        for record in records.iter() {
                            let sealed = seal(&encode(record));
                            entries.insert(record.position.index, &sealed[..]).map_err(failed)?;
                        }
                    }
                    Change::Truncate(from) => {
                        entries.retain_in::<u64, _>(from.., |_, _| false).map_err(failed)?;
                    }
                    Change::Purge(to) => {
                        entries.retain_in::<u64, _>(..=to.index, |_, _| false).map_err(failed)?;
                        put(&mut marks, PURGED, to)?;
                    }
                    Change::Vote(ballot) => put(&mut marks, BALLOT, ballot)?,
                    Change::Commit(position) => put(&mut marks, COMMITTED, position)?,
                }
            }
        }
        transaction.commit().map_err(failed)
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        let transaction = self.0.begin_read().map_err(failed)?;
        let (mut records, mut bytes): (Vec<Record>, _) = (Vec::new(), 0);
        for entry in transaction.open_table(ENTRIES).map_err(failed)?.range(range).map_err(failed)? {
            let (index, sealed) = entry.map_err(failed)?;
            let record = record(index.value(), sealed.value())?;
            if let Some(last) = records.last()
                && record.position.index != last.position.index + 1
            {
                return Err(damaged(&format!("entry {} is missing", last.position.index + 1)));
            }
            bytes += record.size();
            records.push(record);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(records)
    }
}

impl fmt::Debug for DiskLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskLog")
    }
}

fn record(index: u64, sealed: &[u8]) -> io::Result<Record> {
    let bytes = unseal(sealed).map_err(|error| damaged(&format!("entry {index}: {error}")))?;
    let record: Record = decode(bytes).map_err(|error| damaged(&format!("entry {index}: {error}")))?;
    if record.position.index != index {
        return Err(damaged(&format!("entry {} stands in the place of {index}", record.position.index)));
    }
    Ok(record)
}

fn mark<T: Decode<()>>(
    marks: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> io::Result<Option<T>> {
    let Some(sealed) = marks.get(name).map_err(failed)? else { return Ok(None) };
    let bytes = unseal(sealed.value()).map_err(|error| damaged(&format!("{name}: {error}")))?;
    decode(bytes).map(Some).map_err(|error| damaged(&format!("{name}: {error}")))
}

fn put(marks: &mut redb::Table<&str, &[u8]>, name: &str, value: &impl Encode) -> io::Result<()> {
    marks.insert(name, &seal(&encode(value))[..]).map_err(failed)?;
    Ok(())
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the log: {what}; {DAMAGED}"))
}

fn failed(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        redb::Error::Corrupted(what) => damaged(&what),
        error => io::Error::other(format!("the log: {error}")),
    }
}
