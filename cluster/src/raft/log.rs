//! The log as the engine uses it. It adds nothing to the store but the engine's types.

use crate::raft::runtime::Pace;
use crate::raft::types::{Entry, LogId, Types, Vote, ballot, entry, log_id, position, record, vote};
use crate::store::{DAMAGED, DiskError, Store};
use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How many bytes of entries are handed out at a time.
const READ_BYTES: usize = 4 << 20;

/// A node's log.
#[derive(Clone, Debug)]
pub(crate) struct EngineLog(pub(crate) Arc<Store>);

impl EngineLog {
    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let records = self.0.read(range, bytes_max)?;
        let damaged =
            || io::Error::new(io::ErrorKind::InvalidData, format!("an entry names no members; {DAMAGED}"));
        records.into_iter().map(|record| entry(record).ok_or_else(damaged)).collect()
    }
}

impl<P: Pace> RaftLogReader<Types<P>> for EngineLog {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        self.read(bounds(&range), usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.0.head().ballot.map(vote))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, READ_BYTES)
    }

    /// A part at a time: after a start, all that is committed may be read at once.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let state = (self.clone(), bounds(&range), Vec::new().into_iter());
        let entries = stream::unfold(state, |(log, mut range, mut part)| async move {
            if part.as_slice().is_empty() && !range.is_empty() {
                match log.read(range.clone(), READ_BYTES) {
                    Ok(read) => {
                        range.start += read.len() as u64;
                        part = read.into_iter();
                    }
                    Err(error) => return Some((Err(error), (log, 0..0, Vec::new().into_iter()))),
                }
            }
            part.next().map(|entry| (Ok(entry), (log, range, part)))
        });
        Box::pin(entries)
    }
}

impl<P: Pace> RaftLogStorage<Types<P>> for EngineLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<P>>> {
        let head = self.0.head();
        Ok(LogState { last_purged_log_id: head.purged.map(log_id), last_log_id: head.last.map(log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, written) = oneshot::channel();
        self.0.vote(ballot(vote), Box::new(|result| drop(done.send(result))));
        let lost = |_| io::Error::other("the writer of the log ended");
        Ok(written.await.map_err(lost)??)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(committed) = committed {
            self.0.commit(position(committed));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.0.head().committed.map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<P>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let records = entries.into_iter().map(record).collect();
        self.0.append(records, Box::new(|result| callback.io_completed(result.map_err(io::Error::from))));
        Ok(())
    }

    /// Not waited for: what is appended later is durable later.
    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.0.truncate(last.map_or(0, |last| last.index + 1), Box::new(ignore));
        self.check()
    }

    /// Not waited for: until it is durable, entries are there that nobody needs.
    async fn purge(&mut self, to: LogId) -> io::Result<()> {
        self.0.purge(position(to), Box::new(ignore));
        self.check()
    }
}

impl EngineLog {
    fn check(&self) -> io::Result<()> {
        let failure = self.0.failure().borrow().clone();
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The store keeps the first error, and hands it out for everything later.
fn ignore(_: Result<(), DiskError>) {}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end.max(start)
}
