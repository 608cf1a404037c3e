//! Histograms of how long locks were held and waited for, one of each for each kind. Only exporters may read them. No
//! reply may, because hold times lag: a hold that ended with its connection may be counted only when its storage is
//! freed.

/// A histogram of hold times or of wait times. Each past hold is in it once, with the time from its get to its release
/// or to the end of its connection. Each past wait is in it once, however it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    counts: [u64; Self::BOUNDS_MS.len() + 1],
    sum_ms: u64,
}

impl Times {
    /// The upper bounds of all buckets but the last, inclusive, in milliseconds: from one to a week.
    pub const BOUNDS_MS: [u64; 11] = [
        1,
        10,
        100,
        1_000,
        10_000,
        60_000,
        600_000,
        3_600_000,
        6 * 3_600_000,
        24 * 3_600_000,
        7 * 24 * 3_600_000,
    ];

    /// A histogram from a snapshot.
    pub(crate) fn restored(counts: [u64; Self::BOUNDS_MS.len() + 1], sum_ms: u64) -> Self {
        Self { counts, sum_ms }
    }

    pub(crate) fn note(&mut self, ms: u64) {
        // Searches from below, because most holds are short.
        let bucket = Self::BOUNDS_MS.iter().position(|bound| ms <= *bound);
        self.counts[bucket.unwrap_or(Self::BOUNDS_MS.len())] += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// The count of each bucket, not cumulative. The bucket without an upper bound comes last.
    #[must_use]
    pub fn counts(&self) -> &[u64; Self::BOUNDS_MS.len() + 1] {
        &self.counts
    }

    /// The count of all buckets together.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all times, in milliseconds. It saturates.
    #[must_use]
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let mut times = Times::default();
        for ms in [0, 1, 2, 10, 11, 604_800_000, 604_800_001, u64::MAX] {
            times.note(ms);
        }
        assert_eq!(times.counts(), &[2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((times.count(), times.sum_ms()), (8, u64::MAX), "the sum stays at its end");
    }

    #[test]
    fn bounds_ascend() {
        assert!(Times::BOUNDS_MS.is_sorted_by(|a, b| a < b));
    }
}
