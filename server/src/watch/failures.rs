//! Handshakes that failed. All are counted. The log is told of one in a second at most, because anybody can make a
//! handshake fail as often as they like.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::info;

/// Time between two lines of the log.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Handshakes that failed since the start.
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
    /// Notes one, and tells the log of it, unless it was told of another just now.
    pub(crate) fn note(&self, peer: Option<SocketAddr>, reason: &dyn fmt::Display) {
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
        let peer = peer.map_or_else(|| "a peer".to_owned(), |peer| peer.to_string());
        let others = match untold {
            0 => String::new(),
            others => format!(" ({others} others failed since the last such line)"),
        };
        info!(addr = peer, "the handshake of {peer} failed: {reason}{others}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn every_failure_counts_and_few_are_told() {
        let failures = Failures::default();
        let untold = || failures.counts().untold;
        for expected in [0, 1, 2] {
            failures.note(None, &"why");
            assert_eq!(untold(), expected);
        }
        advance(BETWEEN_LINES - Duration::from_millis(1)).await;
        failures.note(None, &"why");
        assert_eq!(untold(), 3);
        advance(Duration::from_millis(1)).await;
        failures.note(None, &"why");
        assert_eq!((untold(), failures.count()), (0, 5));
    }
}
