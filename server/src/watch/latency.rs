//! The latency of commands: a histogram. It costs a few atomic additions for a batch and never a lock or an
//! allocation. Sessions only add to it, and only exporters read it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A histogram of the time from reading a request off its socket to having its reply ready; for a listing, to its
/// beginning. The time that a request waits because earlier replies are not taken is included. All commands of a
/// batch count with the time of the batch, because their replies are sent then.
#[derive(Debug, Default)]
pub struct Latency {
    counts: [AtomicU64; Self::BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

/// The content of a [`Latency`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencySnapshot {
    /// Commands in each bucket, the one without an upper bound last. Not cumulative.
    pub counts: [u64; Latency::BOUNDS.len() + 1],
    /// The sum of all their times.
    pub sum: Duration,
}

impl Latency {
    /// The inclusive upper bounds of all buckets but the last.
    pub const BOUNDS: [Duration; 12] = [
        Duration::from_micros(1),
        Duration::from_micros(2),
        Duration::from_micros(5),
        Duration::from_micros(10),
        Duration::from_micros(25),
        Duration::from_micros(50),
        Duration::from_micros(100),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_millis(10),
        Duration::from_millis(100),
        Duration::from_secs(1),
    ];

    /// Adds `commands` commands that took `took`.
    pub(crate) fn note(&self, commands: u64, took: Duration) {
        // The search begins with the shortest: most are short.
        let bucket = Self::BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(Self::BOUNDS.len());
        let nanos =
            took.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(took.subsec_nanos()));
        self.counts[bucket].fetch_add(commands, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos.saturating_mul(commands), Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> LatencySnapshot {
        LatencySnapshot {
            counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_of_a_batch_counts_with_its_time() {
        let latency = Latency::default();
        latency.note(3, Duration::from_micros(1));
        latency.note(1, Duration::from_nanos(1001));
        latency.note(2, Duration::from_secs(2));
        let LatencySnapshot { counts, sum } = latency.snapshot();
        assert_eq!(counts, [3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(sum, Duration::from_nanos(3 * 1000 + 1001 + 4_000_000_000));
        assert!(Latency::BOUNDS.is_sorted());
    }
}
