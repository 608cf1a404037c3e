//! Leases: who may serve, and from when on an epoch may be ended. Everything here is a pure data structure. No file
//! of this folder reads a clock or sends a message: times are arguments, and what to do is returned.
//!
//! A node serves its clients in epochs, under a lease that the leader renews:
//!
//! ```text
//!   node                          leader                         voters
//!    | beat, sent at s              |                              |
//!    |----------------------------->| came at r                    |
//!    |                              | append or heartbeat, sent    |
//!    |                              | strictly after r             |
//!    |                              |----------------------------->| last word: it came at w
//!    |                              |<-----------------------------|
//!    |<-----------------------------| a quorum acknowledged it     |
//!    | may write until s + lease    |                              |
//!    |                              | may end the epoch from r + expiry on
//!    |                              |         a later leader, from w + expiry on
//! ```
//!
//! `s <= r < w` in true time, and the expiry is longer than the lease. So no epoch is ended while its node may still
//! write, whichever of the leaders ends it. It holds as long as no clock runs wrong by more than 11 %.
//!
//! [`NodeLease`] is the node's side, [`LeaderLease`] the leader's. Every voter keeps a [`LastWord`]. [`LeaderTime`] is
//! the cluster's time, which goes on from leader to leader. `cluster/tests/lease_search` runs all of them against each
//! other.
//!
//! A *term*, here, is one leadership: its number is higher than that of every earlier one, and no other leader has it.

mod last_word;
mod leader;
mod node;
mod table;
mod time;

pub use last_word::LastWord;
pub use leader::{Answered, Election, LeaderLease};
pub use node::{Beat, LapseCause, NodeLease, Turn};
pub use table::Condemned;
pub use time::LeaderTime;

/// The times of leases. All are fixed parts of the cluster's timeout T, which is the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Times {
    timeout_ms: u64,
}

impl Times {
    /// The times that belong to a timeout T in milliseconds.
    ///
    /// # Panics
    ///
    /// If it is less than 100: parts of it would be too short to tell them apart.
    #[must_use]
    pub fn new(timeout_ms: u64) -> Self {
        assert!(timeout_ms >= 100, "a timeout of {timeout_ms} ms is too short");
        Self { timeout_ms }
    }

    /// T: a dead node's epoch ends within it.
    #[must_use]
    pub const fn timeout(self) -> u64 {
        self.timeout_ms
    }

    /// E: the leader condemns an epoch of which it heard nothing for so long. 0.8 T.
    #[must_use]
    pub const fn expiry(self) -> u64 {
        self.timeout_ms * 80 / 100
    }

    /// N: a node may serve for so long after it sent a beat that was answered. 0.64 T.
    #[must_use]
    pub const fn lease(self) -> u64 {
        self.timeout_ms * 64 / 100
    }

    /// Half a lease: the most that a node may lag behind the commit index that it was told.
    #[must_use]
    pub const fn half_lease(self) -> u64 {
        self.lease() / 2
    }

    /// The time from beat to beat, and from one tick of the leader to the next. T/16.
    #[must_use]
    pub const fn beat(self) -> u64 {
        self.timeout_ms / 16
    }

    /// What is not known to have arrived is sent again after so long: T/10.
    #[must_use]
    pub const fn again(self) -> u64 {
        self.timeout_ms / 10
    }

    /// Sockets that can still be written to so long after the deadline end the process: (E - N)/2.
    #[must_use]
    pub const fn watchdog_margin(self) -> u64 {
        (self.expiry() - self.lease()) / 2
    }
}

impl Default for Times {
    /// T is 2.5 s.
    fn default() -> Self {
        Self::new(2500)
    }
}

#[cfg(test)]
mod tests;
