//! The next range, and the number to record for it: the arithmetic that all sources share. It reads no clock and
//! stores nothing.

use super::HIGHEST_TOKEN;
use std::io;
use std::ops::RangeInclusive;

/// Ranges of one length, one above the other, as near to the wall clock in microseconds as that allows.
///
/// Tokens follow the clock so that they ascend even if their record was lost, or if there is none. The condition:
/// over any period, fewer than a million tokens a second are given out. Then no token is above the clock by more than
/// [`HEADROOM`](Self::HEADROOM), and that is where the next start begins.
#[derive(Clone, Debug)]
pub struct Ranges {
    length: u64,
    /// The highest token that was ever reserved; `None` if that is not known.
    highest: Option<u64>,
    has_begun: bool,
}

impl Ranges {
    /// Distance between the clock and the first range of each start, in microseconds. An earlier burst may have been
    /// this far ahead of the clock.
    pub const HEADROOM: u64 = 2 * 65_536;

    /// Ranges of `length` tokens, above the highest recorded token if there is one.
    #[must_use]
    pub fn new(length: u64, recorded: Option<u64>) -> Self {
        Self { length, highest: recorded, has_begun: false }
    }

    /// The next range when the wall clock shows `micros`. It does not count until it is [`taken`](Self::taken).
    ///
    /// # Errors
    ///
    /// All tokens are used up.
    pub fn next(&self, micros: u64) -> io::Result<RangeInclusive<u64>> {
        let headroom = if self.has_begun { 0 } else { Self::HEADROOM };
        let above = self.highest.map_or(0, |highest| highest + 1);
        let by_clock = micros.saturating_add(headroom);
        // A clock that is centuries ahead must not use up all tokens.
        let first = if by_clock <= HIGHEST_TOKEN / 2 { above.max(by_clock) } else { above };
        if first > HIGHEST_TOKEN {
            return Err(io::Error::other("no fencing tokens are left: all below 2^53 have been reserved"));
        }
        Ok(first..=first.saturating_add(self.length - 1).min(HIGHEST_TOKEN))
    }

    /// The number that must be on record before a range is handed out.
    #[must_use]
    pub fn record_of(&self, range: &RangeInclusive<u64>) -> u64 {
        *range.end()
    }

    /// Notes that a range is going to be handed out.
    pub fn taken(&mut self, range: &RangeInclusive<u64>) {
        self.highest = Some(*range.end());
        self.has_begun = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u64 = 100;

    /// Takes the next range.
    fn take(ranges: &mut Ranges, micros: u64) -> RangeInclusive<u64> {
        let range = ranges.next(micros).unwrap();
        ranges.taken(&range);
        range
    }

    #[test]
    fn the_first_range_is_above_the_record_and_above_the_clock() {
        let first = |recorded, micros| *Ranges::new(LENGTH, recorded).next(micros).unwrap().start();
        assert_eq!(first(None, 0), Ranges::HEADROOM);
        assert_eq!(first(None, 1_000), 1_000 + Ranges::HEADROOM);
        assert_eq!(first(Some(1_000_000), 1_000), 1_000_001, "a clock that went back changes nothing");
        let at_the_clock = 1_000 + Ranges::HEADROOM;
        assert_eq!(first(Some(at_the_clock - 1), 1_000), at_the_clock);
        assert_eq!(first(Some(at_the_clock), 1_000), at_the_clock + 1);
        assert_eq!(first(Some(5), 1_000), at_the_clock, "an old record is as good as none");
    }

    #[test]
    fn later_ranges_follow_the_one_before_or_the_clock() {
        let mut ranges = Ranges::new(LENGTH, None);
        let start = Ranges::HEADROOM;
        assert_eq!(take(&mut ranges, 0), start..=start + 99);
        assert_eq!(take(&mut ranges, start + 100), start + 100..=start + 199, "no gap, no headroom");
        assert_eq!(take(&mut ranges, 0), start + 200..=start + 299);
        assert_eq!(take(&mut ranges, start + 1_000), start + 1_000..=start + 1_099);
    }

    #[test]
    fn a_range_that_was_not_taken_comes_again() {
        let mut ranges = Ranges::new(LENGTH, Some(1_000_000));
        assert_eq!(ranges.next(0).unwrap(), ranges.next(0).unwrap());
        let first = take(&mut ranges, 0);
        assert_eq!(*ranges.next(0).unwrap().start(), first.end() + 1);
    }

    #[test]
    fn what_is_recorded_is_the_end() {
        let ranges = Ranges::new(LENGTH, Some(7_000_000));
        assert_eq!(ranges.record_of(&ranges.next(0).unwrap()), 7_000_100);
    }

    #[test]
    fn tokens_end_below_2_to_the_53rd() {
        let mut ranges = Ranges::new(LENGTH, Some(HIGHEST_TOKEN - 101));
        assert_eq!(take(&mut ranges, 0), HIGHEST_TOKEN - 100..=HIGHEST_TOKEN - 1);
        assert_eq!(take(&mut ranges, 0), HIGHEST_TOKEN..=HIGHEST_TOKEN);
        let error = ranges.next(0).unwrap_err().to_string();
        assert_eq!(error, "no fencing tokens are left: all below 2^53 have been reserved");
    }

    #[test]
    fn a_clock_that_is_centuries_ahead_does_not_count() {
        let near = HIGHEST_TOKEN / 2 - Ranges::HEADROOM;
        let first = |micros| *Ranges::new(LENGTH, Some(9)).next(micros).unwrap().start();
        assert_eq!((first(near), first(near + 1), first(u64::MAX)), (HIGHEST_TOKEN / 2, 10, 10));
    }

    #[test]
    fn below_a_million_a_second_every_restart_is_above_all_that_was_given() {
        // Runs of different lengths and speeds. In the pauses the clock gets ahead, and ranges are dropped.
        let mut clock = 1_000_000_000;
        let mut highest_given = 0;
        for run in 0..60_u64 {
            let mut ranges = Ranges::new(65_536, None);
            let mut range = take(&mut ranges, clock);
            let mut next = *range.start();
            assert!(next > highest_given, "run {run} gives {next} again");
            for step in 0..run {
                // In this many microseconds, one token fewer is drawn.
                let micros = 1 + (step * 7_919 + run * 31) % 30_000;
                for _ in 1..micros {
                    if range.end() - next < 32_768 {
                        range = take(&mut ranges, clock);
                        next = next.max(*range.start());
                    }
                    highest_given = next;
                    next += 1;
                }
                clock += micros + if step % 5 == 0 { 300_000 } else { 0 };
            }
            clock += 1;
        }
    }
}
