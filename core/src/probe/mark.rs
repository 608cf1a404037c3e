//! Marks: places that a good set of tests must reach. The code calls [`reach`] where something special happens.
//! Afterwards a harness asks which of [`Mark::ALL`] were reached, and fails if one that it must reach was not. So no
//! harness can come to run only dull cases unnoticed.
//!
//! They exist only with the feature `marks`, which only the tests switch on. Without it [`reach`] does nothing and is
//! compiled away. Each thread has its own counts. No decision may ever depend on them.

use super::Harness;

/// Makes [`Mark`] from its table. A row says what happens, the name, and the harnesses that must reach it.
macro_rules! marks {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $($harness:ident),+;
    )+) => {
        /// Something special that happens. The documentation of each says what.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mark {
            /// Every mark.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name),+];

            /// How many there are.
            pub const COUNT: usize = [$(Self::$name),+].len();

            /// What happens.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)+
                }
            }

            /// The harnesses that must reach it.
            #[must_use]
            pub const fn harnesses(self) -> &'static [Harness] {
                match self {
                    $(Self::$name => &[$(Harness::$harness),+],)+
                }
            }
        }
    };
}

marks! {
    /// A get met a lock whose sole holder is dead, and took over its slot.
    GetMetADeadSoleHolder: Reference, Swarm;
    /// A get freed dead holds before it added one.
    GetSwept: Reference, Swarm;
    /// Dead holds were freed between inputs.
    SliceSwept: Reference, Swarm;
    /// Slots whose memory had been given back are used again.
    FreedSlotsUsedAgain: Reference, Swarm;
    /// A chunk of long names was given back, because none of it was in use.
    TextsGaveMemoryBack: Reference, Swarm;
    /// A long name was moved, so that others that are gone take no memory.
    TextWasMoved: Reference;
    /// A sole hold became tied because a second holder came.
    HoldBecameTied: Reference, Swarm;
    /// The end of a connection took a tied hold out of a lock that others hold too.
    OrphaningLeftOtherHolders: Reference, Swarm;
    /// The end of a connection freed a tied lock.
    OrphaningFreedATiedLock: Reference, Swarm;
    /// The end of a connection left sole holds to be swept.
    OrphaningLeftSoleHolds: Reference, Swarm;
    /// A connection was idle for too long.
    ConnectionWasIdle: Reference, Swarm;
    /// A connection asked for more grace than is allowed.
    LingerWasRefused: Reference, Swarm;
    /// A connection left a session.
    SessionWasLeft: Reference, Swarm;
    /// A session was due.
    SessionWasDue: Reference, Swarm;
    /// An operator ended a session.
    SessionWasKicked: Reference, Swarm;
    /// An operator took a lock from a session.
    StolenFromASession: Reference, Swarm;
    /// A key took over a session.
    ResumedLeft: Reference, Swarm;
    /// A key took over what a connection had that was still open.
    ResumedAlive: Reference, Swarm;
    /// A connection said its own key.
    ResumedOwn: Reference, Swarm;
    /// A key opened nothing, or its asker held something.
    ResumeWasRefused: Reference, Swarm;
    /// A connection logged in, and went to another account.
    LoginChangedTheAccount: Reference, Swarm;
    /// A login failed: there was no such account, or its asker held something of another one.
    LoginWasRefused: Reference, Swarm;
    /// A connection logged in to an account that had no connection left, and ended.
    LoginFoundNoRoom: Reference;
    /// A get would have exceeded a limit.
    LocksRanOut: Reference, Swarm;
    /// A connection would have exceeded the limit.
    ConnectionsRanOut: Reference, Swarm;
    /// A connection would have exceeded the limit of its address.
    AddressRanOut: Reference, Swarm;
    /// A get, a wait or a registration would have taken too much memory.
    MemoryRanOut: Reference, Swarm;
    /// A get was refused because the daemon is shutting down.
    DrainRefusedAGet: Reference, Swarm;
    /// A release was refused because its asker is not a holder.
    ReleaseWasRefused: Reference, Swarm;
    /// A name was over the limit.
    NameWasTooLong: Reference, Swarm;
    /// A listing met a hold twice, because the hold became tied meanwhile.
    ListingMetAHoldTwice: Listings, Swarm;
    /// A line came in more than one piece.
    LineCameInPieces: RawBytes, Swarm;
    /// A line was over the limit.
    LineWasTooLong: RawBytes, Swarm;
    /// A batch was full before the input was used up.
    BatchWasFull: Swarm;
    /// Replies could not be sent at once.
    RepliesHadToWait: Swarm;
    /// Too many replies waited, so a connection was not read from.
    ReadingStopped: Swarm;
    /// Input was read, and had to wait until earlier replies were sent.
    InputHadToWait: Swarm;
    /// A session had used up its turn, and others had theirs.
    TurnWasOver: Swarm;
    /// A peer took no byte of its replies for too long.
    PeerStalled: Swarm;
    /// A connection failed.
    ConnectionFailed: Swarm;
    /// A peer sent FIN and is still owed replies.
    ReplyAfterFin: Swarm;
    /// A listing took more than the bytes allowed.
    ListingWasTooLarge: Swarm;
    /// A listing took more than one slice.
    ListingTookSlices: Swarm;
    /// A shutdown found a connection with unsent replies, and let it have them.
    DrainWaitedForReplies: Swarm;
    /// Accepting failed.
    AcceptFailed: Swarm;
    /// The machine ended a connection while that sent nothing.
    EndedByMail: Swarm;
    /// The ticker was woken before the time it slept until.
    TickerWokenEarly: Swarm;
    /// A release let a waiting connection have the lock.
    GrantByRelease: Reference, Swarm;
    /// The end of a connection let a waiting one have its lock.
    GrantByOrphaning: Reference, Swarm;
    /// The end of a node let connections of another one have its locks.
    GrantByNodeLoss: Reference;
    /// The head of a line timed out and let another in.
    GrantByTimeout: Reference, Swarm;
    /// A node's drain took it out of a line, and let others in.
    GrantByDrain: Reference;
    /// A lock was stolen and the head of its line got it.
    GrantBySteal: Reference, Swarm;
    /// A writer went on as a reader, and readers at the head of the line came in.
    GrantByReading: Reference, Swarm;
    /// A reader went on as a writer, or a writer as a reader.
    KindOfAHoldChanged: Reference, Swarm;
    /// A reader beside others could not go on as a writer.
    ChangeWasRefused: Reference, Swarm;
    /// One input granted several waits.
    SeveralGrantsAtOnce: Reference, Swarm;
    /// A wait came to its deadline.
    WaitTimedOut: Reference, Swarm;
    /// A wait was refused because it could never be granted.
    DeadlockRefused: Reference, Swarm;
    /// A wait for holders that wait themselves was found to be no deadlock.
    DeadlockRuledOut: Reference, Swarm;
    /// A wait was refused because its deadlock check would have looked at too much.
    SearchRefused: Reference;
    /// An input left idle connections to the next one, because it had ended enough.
    IdleEndsLeft: Reference;
    /// A wait was refused because too many wait.
    QueueWasFull: Reference, Swarm;
    /// A connection sent FIN while it waited.
    WaitEndedByFin: Reference, Swarm;
    /// A connection ended in another way while it waited.
    WaitingConnectionDied: Reference, Swarm;
    /// A shutdown ended a wait.
    DrainEndedAWait: Reference, Swarm;
    /// A fencing token was drawn.
    TokenDrawn: Reference, Swarm;
    /// There was no fencing token left.
    TokensRanOut: Reference, Swarm;
    /// An operator closed a connection.
    ConnectionWasKicked: Reference, Swarm;
    /// Requests were read while their connection waited.
    InputWaitedForAGrant: Swarm;
    /// A waiting connection sent too much, so it was not read from.
    ReadAheadWasFull: Swarm;
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

/// Does nothing in a build without marks.
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
