//! Canaries: small bugs planted on purpose, one at a time, so that the tests can be shown to find bugs. A canary's row
//! in the table below has its name, what goes wrong, and the harnesses that must find it.
//!
//! They exist only with the feature `canaries`, which only the tests switch on. Without it [`is_planted`] is a
//! constant, and every canary is compiled away. A canary is planted at run time, for one thread. Other threads do not
//! see it.

use super::Harness;

/// Makes [`Canary`] from its table. A row says what goes wrong, the name, and the harnesses that must find it. If the
/// swarm is not one of them, the row says why.
macro_rules! canaries {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $($harness:ident $(($model:literal))?),+ $(; not Swarm: $why:literal)?,
    )+) => {
        /// A plausible mistake. The documentation of each says what goes wrong.
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

            /// The reason why the swarm need not find it. `None` if the swarm must.
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
    /// The end of a connection leaves its sole holds in the figures.
    OrphaningKeepsSoleCounts: Reference, Examples, Search, Swarm,
    /// Orphans of both kinds are counted as exclusive ones.
    OrphansOfTheWrongKind: Reference, Examples, Swarm,
    /// A hold that outlives its connection is counted as an orphan at once.
    LingeringIsOrphan: Reference, Examples, Swarm,
    /// A session ends one millisecond after it is due.
    SessionOneLate: Reference, Examples, Swarm,
    /// A key opens what a connection of another account left.
    KeyOpensAnotherAccount: Reference, Examples, Swarm,
    /// A login succeeds, and the connection stays with the account that it had.
    LoginKeepsTheOldAccount: Reference, Examples, Search, Swarm,
    /// What other accounts hold counts for an account's quota of locks.
    QuotaIsShared: Reference, Examples, Search, Swarm,
    /// `quit` leaves a session.
    QuitLingers: Reference, Examples, Swarm,
    /// A session counts as a connection.
    SessionIsAConnection: Reference, Examples, Swarm,
    /// `resume` leaves the wait of the connection that it ends.
    ResumeKeepsTheWait: Reference, Examples, Swarm,
    /// A dead sole holder counts as a holder.
    DeadHolderCounts: Reference, Examples, Search, Swarm,
    /// A lock got from a dead tenure stays in that tenure's list, and is swept although it has a new holder.
    SweptWhileHeld: Reference, Search, Swarm,
    /// A get does not sweep, so that storage grows beyond its bound.
    GetsDoNotSweep: Reference, Swarm,
    /// The release of a shared lock does not lower its count.
    ShareNotGivenBack: Reference, Examples, Search, Swarm,
    /// A holder that gets its shared lock again counts as another holder.
    AskingAgainCounts: Reference, Examples, Search, Swarm,
    /// The limit of locks of a connection is one too high.
    LocksOfAConnectionOffByOne: Reference, Examples, Swarm,
    /// The limit of connections is one too high.
    ConnectionsOffByOne: Reference, Examples, Swarm,
    /// The limit of a name's length is one too low.
    NameLengthOffByOne: Reference, Examples, Swarm,
    /// A name that is too long counts as a command of its verb, not as an invalid one.
    RefusedNameIsCounted: Reference, Examples, Swarm,
    /// A connection is closed one millisecond after its idle limit.
    IdleOneLate: Reference, Examples, Swarm,
    /// Only ticks check the idle limit.
    IdleOnlyByTick: Reference, Examples;
        not Swarm: "the ticker ticks in the very millisecond in which something is due",
    /// An unknown command does not count as activity.
    UnknownCommandIsIdleness: Reference, Examples, Swarm,
    /// Draining lets free locks be got.
    DrainStillGrants: Reference, Examples, Swarm,
    /// A snapshot forgets that the machine was draining.
    SnapshotForgetsDraining: Snapshots; not Swarm: "the daemon takes no snapshots",
    /// A line over the limit is reported once for each piece of it.
    LongLineReportedAgain: RawBytes, Swarm,
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
    /// A peer that takes its replies slowly counts as one that takes none.
    SlowPeerIsStalled: Swarm,
    /// A connection that sent FIN does not get the replies it is still owed.
    RepliesAreDroppedAtFin: Swarm,
    /// A shutdown leaves requests unanswered that were read behind unsent replies.
    DrainDropsWhatWasRead: Swarm,
    /// A connection that the machine ended for being idle is not told.
    MailIsLost: Swarm,
    /// What is due at this very moment is not done, and the ticker does not sleep.
    TickerSpins: Watchdog; not Swarm: "such a run never ends",
    /// The bytes that a listing has reserved are never given back.
    ListingBudgetLeaks: Swarm,
    /// A connection that the server closes first is dropped at once, even with unread input.
    NoLinger: Swarm,
    /// Input that was read is run even if too many replies wait.
    RepliesWithoutBound: Swarm,
    /// The wait that began last is granted first.
    LineIsAStack: Reference, Examples, Search, Swarm,
    /// A limited shared lock lets one holder too many in.
    WaitLimitOffByOne: Reference, Examples, Search, Swarm,
    /// A limited get without a wait passes those that wait.
    SglIgnoresTheLine: Reference, Examples, Search, Swarm,
    /// The limit of waits for a name is one too high.
    QueueLimitOffByOne: Reference, Examples, Swarm,
    /// A wait does not count against the limit of locks.
    WaitIsNotReserved: Reference, Examples, Swarm,
    /// The grants of one input come out lock by lock, not in the order in which the waits began.
    GrantsOutOfOrder: Reference, Examples, Search, Swarm,
    /// A command of a connection that waits is run.
    WaitingCommandRuns: Reference, Search;
        not Swarm: "a server that is whole runs nothing of a connection that waits",
    /// A connection that waits is closed at the idle limit.
    WaitingIsIdle: Reference, Examples, Swarm,
    /// Draining leaves waits without an answer.
    DrainForgetsWaits: Reference, Examples, Search, Swarm,
    /// Each `f` draws a new token.
    TokenPerAsk: Reference, Examples, Search, Swarm,
    /// A token stays when a lock is held in another way from now on.
    TokenSurvivesTheHold: Reference, Examples, Search, Swarm,
    /// A reader passes a writer that waits.
    ReaderPassesTheLine: Reference, Examples, Search, Swarm,
    /// A wait for an end goes on while others hold the lock who came later.
    EndToldLate: Reference, Examples, Swarm,
    /// Nobody is told that a hold has ended, who waits for that.
    EndIsNeverTold: Reference, Examples, Swarm,
    /// Readers at the head of the line stay there when the writer goes on as a reader.
    ReadersStayOutside: Reference, Examples, Search, Swarm,
    /// A snapshot has no waits in it.
    SnapshotForgetsTheLine: Snapshots; not Swarm: "the daemon takes no snapshots",
    /// The reply at the end of a wait is not put into its mailbox.
    GrantIsLost: Loom("the_holder_closes_while_the_head_of_the_line_does"), Swarm,
    /// A connection that sent FIN goes on waiting.
    FinDoesNotEndTheWait: Swarm,
    /// A connection that waits is not read from, so its end is not noticed.
    WaitEndsTheReading: Swarm,
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
