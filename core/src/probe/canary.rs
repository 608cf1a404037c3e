//! Canaries: small bugs planted on purpose, one at a time, so that the tests can be shown to find bugs. One row of
//! the table below is all there is to know of one: its name, what goes wrong, and which harnesses must find it.
//!
//! They exist only with the feature `canaries`, which nothing but the tests asks for. Without it [`is_planted`] is a
//! constant and every canary is compiled away. Which one sings is chosen at run time, for one thread: nothing else
//! that runs at the same time hears it.

use super::Harness;

/// Makes [`Canary`] from its table. A row says what goes wrong, the name, and the harnesses that must find it. If the
/// swarm is not one of them, the row says why.
macro_rules! canaries {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $($harness:ident $(($model:literal))?),+ $(; not Swarm: $why:literal)?,
    )+) => {
        /// Each a plausible mistake, told as what goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Canary {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Canary {
            /// Every canary.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name),+];

            /// How many there are.
            pub const COUNT: usize = [$(Self::$name),+].len();

            /// What goes wrong.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)+
                }
            }

            /// The harnesses that must find it.
            #[must_use]
            pub const fn harnesses(self) -> &'static [Harness] {
                match self {
                    $(Self::$name => &[$(Harness::$harness $(($model))?),+],)+
                }
            }

            /// Why the swarm need not find it, if it need not.
            #[must_use]
            pub fn not_by_the_swarm(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => [$($why)?].first().copied(),)+
                }
            }
        }
    };
}

