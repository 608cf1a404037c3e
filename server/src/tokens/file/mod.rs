//! Tokens by a file. The highest reserved token is on disk before any token of its range is given out. So tokens
//! ascend whatever happens to the daemon, the machine, or the clock.
//!
//! A file that is damaged, or not elockd's, is never touched: a guess would give tokens out twice.

mod error;
mod record;
#[cfg(test)]
mod tests;
mod writer;

pub use error::StateError;

use super::clock::wall_micros;
use super::{Ranges, Reserving, TokenSource};
use record::{FILE, own, read, record, remove_unfinished};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use writer::Writer;

/// Tokens of one range: at a thousand a second, a write every nine minutes or so.
const LENGTH: u64 = 1 << 20;
/// The empty file that is locked while the daemon lives. The record itself is replaced each time, so a lock on it
/// would be lost.
const LOCK: &str = "lock";

/// Fencing tokens with a record in a directory. The directory is locked while this value lives, and until a record in
/// progress is written.
#[derive(Debug)]
pub struct FileTokens {
    ranges: Ranges,
    writer: Writer,
    lock: Arc<File>,
}

impl FileTokens {
    /// Locks a directory and reads its record. Makes the directory if it is missing and its parent exists. Changes no
    /// record.
    ///
    /// # Errors
    ///
    /// Another daemon uses the directory; its record is damaged or not elockd's; or the system's error.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let own = dir.to_owned();
        Self::open_with(dir, move |highest| record(&own, highest, &mut |_| Ok(())))
    }

    /// Does the same. `write` writes the record of a number.
    fn open_with(
        dir: &Path,
        write: impl FnMut(u64) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, StateError> {
        let in_dir = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        make(dir).map_err(in_dir(dir))?;
        let path = dir.join(LOCK);
        let mut options = own();
        let lock = options.write(true).create(true).truncate(false).open(&path).map_err(in_dir(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(in_dir(&path)(error)),
        }
        let recorded = read(&dir.join(FILE))?;
        remove_unfinished(dir).map_err(in_dir(dir))?;
        let writer = Writer::start(write).map_err(in_dir(dir))?;
        Ok(Self { ranges: Ranges::new(LENGTH, recorded), writer, lock: Arc::new(lock) })
    }

    /// The next range by this clock, and the number that must be on record before it is handed out.
    fn plan(&self, micros: u64) -> io::Result<(RangeInclusive<u64>, u64)> {
        let range = self.ranges.next(micros)?;
        let recorded = self.ranges.record_of(&range);
        Ok((range, recorded))
    }
}

impl TokenSource for FileTokens {
    fn reserve(&mut self) -> Reserving<'_> {
        Box::pin(async {
            let (range, recorded) = self.plan(wall_micros())?;
            self.writer.write(recorded, Arc::clone(&self.lock)).await?;
            self.ranges.taken(&range);
            Ok(range)
        })
    }
}

/// Makes the directory if it is missing, and syncs its parent so that it stays.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
