//! The log as its node sees it: what is on the disk, and what is on its way there. The newest entries are kept in
//! memory, and so are all that are not durable yet, so that followers and the state are fed without reading the disk.
//!
//! ```text
//!    purged   |  on the disk only  |  on the disk, and in memory  |  in memory only
//!             ^ purged             ^ recent[0]                    ^ durable          ^ last
//! ```

use crate::latest::LatestReceiver;
use crate::store::log::{Change, Head, Log};
use crate::store::queue::{DiskError, DiskQueue, Done, Writing};
use crate::store::record::{Ballot, Position, Record};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes of entries that are on the disk are kept in memory too.
const RECENT_BYTES: usize = 16 << 20;

/// A node's log.
pub struct Store {
    log: Arc<dyn Log>,
    view: Arc<Mutex<View>>,
    queue: DiskQueue,
}

#[derive(Debug, Default)]
struct View {
    head: Head,
    /// The index of the first entry, or of the one that will be the first.
    begin: u64,
    /// How far the log is committed, if that is still to be written.
    commit: Option<Position>,
    /// The newest entries, up to the last.
    recent: VecDeque<Record>,
    recent_bytes: usize,
    /// The index behind the last entry that is durable.
    durable: u64,
    /// How often the log was truncated. What became durable before that says nothing of later entries.
    truncations: u64,
    /// Bytes of the entries that were appended since the last mark.
    bytes_since_mark: u64,
}

impl Store {
    /// Opens a log. Looks at every record of it.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a record is damaged.
    pub fn open(log: Arc<dyn Log>, writing: Writing) -> io::Result<Self> {
        let (head, bytes) = log.head()?;
        let queue = DiskQueue::new(Arc::clone(&log), writing)?;
        let (begin, durable) = (next(head.purged), next(head.last));
        let view = View { head, begin, durable, bytes_since_mark: bytes, ..View::default() };
        Ok(Self { log, view: Arc::new(Mutex::new(view)), queue })
    }

    /// A log in memory, which is gone with its process.
    ///
    /// # Errors
    ///
    /// None are known.
    pub fn in_memory() -> io::Result<Self> {
        Self::open(Arc::new(crate::store::DiskLog::in_memory()?), Writing::Inline)
    }

    /// Where the log begins and ends. What is not durable yet counts.
    #[must_use]
    pub fn head(&self) -> Head {
        self.view().head
    }

    /// The first error of the disk, once there is one. It is final.
    #[must_use]
    pub fn failure(&self) -> LatestReceiver<Option<DiskError>> {
        self.queue.failure()
    }

    /// Says that a file beside the log failed. That is final too.
    pub fn fail(&self, error: &io::Error) {
        self.queue.fail(&DiskError::from(error));
    }

    /// Bytes of the entries that came since [`Store::mark`] was called last, or that the log had when it was opened.
    #[must_use]
    pub fn bytes_since_mark(&self) -> u64 {
        self.view().bytes_since_mark
    }

    /// Begins to count anew.
    pub fn mark(&self) {
        self.view().bytes_since_mark = 0;
    }

    /// Appends entries. They can be read when this returns; `done` is called when they are durable.
    ///
    /// # Panics
    ///
    /// If they do not follow the last entry.
    pub(crate) fn append(&self, records: Vec<Record>, done: Done) {
        let mut changes = Vec::new();
        let mut view = self.view();
        for record in &records {
            // The engine's tests begin an empty log where they like.
            if view.head.last.is_none() {
                view.begin = record.position.index;
            }
            let expected = view.head.last.map_or(view.begin, |last| last.index + 1);
            assert_eq!(record.position.index, expected, "an entry must follow the last one");
            let size = record.size();
            view.head.last = Some(record.position);
            view.bytes_since_mark += size as u64;
            view.recent_bytes += size;
            view.recent.push_back(record.clone());
        }
        let (end, truncations) = (next(view.head.last), view.truncations);
        changes.push(Change::Append(records.into()));
        changes.extend(view.take_commit());
        let shared = Arc::clone(&self.view);
        let done: Done = Box::new(move |result| {
            if result.is_ok() {
                let mut view = lock(&shared);
                if view.truncations == truncations {
                    view.durable = view.durable.max(end);
                }
                view.forget();
            }
            done(result);
        });
        self.put(view, changes, done);
    }

