//! The server's disk, and the fencing tokens that are reserved on it. It outlives the process and may be full. The
//! process may be killed when a range is on disk and not given out yet. There are no threads and no files here; the
//! arithmetic is the production server's.

use crate::log::Log;
use crate::script::FaultKind;
use elockd_server::tokens::{Ranges, Reserving, TokenSource};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// The server's data on disk.
#[derive(Clone)]
pub(super) struct Disk {
    state: Arc<Mutex<DiskState>>,
    log: Log,
    /// Tokens of one range; 0 means that none can ever be reserved.
    length: u64,
}

#[derive(Default)]
struct DiskState {
    /// The highest token that was reserved.
    recorded: Option<u64>,
    is_full: bool,
    /// Whether the process is to be killed at its next reservation, and whether that has come.
    will_kill: bool,
    is_time_to_kill: bool,
}

impl Disk {
    pub(super) fn new(tokens: u32, log: &Log) -> Self {
        Self { state: Arc::default(), log: log.clone(), length: tokens.into() }
    }

    pub(super) fn set_full(&self, is_full: bool) {
        self.with(|state| state.is_full = is_full);
    }

    pub(super) fn set_kill(&self, will_kill: bool) {
        self.with(|state| state.will_kill = will_kill);
    }

    /// Whether the process has reserved tokens and must be killed before it uses them. Returns true once.
    pub(super) fn is_time_to_kill(&self) -> bool {
        self.with(|state| std::mem::take(&mut state.is_time_to_kill))
    }

    /// What a process reads at its start.
    pub(super) fn open(&self) -> SimTokens {
        let recorded = self.with(|state| state.recorded);
        SimTokens { disk: self.clone(), ranges: Ranges::new(self.length, recorded) }
    }

    fn with<R>(&self, act: impl FnOnce(&mut DiskState) -> R) -> R {
        act(&mut self.state.lock().expect("nobody panics while holding the disk"))
    }
}

/// One process's access to the disk.
pub(super) struct SimTokens {
    disk: Disk,
    ranges: Ranges,
}

impl TokenSource for SimTokens {
    fn reserve(&mut self) -> Reserving<'_> {
        /// Time of a write.
        const WRITING: Duration = Duration::from_millis(2);
        /// The clock does not help here: it is so far back that only the record counts.
        const NO_CLOCK: u64 = 0;
        Box::pin(async {
            if self.disk.length == 0 {
                return Err(io::Error::other("there is no disk"));
            }
            sleep(WRITING).await;
            let range = self.ranges.next(NO_CLOCK)?;
            let recorded = self.ranges.record_of(&range);
            let is_written = self.disk.with(|state| {
                if !state.is_full {
                    state.recorded = Some(recorded);
                    state.is_time_to_kill = std::mem::take(&mut state.will_kill);
                }
                !state.is_full
            });
            if !is_written {
                self.disk.log.bite(FaultKind::FullDisk);
                return Err(io::ErrorKind::StorageFull.into());
            }
            if self.disk.with(|state| state.is_time_to_kill) {
                std::future::pending::<()>().await;
            }
            // A range is recorded before it is handed out.
            sleep(WRITING).await;
            self.ranges.taken(&range);
            Ok(range)
        })
    }
}
