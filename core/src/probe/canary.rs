//! Canaries: small bugs planted on purpose, one at a time, so that the tests can be shown to find bugs.
//!
//! They exist only with the feature `canaries`, which nothing but the tests asks for; without it
//! [`is_planted`] is a constant and every canary is compiled away. Which one sings is chosen at run time,
//! for one thread: nothing else that runs at the same time hears it.

/// Each a plausible mistake, told as what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// The end of a connection skips the last of its tied holds.
    OrphaningSkipsTheLastTiedHold,
    /// The end of a connection leaves its sole holds in the figures.
    OrphaningKeepsSoleCounts,
    /// Orphans are counted by locks where they should be counted by kind.
    OrphansOfTheWrongKind,
    /// A dead sole holder counts as a holder.
    DeadHolderCounts,
    /// A lock got from a dead tenure stays in that tenure's list and is swept from under its new holder.
    SweptWhileHeld,
    /// A get does not sweep, so that storage grows beyond its bound.
    GetsDoNotSweep,
    /// Sweeping frees a slot and forgets its entry in the index.
    SweptButStillIndexed,
    /// Giving a share back does not lower the count.
    ShareNotGivenBack,
    /// Asking again for a share counts as another holder.
    AskingAgainCounts,
    /// Anybody can release an exclusive lock.
    AnybodyReleases,
    /// An exclusive and a shared lock of one name are one lock.
    KindsAreOne,
    /// The limit of locks of a connection is one too high.
    LocksOfAConnectionOffByOne,
    /// The limit of connections is one too high.
    ConnectionsOffByOne,
    /// The limit of a name's length is one too low.
    NameLengthOffByOne,
    /// A refused name counts as a command too.
    RefusedNameIsCounted,
    /// The idle limit is up one millisecond late.
    IdleOneLate,
    /// The idle limit is looked at by ticks alone.
    IdleOnlyByTick,
    /// An unknown command does not count as activity.
    UnknownCommandIsIdleness,
    /// Draining lets free locks be got.
    DrainStillGrants,
    /// A snapshot forgets that the machine was draining.
    SnapshotForgetsDraining,
    /// A snapshot has the holders of a shared lock in the wrong order.
    SnapshotReversesHolders,
    /// Listings read tied holds before sole ones, and miss what becomes tied in between.
    ListingMissesWhatIsTiedMeanwhile,
    /// Registering again keeps the place in `who`.
    RegisteringAgainKeepsThePlace,
    /// A line that came in two pieces keeps its `\r`.
    SplitLineKeepsItsReturn,
    /// A line over the limit is reported once for each piece of it.
    LongLineReportedAgain,
    /// The owner of a mailbox registers its waker after it has looked, not in the same step.
    WakerRegisteredLate,
    /// The ticker is not woken when something falls due.
    TickerNotWoken,
    /// A connection that opens during a shutdown is not told of it.
    OpenedWhileDrainingIsNotTold,
    /// A dropped handle does not end its connection.
    DroppedHandleStaysOpen,
    /// Replies that could not be sent at once stay in the thread's buffer, and the next connection gets them.
    RepliesLeftForTheNextConnection,
    /// A last line without its end is run.
    CutOffLineIsRun,
    /// When a batch is full, the command that comes after it is lost.
    FullBatchLosesACommand,
    /// What was read behind a listing is never run.
    InputBehindAListingIsLost,
    /// When a socket takes a part of the replies, the rest is taken for sent.
    ShortWriteLosesTheRest,
    /// A peer that takes its replies slowly counts as one that takes none.
    SlowPeerIsStalled,
    /// A peer that takes none of its replies is never closed.
    StalledPeerIsKept,
    /// A connection that sent FIN holds its locks until its last replies are sent.
    LocksAreHeldWhileFlushing,
    /// A connection that sent FIN does not get the replies it is still owed.
    RepliesAreDroppedAtFin,
    /// A shutdown leaves requests unanswered that were read behind unsent replies.
    DrainDropsWhatWasRead,
    /// A connection that the machine ended for being idle is not told.
    MailIsLost,
    /// A hold that becomes tied is timed from then on, not from its get.
    TiedHoldIsTimedAnew,
    /// What is due just now is not done, and the ticker does not sleep until it is.
    TickerSpins,
    /// A shutdown does not tell the connection that came last.
    DrainSkipsAMailbox,
    /// What a listing took of the bytes allowed is never given back.
    ListingBudgetLeaks,
    /// A connection that the server closes first is dropped at once, unread input and all.
    NoLinger,
    /// A connection with a reply unsent is not read from, so that its end is not noticed.
    ReadsOnlyWhenAllIsSent,
    /// However many replies wait, more are made of what was read.
    RepliesWithoutBound,
    /// A wait that is granted stays in its line, and is granted again.
    WaiterGrantedTwice,
    /// The end of a connection leaves its wait in the line.
    DeadWaiterGranted,
    /// The wait that began last is granted first.
    LineIsAStack,
    /// A wait ends a millisecond after its deadline, and may be granted until then.
    GrantAfterDeadline,
    /// Waits that are due end in the order in which they began, not of their deadlines.
    TimersInOrderOfBeginning,
    /// A limited shared lock lets one holder too many in.
    WaitLimitOffByOne,
    /// A limited get without a wait passes those that wait.
    SglIgnoresTheLine,
    /// The limit of waits for a name is one too high.
    QueueLimitOffByOne,
    /// A wait does not count against the limit of locks.
    WaitIsNotReserved,
    /// Whether a wait could be granted is told without those ahead of it in its line.
    DeadlockMissed,
    /// Of a lock's holders all have to release for a wait to be granted, whatever its limit.
    DeadlockInvented,
    /// Only a lock's oldest holder is thought to be waiting itself.
    DeadlockSeesOnlyTheFirstHolder,
    /// A wait that ends at its deadline does not let those behind it in.
    TimeoutForgetsTheLine,
    /// The grants of one input come out by locks, not in the order in which the waits began.
    GrantsOutOfOrder,
    /// Nobody in line gets a lock that was stolen.
    StealGrantsNobody,
    /// `ra` releases nothing when others hold or wait for any of it too.
    RaKeepsTiedHolds,
    /// A command of a connection that waits is run.
    WaitingCommandRuns,
    /// A connection that waits is closed at the idle limit.
    WaitingIsIdle,
    /// Draining leaves waits without an answer.
    DrainForgetsWaits,
    /// Each `f` draws a new token.
    TokenPerAsk,
    /// A token stays with the lock, and the next holder gets it.
    TokenSurvivesTheHold,
    /// A snapshot has no waits in it.
    SnapshotForgetsTheLine,
    /// The reply at the end of a wait is not put into its mailbox.
    GrantIsLost,
    /// Mail is put into its box after the hub's lock was given up.
    MailAfterUnlock,
    /// A connection's further requests are run while it waits.
    RunsWhileWaiting,
    /// A connection that sent FIN goes on waiting.
    FinDoesNotEndTheWait,
    /// A connection that waits is not read from, so that its end is not noticed.
    WaitEndsTheReading,
    /// Tokens are given out before their range is reserved on disk.
    TokensRepeatAfterRestart,
}

