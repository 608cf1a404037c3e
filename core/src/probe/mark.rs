//! Marks: places that a good set of tests must reach. The code says [`reach`] where something special
//! happens; a harness asks afterwards which of [`Mark::ALL`] were reached, and fails when one never was, so
//! that it cannot quietly come to run dull cases only.
//!
//! They exist only with the feature `marks`, which nothing but the tests asks for; without it [`reach`] does
//! nothing and is compiled away. They are counted for one thread. No decision may ever depend on them.

/// Each a thing that happens, told as a sentence would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A get met a lock whose sole holder is dead, and took over its slot.
    GetMetADeadSoleHolder,
    /// A get freed dead holds before it added one.
    GetSwept,
    /// A tick freed dead holds.
    TickSwept,
    /// Slots whose memory had been given back are used again.
    FreedSlotsUsedAgain,
    /// A sole hold became tied because a second holder came.
    HoldBecameTied,
    /// The end of a connection took a tied hold out of a lock that others hold too.
    OrphaningLeftOtherHolders,
    /// The end of a connection freed a tied lock.
    OrphaningFreedATiedLock,
    /// The end of a connection left sole holds to be swept.
    OrphaningLeftSoleHolds,
    /// A connection was silent for too long.
    ConnectionWasIdle,
    /// A get would have passed a limit.
    LocksRanOut,
    /// A connection was one too many.
    ConnectionsRanOut,
    /// A get was refused because the daemon is shutting down.
    DrainRefusedAGet,
    /// A release was refused because its asker is not a holder.
    ReleaseWasRefused,
    /// A name was over the limit.
    NameWasTooLong,
    /// A listing met a hold that had become tied under way a second time.
    ListingMetAHoldTwice,
    /// A line came in more than one piece.
    LineCameInPieces,
    /// A line was over the limit.
    LineWasTooLong,
    /// A batch was full before the input was used up.
    BatchWasFull,
    /// Replies could not be sent at once.
    RepliesHadToWait,
    /// So many replies waited that a connection was read no further.
    ReadingStopped,
    /// Input that was read waited until replies before it were sent.
    InputHadToWait,
    /// A peer took no byte of its replies for too long.
    PeerStalled,
    /// A connection failed.
    ConnectionFailed,
    /// A peer sent FIN and is still owed replies.
    ReplyAfterFin,
    /// A listing took more than the bytes allowed.
    ListingWasTooLarge,
    /// A listing took more than one slice.
    ListingTookSlices,
    /// A shutdown found a connection with replies waiting, and let it have them.
    DrainWaitedForReplies,
    /// Accepting failed.
    AcceptFailed,
    /// A connection was ended by the machine while it had nothing to say.
    EndedByMail,
    /// The ticker was woken before the time it slept until.
    TickerWokenEarly,
    /// A release let a waiting connection have the lock.
    GrantByRelease,
    /// The end of a connection let a waiting one have its lock.
    GrantByOrphaning,
    /// The head of a line timed out and let another in.
    GrantByTimeout,
    /// A lock was stolen and the head of its line got it.
    GrantBySteal,
    /// One input granted several waits.
    SeveralGrantsAtOnce,
    /// A wait came to its deadline.
    WaitTimedOut,
    /// A wait was refused because it could never be granted.
    DeadlockRefused,
    /// A wait for holders that wait themselves was found to be no deadlock.
    DeadlockRuledOut,
    /// A wait was refused because too many wait.
    QueueWasFull,
    /// A connection sent FIN while it waited.
    WaitEndedByFin,
    /// A connection ended in another way while it waited.
    WaitingConnectionDied,
    /// A shutdown ended a wait.
    DrainEndedAWait,
    /// A fencing token was drawn.
    TokenDrawn,
    /// There was no fencing token left.
    TokensRanOut,
    /// An operator closed a connection.
    ConnectionWasKicked,
    /// Requests were read while their connection waited.
    InputWaitedForAGrant,
    /// A waiting connection sent so much that it was read no further.
    ReadAheadWasFull,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 47] = [
        Self::GetMetADeadSoleHolder,
        Self::GetSwept,
        Self::TickSwept,
        Self::FreedSlotsUsedAgain,
        Self::HoldBecameTied,
        Self::OrphaningLeftOtherHolders,
        Self::OrphaningFreedATiedLock,
        Self::OrphaningLeftSoleHolds,
        Self::ConnectionWasIdle,
        Self::LocksRanOut,
        Self::ConnectionsRanOut,
        Self::DrainRefusedAGet,
        Self::ReleaseWasRefused,
        Self::NameWasTooLong,
        Self::ListingMetAHoldTwice,
        Self::LineCameInPieces,
        Self::LineWasTooLong,
        Self::BatchWasFull,
        Self::RepliesHadToWait,
        Self::ReadingStopped,
        Self::InputHadToWait,
        Self::PeerStalled,
        Self::ConnectionFailed,
        Self::ReplyAfterFin,
        Self::ListingWasTooLarge,
        Self::ListingTookSlices,
        Self::DrainWaitedForReplies,
        Self::AcceptFailed,
        Self::EndedByMail,
        Self::TickerWokenEarly,
        Self::GrantByRelease,
        Self::GrantByOrphaning,
        Self::GrantByTimeout,
        Self::GrantBySteal,
        Self::SeveralGrantsAtOnce,
        Self::WaitTimedOut,
        Self::DeadlockRefused,
        Self::DeadlockRuledOut,
        Self::QueueWasFull,
        Self::WaitEndedByFin,
        Self::WaitingConnectionDied,
        Self::DrainEndedAWait,
        Self::TokenDrawn,
        Self::TokensRanOut,
        Self::ConnectionWasKicked,
        Self::InputWaitedForAGrant,
        Self::ReadAheadWasFull,
    ];

    /// How often each was reached, in the order of [`Mark::ALL`].
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(feature = "marks")]
mod counted {
    use super::Mark;
    use std::cell::RefCell;

    thread_local! {
        static REACHED: RefCell<[u64; Mark::COUNT]> = const { RefCell::new([0; Mark::COUNT]) };
    }

    /// Notes that this thread reached a mark.
    pub fn reach(mark: Mark) {
        REACHED.with_borrow_mut(|reached| reached[mark as usize] += 1);
    }

    /// How often this thread reached each mark since it last asked, in the order of [`Mark::ALL`].
    #[must_use]
    pub fn take() -> [u64; Mark::COUNT] {
        REACHED.with_borrow_mut(|reached| std::mem::replace(reached, [0; Mark::COUNT]))
    }
}

#[cfg(feature = "marks")]
pub use counted::{reach, take};

/// Nothing, in a build without marks.
#[cfg(not(feature = "marks"))]
pub const fn reach(_: Mark) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_at_their_index() {
        for (index, mark) in Mark::ALL.into_iter().enumerate() {
            assert_eq!(mark as usize, index);
        }
    }
}
