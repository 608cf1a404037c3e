//! When a hold began, in five bytes, to keep slots small. It decides nothing. Listings and the histogram of hold times
//! use it.

use crate::types::Now;

/// The lowest 40 bits of a [`Now`]. The time from it to a later `Now` is exact below 2^40 ms, which is 34.8 years,
/// however long the machine has been running. From there on it is counted from 0 again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment([u8; 5]);

impl Moment {
    const MASK: u64 = (1 << 40) - 1;

    pub(crate) fn of(Now(ms): Now) -> Self {
        let mut bytes = [0; 5];
        bytes.copy_from_slice(&ms.to_le_bytes()[..5]);
        Self(bytes)
    }

    /// Milliseconds from this moment to a later time.
    pub(crate) fn until(self, Now(ms): Now) -> u64 {
        ms.wrapping_sub(self.bits()) & Self::MASK
    }

    /// The 40 bits, for snapshots. [`of`](Self::of) turns them back into a moment.
    pub(crate) fn bits(self) -> u64 {
        let mut bytes = [0; 8];
        bytes[..5].copy_from_slice(&self.0);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_up_to_the_40th_bit_at_any_age_of_the_machine() {
        let longest = (1 << 40) - 1;
        for began in [0, 1, longest, longest + 1, u64::MAX - longest] {
            for lasted in [0, 1, 1000, 86_400_000, longest] {
                assert_eq!(Moment::of(Now(began)).until(Now(began + lasted)), lasted);
            }
        }
        assert_eq!(Moment::of(Now(5)).until(Now(5 + (1 << 40))), 0, "and then again from 0");
    }

    #[test]
    fn bits_are_the_whole_of_it() {
        let moment = Moment::of(Now(0x0012_3456_789A_BCDE));
        assert_eq!(moment.bits(), 0x56_789A_BCDE);
        assert_eq!(Moment::of(Now(moment.bits())), moment);
    }
}