    /// Takes back the entries from an index on. They cannot be read any more when this returns.
    pub(crate) fn truncate(&self, from: u64, done: Done) {
        let mut view = self.view();
        if next(view.head.last) <= from {
            drop(view);
            return done(Ok(()));
        }
        while view.head.last.is_some_and(|last| last.index >= from) {
            if let Some(record) = view.recent.pop_back() {
                view.recent_bytes -= record.size();
                view.head.last = view.recent.back().map(|record| record.position);
            } else {
                break;
            }
        }
        if view.recent.is_empty() {
            // The last one that remains is on the disk, or purged.
            let before = from.checked_sub(1);
            let last =
                before.map(|index| self.log.read(index..from, 1).map(|records| records.first().cloned()));
            match last {
                Some(Err(error)) => {
                    drop(view);
                    let error = DiskError::from(&error);
                    self.queue.fail(&error);
                    return done(Err(error));
                }
                Some(Ok(Some(record))) if view.begin < from => {
                    view.head.last = Some(record.position);
                }
                _ => view.head.last = view.head.purged,
            }
        }
        view.durable = view.durable.min(from);
        view.truncations += 1;
        self.put(view, vec![Change::Truncate(from)], done);
    }

    /// Drops the entries up to a position, which may lie behind the last.
    pub(crate) fn purge(&self, to: Position, done: Done) {
        let mut view = self.view();
        while view.recent.front().is_some_and(|record| record.position.index <= to.index) {
            let size = view.recent.pop_front().map_or(0, |record| record.size());
            view.recent_bytes -= size;
        }
        view.head.purged = Some(to);
        view.begin = to.index + 1;
        if view.head.last.is_none_or(|last| last.index <= to.index) {
            view.head.last = Some(to);
            view.durable = view.durable.max(to.index + 1);
        }
        self.put(view, vec![Change::Purge(to)], done);
    }

    /// Keeps a vote.
    pub(crate) fn vote(&self, ballot: Ballot, done: Done) {
        let mut view = self.view();
        view.head.ballot = Some(ballot);
        let mut changes = vec![Change::Vote(ballot)];
        changes.extend(view.take_commit());
        self.put(view, changes, done);
    }

    /// Notes how far the log is committed. It is written with what is written next.
    pub(crate) fn commit(&self, committed: Position) {
        let mut view = self.view();
        view.head.committed = Some(committed);
        view.commit = Some(committed);
    }

    /// Entries by their index: as many as there are, up to the first that makes it `bytes_max` or more.
    ///
    /// # Errors
    ///
    /// If the disk fails, or a record is damaged. That is final.
    pub(crate) fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        let view = self.view();
        let start = range.start.max(view.begin);
        let end = range.end.min(next(view.head.last));
        let (mut records, mut bytes) = (Vec::new(), 0);
        let recent = view.recent.front().map_or(u64::MAX, |record| record.position.index);
        if start < end.min(recent) {
            // Under the lock: nobody purges or truncates meanwhile.
            records =
                self.log.read(start..end.min(recent), bytes_max).inspect_err(|error| self.fail(error))?;
            bytes = records.iter().map(Record::size).sum();
            let expected = start..start + records.len() as u64;
            let is_whole = records.iter().map(|record| record.position.index).eq(expected.clone());
            if !is_whole || (expected.end < end.min(recent) && bytes < bytes_max) {
                let error = io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("entries {expected:?} of the log are missing; {}", crate::store::DAMAGED),
                );
                self.fail(&error);
                return Err(error);
            }
        }
        let mut index = start + records.len() as u64;
        while index >= recent && index < end && bytes < bytes_max {
            let record = &view.recent[(index - recent) as usize];
            bytes += record.size();
            records.push(record.clone());
            index += 1;
        }
        Ok(records)
    }

    /// Hands changes to the queue, in the order of the calls: the lock is given up after that.
    fn put(&self, view: MutexGuard<'_, View>, changes: Vec<Change>, done: Done) {
        // Inline, `done` takes the lock itself. There is one thread then, and no order to lose.
        let is_inline = self.queue.is_inline();
        let view = if is_inline {
            drop(view);
            None
        } else {
            Some(view)
        };
        self.queue.put(changes, done);
        drop(view);
    }

    fn view(&self) -> MutexGuard<'_, View> {
        lock(&self.view)
    }
}

impl View {
    fn take_commit(&mut self) -> Option<Change> {
        self.commit.take().map(Change::Commit)
    }

    /// Forgets entries that are on the disk, while there are too many.
    fn forget(&mut self) {
        while self.recent_bytes > RECENT_BYTES
            && self.recent.front().is_some_and(|record| record.position.index < self.durable)
            && self.recent.len() > 1
        {
            let size = self.recent.pop_front().map_or(0, |record| record.size());
            self.recent_bytes -= size;
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("head", &self.head()).finish_non_exhaustive()
    }
}

/// The index behind a position.
fn next(position: Option<Position>) -> u64 {
    position.map_or(0, |position| position.index + 1)
}

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    // Nothing panics while it is held but an assertion, and that is final.
    view.lock().unwrap_or_else(PoisonError::into_inner)
}