canaries! {
    /// The end of a connection skips the last of its tied holds.
    OrphaningSkipsTheLastTiedHold: Reference, Examples, Search, Swarm,
    /// The end of a connection leaves its sole holds in the figures.
    OrphaningKeepsSoleCounts: Reference, Examples, Search, Swarm,
    /// Orphans are counted by locks where they should be counted by kind.
    OrphansOfTheWrongKind: Reference, Examples, Swarm,
    /// A dead sole holder counts as a holder.
    DeadHolderCounts: Reference, Examples, Search, Swarm,
    /// A lock got from a dead tenure stays in that tenure's list and is swept from under its new holder.
    SweptWhileHeld: Reference, Search, Swarm,
    /// A get does not sweep, so that storage grows beyond its bound.
    GetsDoNotSweep: Reference, Swarm,
    /// Sweeping frees a slot and forgets its entry in the index.
    SweptButStillIndexed: Reference, Examples, Search, Swarm,
    /// Giving a share back does not lower the count.
    ShareNotGivenBack: Reference, Examples, Search, Swarm,
    /// Asking again for a share counts as another holder.
    AskingAgainCounts: Reference, Examples, Search, Swarm,
    /// Anybody can release an exclusive lock.
    AnybodyReleases: Reference, Examples, Search, Swarm,
    /// An exclusive and a shared lock of one name are one lock.
    KindsAreOne: Reference, Examples, Search, Swarm,
    /// The limit of locks of a connection is one too high.
    LocksOfAConnectionOffByOne: Reference, Examples, Swarm,
    /// The limit of connections is one too high.
    ConnectionsOffByOne: Reference, Examples, Swarm,
    /// The limit of a name's length is one too low.
    NameLengthOffByOne: Reference, Examples, Swarm,
    /// A refused name counts as a command too.
    RefusedNameIsCounted: Reference, Examples, Swarm,
    /// The idle limit is up one millisecond late.
    IdleOneLate: Reference, Examples, Swarm,
    /// The idle limit is looked at by ticks alone.
    IdleOnlyByTick: Reference, Examples;
        not Swarm: "the ticker ticks in the very millisecond in which something is due",
    /// An unknown command does not count as activity.
    UnknownCommandIsIdleness: Reference, Examples, Swarm,
    /// Draining lets free locks be got.
    DrainStillGrants: Reference, Examples, Swarm,
    /// A snapshot forgets that the machine was draining.
    SnapshotForgetsDraining: Snapshots; not Swarm: "the daemon takes no snapshots",
    /// A snapshot has the holders of a shared lock in the wrong order.
    SnapshotReversesHolders: Snapshots; not Swarm: "the daemon takes no snapshots",
    /// Listings read tied holds before sole ones, and miss what becomes tied in between.
    ListingMissesWhatIsTiedMeanwhile: Listings, Examples, Swarm,
    /// Registering again keeps the place in `who`.
    RegisteringAgainKeepsThePlace: Reference, Examples; not Swarm: "no invariant is about the order of `who`",
    /// A line that came in two pieces keeps its `\r`.
    SplitLineKeepsItsReturn: RawBytes, Swarm,
    /// A line over the limit is reported once for each piece of it.
    LongLineReportedAgain: RawBytes, Swarm,
    /// The owner of a mailbox registers its waker after it has looked, not in the same step.
    WakerRegisteredLate: Loom("a_mailbox_is_filled_while_its_owner_looks");
        not Swarm: "it takes two threads, and the simulation has one",
    /// The ticker is not woken when something falls due.
    TickerNotWoken: Loom("something_falls_due_while_the_ticker_goes_to_sleep"), Swarm,
    /// A connection that opens during a shutdown is not told of it.
    OpenedWhileDrainingIsNotTold: Loom("a_connection_opens_while_the_hub_drains");
        not Swarm: "it takes two threads, and the simulation has one",
    /// A dropped handle does not end its connection.
    DroppedHandleStaysOpen: Loom("a_connection_opens_while_the_hub_drains");
        not Swarm: "a session ends its connection itself, unless its task is aborted",
    /// Replies that could not be sent at once stay in the thread's buffer, and the next connection gets them.
    RepliesLeftForTheNextConnection: Swarm,
    /// A last line without its end is run.
    CutOffLineIsRun: Swarm,
    /// When a batch is full, the command that comes after it is lost.
    FullBatchLosesACommand: Swarm,
    /// What was read behind a listing is never run.
    InputBehindAListingIsLost: Swarm,
    /// When a socket takes a part of the replies, the rest is taken for sent.
    ShortWriteLosesTheRest: Swarm,
    /// A peer that takes its replies slowly counts as one that takes none.
    SlowPeerIsStalled: Swarm,
    /// A peer that takes none of its replies is never closed.
    StalledPeerIsKept: Swarm,
    /// A connection that sent FIN holds its locks until its last replies are sent.
    LocksAreHeldWhileFlushing: Swarm,
    /// A connection that sent FIN does not get the replies it is still owed.
    RepliesAreDroppedAtFin: Swarm,
    /// A shutdown leaves requests unanswered that were read behind unsent replies.
    DrainDropsWhatWasRead: Swarm,
    /// A connection that the machine ended for being idle is not told.
    MailIsLost: Swarm,
    /// A hold that becomes tied is timed from then on, not from its get.
    TiedHoldIsTimedAnew: Reference, Examples, Swarm,
    /// What is due just now is not done, and the ticker does not sleep until it is.
    TickerSpins: Watchdog; not Swarm: "such a run never ends",
    /// A shutdown does not tell the connection that came last.
    DrainSkipsAMailbox: Swarm,
    /// What a listing took of the bytes allowed is never given back.
    ListingBudgetLeaks: Swarm,
    /// A connection that the server closes first is dropped at once, unread input and all.
    NoLinger: Swarm,
    /// A connection with a reply unsent is not read from, so that its end is not noticed.
    ReadsOnlyWhenAllIsSent: Swarm,
    /// However many replies wait, more are made of what was read.
    RepliesWithoutBound: Swarm,
    /// A wait that is granted stays in its line, and is granted again.
    WaiterGrantedTwice: Reference, Examples, Search, Swarm,
    /// The end of a connection leaves its wait in the line.
    DeadWaiterGranted: Reference, Examples, Search, Swarm,
    /// The wait that began last is granted first.
    LineIsAStack: Reference, Examples, Search, Swarm,
    /// A wait ends a millisecond after its deadline, and may be granted until then.
    GrantAfterDeadline: Reference, Examples, Search, Swarm,
    /// Waits that are due end in the order in which they began, not of their deadlines.
    TimersInOrderOfBeginning: Reference, Examples, Search;
        not Swarm: "the ticker ticks at every deadline, so different ones never end together",
    /// A limited shared lock lets one holder too many in.
    WaitLimitOffByOne: Reference, Examples, Search, Swarm,
    /// A limited get without a wait passes those that wait.
    SglIgnoresTheLine: Reference, Examples, Search, Swarm,
    /// The limit of waits for a name is one too high.
    QueueLimitOffByOne: Reference, Examples, Swarm,
    /// A wait does not count against the limit of locks.
    WaitIsNotReserved: Reference, Examples, Swarm,
    /// Whether a wait could be granted is told without those ahead of it in its line.
    DeadlockMissed: Reference, Examples, Search, Swarm,
    /// Of a lock's holders all have to release for a wait to be granted, whatever its limit.
    DeadlockInvented: Reference, Examples, Search, Swarm,
    /// Only a lock's oldest holder is thought to be waiting itself.
    DeadlockSeesOnlyTheFirstHolder: Reference, Examples, Search, Swarm,
    /// A wait that ends at its deadline does not let those behind it in.
    TimeoutForgetsTheLine: Reference, Examples, Search, Swarm,
    /// The grants of one input come out by locks, not in the order in which the waits began.
    GrantsOutOfOrder: Reference, Examples, Search, Swarm,
    /// Nobody in line gets a lock that was stolen.
    StealGrantsNobody: Reference, Examples, Search, Swarm,
    /// `ra` releases nothing when others hold or wait for any of it too.
    RaKeepsTiedHolds: Reference, Examples, Search, Swarm,
    /// A command of a connection that waits is run.
    WaitingCommandRuns: Reference, Search;
        not Swarm: "a server that is whole runs nothing of a connection that waits",
    /// A connection that waits is closed at the idle limit.
    WaitingIsIdle: Reference, Examples, Swarm,
    /// Draining leaves waits without an answer.
    DrainForgetsWaits: Reference, Examples, Search, Swarm,
    /// Each `f` draws a new token.
    TokenPerAsk: Reference, Examples, Search, Swarm,
    /// A token stays with the lock, and the next holder gets it.
    TokenSurvivesTheHold: Reference, Examples, Search, Swarm,
    /// A snapshot has no waits in it.
    SnapshotForgetsTheLine: Snapshots; not Swarm: "the daemon takes no snapshots",
    /// The reply at the end of a wait is not put into its mailbox.
    GrantIsLost: Loom("the_holder_closes_while_the_head_of_the_line_does"), Swarm,
    /// Mail is put into its box after the hub's lock was given up.
    MailAfterUnlock: Loom("the_holder_closes_while_the_head_of_the_line_does");
        not Swarm: "it takes two threads, and the simulation has one",
    /// A connection's further requests are run while it waits.
    RunsWhileWaiting: Swarm,
    /// A connection that sent FIN goes on waiting.
    FinDoesNotEndTheWait: Swarm,
    /// A connection that waits is not read from, so that its end is not noticed.
    WaitEndsTheReading: Swarm,
    /// Tokens are given out before their range is reserved on disk.
    TokensRepeatAfterRestart: Swarm,
}

impl Canary {
    /// Those that a harness must find.
    pub fn of(harness: Harness) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |canary| canary.harnesses().contains(&harness))
    }

    /// The canary of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|canary| format!("{canary:?}") == name)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_swarm_finds_a_canary_or_its_row_says_why_not() {
        for canary in Canary::ALL {
            let by_the_swarm = canary.harnesses().contains(&Harness::Swarm);
            assert_ne!(by_the_swarm, canary.not_by_the_swarm().is_some(), "{canary:?}");
        }
    }

    #[test]
    fn a_canary_is_found_by_its_name() {
        for canary in Canary::ALL {
            assert_eq!(Canary::named(&format!("{canary:?}")), Some(canary));
            assert!(canary.doc().ends_with('.'), "{canary:?}: {}", canary.doc());
        }
        assert_eq!(Canary::named("Sparrow"), None);
    }
}
