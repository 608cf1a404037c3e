//! Tokens by the wall clock alone, for a daemon without a state directory. The promise is weaker: tokens ascend
//! across a restart if the clock is not set back and fewer than a million a second are given out.

use super::{Ranges, Reserving, TokenSource};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tokens of one range. The number is small, so that a burst takes few tokens ahead of the clock.
const LENGTH: u64 = 65_536;

/// Fencing tokens without a record.
#[derive(Debug)]
pub struct ClockTokens {
    ranges: Ranges,
}

impl ClockTokens {
    /// A source that begins at the clock.
    #[must_use]
    pub fn new() -> Self {
        Self { ranges: Ranges::new(LENGTH, None) }
    }
}

impl Default for ClockTokens {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenSource for ClockTokens {
    fn reserve(&mut self) -> Reserving<'_> {
        let range = self.ranges.next(wall_micros());
        if let Ok(range) = &range {
            self.ranges.taken(range);
        }
        Box::pin(std::future::ready(range))
    }
}

/// Microseconds since 1970, by the system's clock.
pub(super) fn wall_micros() -> u64 {
    // A clock before 1970 counts as 1970.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ranges_are_at_the_clock_and_ascend_across_a_restart() {
        let begun = wall_micros();
        let mut source = ClockTokens::new();
        let first = source.reserve().await.unwrap();
        assert!(*first.start() >= begun + Ranges::HEADROOM);
        assert!(*first.start() <= wall_micros() + Ranges::HEADROOM);
        assert_eq!(first.end() - first.start() + 1, LENGTH);
        let second = source.reserve().await.unwrap();
        assert!(second.start() > first.end());
        // Another daemon begins above the first one's beginning.
        let restarted = ClockTokens::new().reserve().await.unwrap();
        assert!(restarted.start() >= first.start());
    }
}
