//! Which harness is meant to find which canary. (The simulation has a list of its own, and a test that every
//! canary is in one of them.)

use elockd_core::probe::Canary;

/// Found where the machine and the reference part, or an invariant breaks.
pub const BY_THE_REFERENCE: [Canary; 42] = [
    Canary::OrphaningSkipsTheLastTiedHold,
    Canary::OrphaningKeepsSoleCounts,
    Canary::OrphansOfTheWrongKind,
    Canary::DeadHolderCounts,
    Canary::SweptWhileHeld,
    Canary::GetsDoNotSweep,
    Canary::SweptButStillIndexed,
    Canary::ShareNotGivenBack,
    Canary::AskingAgainCounts,
    Canary::AnybodyReleases,
    Canary::KindsAreOne,
    Canary::LocksOfAConnectionOffByOne,
    Canary::ConnectionsOffByOne,
    Canary::NameLengthOffByOne,
    Canary::RefusedNameIsCounted,
    Canary::IdleOneLate,
    Canary::IdleOnlyByTick,
    Canary::UnknownCommandIsIdleness,
    Canary::DrainStillGrants,
    Canary::RegisteringAgainKeepsThePlace,
    Canary::TiedHoldIsTimedAnew,
    Canary::WaiterGrantedTwice,
    Canary::DeadWaiterGranted,
    Canary::LineIsAStack,
    Canary::GrantAfterDeadline,
    Canary::TimersInOrderOfBeginning,
    Canary::WaitLimitOffByOne,
    Canary::SglIgnoresTheLine,
    Canary::QueueLimitOffByOne,
    Canary::WaitIsNotReserved,
    Canary::DeadlockMissed,
    Canary::DeadlockInvented,
    Canary::DeadlockSeesOnlyTheFirstHolder,
    Canary::TimeoutForgetsTheLine,
    Canary::GrantsOutOfOrder,
    Canary::StealGrantsNobody,
    Canary::RaKeepsTiedHolds,
    Canary::WaitingCommandRuns,
    Canary::WaitingIsIdle,
    Canary::DrainForgetsWaits,
    Canary::TokenPerAsk,
    Canary::TokenSurvivesTheHold,
];

/// Found where a restored machine says something else.
pub const BY_SNAPSHOTS: [Canary; 3] =
    [Canary::SnapshotForgetsDraining, Canary::SnapshotReversesHolders, Canary::SnapshotForgetsTheLine];

/// Found in listings that other inputs come between.
pub const BY_LISTINGS: [Canary; 1] = [Canary::ListingMissesWhatIsTiedMeanwhile];

/// Found in raw bytes.
pub const BY_RAW_BYTES: [Canary; 2] = [Canary::SplitLineKeepsItsReturn, Canary::LongLineReportedAgain];

/// Found by searching a few small worlds to their ends.
pub const BY_THE_SEARCH: [Canary; 27] = [
    Canary::OrphaningSkipsTheLastTiedHold,
    Canary::OrphaningKeepsSoleCounts,
    Canary::DeadHolderCounts,
    Canary::SweptWhileHeld,
    Canary::SweptButStillIndexed,
    Canary::ShareNotGivenBack,
    Canary::AskingAgainCounts,
    Canary::AnybodyReleases,
    Canary::KindsAreOne,
    Canary::WaiterGrantedTwice,
    Canary::DeadWaiterGranted,
    Canary::LineIsAStack,
    Canary::GrantAfterDeadline,
    Canary::TimersInOrderOfBeginning,
    Canary::WaitLimitOffByOne,
    Canary::SglIgnoresTheLine,
    Canary::DeadlockMissed,
    Canary::DeadlockInvented,
    Canary::DeadlockSeesOnlyTheFirstHolder,
    Canary::TimeoutForgetsTheLine,
    Canary::GrantsOutOfOrder,
    Canary::StealGrantsNobody,
    Canary::RaKeepsTiedHolds,
    Canary::WaitingCommandRuns,
    Canary::DrainForgetsWaits,
    Canary::TokenPerAsk,
    Canary::TokenSurvivesTheHold,
];

/// The environment variable by which a process of the models is told which canary to plant.
pub const VARIABLE: &str = "ELOCKD_CANARY";

/// Each canary of the hub, and the model of `tests/hub_under_loom.rs` that has to fail with it.
pub const OF_THE_HUB: [(Canary, &str); 6] = [
    (Canary::WakerRegisteredLate, "a_mailbox_is_filled_while_its_owner_looks"),
    (Canary::OpenedWhileDrainingIsNotTold, "a_connection_opens_while_the_hub_drains"),
    (Canary::TickerNotWoken, "something_falls_due_while_the_ticker_goes_to_sleep"),
    (Canary::DroppedHandleStaysOpen, "a_connection_opens_while_the_hub_drains"),
    (Canary::GrantIsLost, "the_holder_closes_while_the_head_of_the_line_does"),
    (Canary::MailAfterUnlock, "the_holder_closes_while_the_head_of_the_line_does"),
];
