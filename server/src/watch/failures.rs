//! What strangers can cause as often as they like: handshakes that fail, connections that speak another protocol. All
//! are counted. The log is told of one in a second at most.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two lines of the log.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Failures of one sort since the start.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    failed: u64,
    /// Those that the log was not told of.
    untold: u64,
    told_at: Option<Instant>,
}

impl Failures {
    /// Notes one. Calls `tell` with the number of those that the log was not told of, unless it was told of another
    /// just now.
    pub(crate) fn note(&self, tell: impl FnOnce(Others)) {
        let now = Instant::now();
        let untold = {
            let mut counts = self.counts();
            counts.failed += 1;
            if counts.told_at.is_some_and(|at| now - at < BETWEEN_LINES) {
                counts.untold += 1;
                return;
            }
            counts.told_at = Some(now);
            std::mem::take(&mut counts.untold)
        };
        tell(Others(untold));
    }

    /// Their number.
    pub(crate) fn count(&self) -> u64 {
        self.counts().failed
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // A panic leaves a count behind that is at worst one too low.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many others there were that the log was not told of. It displays as the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Others(u64);

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            others => write!(f, " (and {others} more since the last such line)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn every_failure_counts_and_one_in_a_second_is_told() {
        let failures = Failures::default();
        let told = || {
            let mut told = None;
            failures.note(|Others(others)| told = Some(others));
            told
        };
        assert_eq!([told(), told(), told()], [Some(0), None, None]);
        advance(Duration::from_millis(999)).await;
        assert_eq!(told(), None);
        advance(Duration::from_millis(1)).await;
        assert_eq!([told(), told()], [Some(3), None]);
        assert_eq!(failures.count(), 6);
    }
}
