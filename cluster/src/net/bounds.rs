//! The bounds of links: how much they take, and how long they wait. One place has all of them.

use std::time::Duration;

/// How much links take, and how long they wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most bytes of a request's or an answer's payload.
    pub payload: usize,
    /// The most requests of a link that wait to be sent.
    pub queued: usize,
    /// The most bytes of a link that wait to be sent. A single request may always wait.
    pub queued_bytes: usize,
    /// The most requests of a link that are answered at a time.
    pub under_way: usize,
    /// The most bytes of requests that are answered at a time. At least `payload`.
    pub under_way_bytes: usize,
    /// The most connections that [`serve`](super::serve()) has at a time.
    pub connections: usize,
    /// The longest time that a new connection may take until its hello is answered.
    pub greeting: Duration,
    /// After this time without a frame to send, a link sends an empty one.
    pub alive: Duration,
    /// After this time without a byte from the other end, a link is given up.
    pub silence: Duration,
    /// The mean delay before a link that broke is made again.
    pub first_retry: Duration,
    /// The longest delay before a link is tried again. It doubles up to this.
    pub last_retry: Duration,
}

impl Default for Bounds {
    /// The silence is less than half the cluster's timeout, so that a link over a path that was cut is made anew in
    /// time. Delays before retries are shorter than an election.
    fn default() -> Self {
        Self {
            payload: 8 << 20,
            queued: 1024,
            queued_bytes: 64 << 20,
            under_way: 64,
            under_way_bytes: 32 << 20,
            connections: 256,
            greeting: Duration::from_secs(1),
            alive: Duration::from_millis(250),
            silence: Duration::from_secs(1),
            first_retry: Duration::from_millis(35),
            last_retry: Duration::from_millis(400),
        }
    }
}

impl Bounds {
    /// The delay before the next try after so many failures in a row. `salt` tells links apart, so that those of one
    /// moment do not try in step. It is drawn from no random number, so that a simulation repeats itself.
    pub(super) fn retry(&self, failures: u32, salt: u64) -> Duration {
        let doubled = self.first_retry.saturating_mul(1 << failures.min(16)).min(self.last_retry);
        // 60 to 120 % of it, by the mixing step of SplitMix64.
        let mut mixed = salt.wrapping_add(u64::from(failures)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^= mixed >> 27;
        doubled * (60 + (mixed % 61) as u32) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the first retry comes fast, all come before half a second is over, and links do not try in step.
    /// Method: the delays of many links after many failures.
    #[test]
    fn retries_are_fast_bounded_and_apart() {
        let bounds = Bounds::default();
        let mut firsts = std::collections::BTreeSet::new();
        for salt in 0..100 {
            let first = bounds.retry(0, salt);
            assert!((20..=50).contains(&first.as_millis()), "{first:?}");
            firsts.insert(first);
            for failures in 1..100 {
                let delay = bounds.retry(failures, salt);
                assert!((40..=500).contains(&delay.as_millis()), "{failures} failures: {delay:?}");
            }
        }
        assert!(firsts.len() > 30, "only {} delays", firsts.len());
    }
}