impl Canary {
    /// Every canary.
    pub const ALL: [Self; 75] = [
        Self::OrphaningSkipsTheLastTiedHold,
        Self::OrphaningKeepsSoleCounts,
        Self::OrphansOfTheWrongKind,
        Self::DeadHolderCounts,
        Self::SweptWhileHeld,
        Self::GetsDoNotSweep,
        Self::SweptButStillIndexed,
        Self::ShareNotGivenBack,
        Self::AskingAgainCounts,
        Self::AnybodyReleases,
        Self::KindsAreOne,
        Self::LocksOfAConnectionOffByOne,
        Self::ConnectionsOffByOne,
        Self::NameLengthOffByOne,
        Self::RefusedNameIsCounted,
        Self::IdleOneLate,
        Self::IdleOnlyByTick,
        Self::UnknownCommandIsIdleness,
        Self::DrainStillGrants,
        Self::SnapshotForgetsDraining,
        Self::SnapshotReversesHolders,
        Self::ListingMissesWhatIsTiedMeanwhile,
        Self::RegisteringAgainKeepsThePlace,
        Self::SplitLineKeepsItsReturn,
        Self::LongLineReportedAgain,
        Self::WakerRegisteredLate,
        Self::TickerNotWoken,
        Self::OpenedWhileDrainingIsNotTold,
        Self::DroppedHandleStaysOpen,
        Self::RepliesLeftForTheNextConnection,
        Self::CutOffLineIsRun,
        Self::FullBatchLosesACommand,
        Self::InputBehindAListingIsLost,
        Self::ShortWriteLosesTheRest,
        Self::SlowPeerIsStalled,
        Self::StalledPeerIsKept,
        Self::LocksAreHeldWhileFlushing,
        Self::RepliesAreDroppedAtFin,
        Self::DrainDropsWhatWasRead,
        Self::MailIsLost,
        Self::TiedHoldIsTimedAnew,
        Self::TickerSpins,
        Self::DrainSkipsAMailbox,
        Self::ListingBudgetLeaks,
        Self::NoLinger,
        Self::ReadsOnlyWhenAllIsSent,
        Self::RepliesWithoutBound,
        Self::WaiterGrantedTwice,
        Self::DeadWaiterGranted,
        Self::LineIsAStack,
        Self::GrantAfterDeadline,
        Self::TimersInOrderOfBeginning,
        Self::WaitLimitOffByOne,
        Self::SglIgnoresTheLine,
        Self::QueueLimitOffByOne,
        Self::WaitIsNotReserved,
        Self::DeadlockMissed,
        Self::DeadlockInvented,
        Self::DeadlockSeesOnlyTheFirstHolder,
        Self::TimeoutForgetsTheLine,
        Self::GrantsOutOfOrder,
        Self::StealGrantsNobody,
        Self::RaKeepsTiedHolds,
        Self::WaitingCommandRuns,
        Self::WaitingIsIdle,
        Self::DrainForgetsWaits,
        Self::TokenPerAsk,
        Self::TokenSurvivesTheHold,
        Self::SnapshotForgetsTheLine,
        Self::GrantIsLost,
        Self::MailAfterUnlock,
        Self::RunsWhileWaiting,
        Self::FinDoesNotEndTheWait,
        Self::WaitEndsTheReading,
        Self::TokensRepeatAfterRestart,
    ];
}

/// Whether this build has canaries at all, which nothing but tests should.
pub const ARE_COMPILED_IN: bool = cfg!(feature = "canaries");

#[cfg(feature = "canaries")]
mod planted {
    use super::Canary;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Canary>> = const { Cell::new(None) };
    }

    /// Plants a canary in this thread, or takes it out.
    pub fn plant(canary: Option<Canary>) {
        PLANTED.set(canary);
    }

    /// What is planted in this thread.
    #[must_use]
    pub fn planted() -> Option<Canary> {
        PLANTED.get()
    }

    /// Whether this canary is planted in this thread.
    #[must_use]
    pub fn is_planted(canary: Canary) -> bool {
        PLANTED.get() == Some(canary)
    }
}

#[cfg(feature = "canaries")]
pub use planted::{is_planted, plant, planted};

/// Never, in a build without canaries.
#[cfg(not(feature = "canaries"))]
#[must_use]
pub const fn is_planted(_: Canary) -> bool {
    false
}
