//! Tokens by a file: the highest token that was ever reserved is on disk before any of its range is given out, so that
//! they ascend whatever becomes of the daemon, the machine, or the clock.
//!
//! A file that is not whole, or not ours, is never touched: to guess would be to give tokens out twice.

mod error;
mod record;
#[cfg(test)]
mod tests;

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
use tokio::task::spawn_blocking;

/// Tokens of one range: at a thousand a second, a write every nine minutes or so.
const LENGTH: u64 = 1 << 20;
/// The file that is locked for as long as the daemon lives. Nothing is in it. The other one is replaced each time, so
/// that a lock on it would be lost.
const LOCK: &str = "lock";

/// Fencing tokens with a record of them in a directory, which is locked as long as this lives.
#[derive(Debug)]
pub struct FileTokens {
    dir: Arc<Path>,
    ranges: Ranges,
    _lock: File,
}

impl FileTokens {
    /// Locks a directory, makes it when only itself is missing, and reads what is in it. It changes no record.
    ///
    /// # Errors
    ///
    /// When another daemon has it, when what is there is damaged or not ours, or what the system says.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
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
        Ok(Self { dir: dir.into(), ranges: Ranges::new(LENGTH, recorded), _lock: lock })
    }

    /// The next range, by a clock, and what has to be on record before it is handed out.
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
            let dir = Arc::clone(&self.dir);
            let recording = spawn_blocking(move || record(&dir, recorded, &mut |_| Ok(())));
            recording.await.map_err(io::Error::other)??;
            self.ranges.taken(&range);
            Ok(range)
        })
    }
}

/// Makes the directory when it is missing, and makes sure that it stays.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
