//! Goal: the simulation finds bugs. Method: each canary (a small bug planted on purpose, see
//! `elockd_core::probe`) that it is meant to find is planted, and a swarm has to find it within so many
//! seeds. What it took is printed. A canary that no harness is meant to find fails the test too.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use elockd_core::probe::Canary;
use elockd_model_tests::canaries;
use elockd_model_tests::runner::say;
use elockd_sim::swarm::Swarm;
use std::process::Command;
use std::thread::available_parallelism;
use support::Quiet;

/// Seeds within which each has to be found.
const SEEDS: u64 = 1_000;

/// Bugs of the server around the hub: nothing else is meant to find them.
const OF_THE_SERVER: [Canary; 20] = [
    Canary::RepliesLeftForTheNextConnection,
    Canary::CutOffLineIsRun,
    Canary::FullBatchLosesACommand,
    Canary::InputBehindAListingIsLost,
    Canary::ShortWriteLosesTheRest,
    Canary::SlowPeerIsStalled,
    Canary::StalledPeerIsKept,
    Canary::LocksAreHeldWhileFlushing,
    Canary::RepliesAreDroppedAtFin,
    Canary::DrainDropsWhatWasRead,
    Canary::MailIsLost,
    Canary::DrainSkipsAMailbox,
    Canary::ListingBudgetLeaks,
    Canary::NoLinger,
    Canary::ReadsOnlyWhenAllIsSent,
    Canary::RepliesWithoutBound,
    Canary::RunsWhileWaiting,
    Canary::FinDoesNotEndTheWait,
    Canary::WaitEndsTheReading,
    Canary::TokensRepeatAfterRestart,
];

/// Bugs that the model tests find, and nothing that clients see in a thousand seeds tells: the ticker ticks in
/// the very millisecond in which something is due, so that an idle limit is never looked at late and waits with different
/// deadlines never end together; no claim is made of the order of `who`; and a server that is whole has nothing run of
/// who waits.
const NOT_SEEN_HERE: [Canary; 4] = [
    Canary::IdleOnlyByTick,
    Canary::TimersInOrderOfBeginning,
    Canary::RegisteringAgainKeepsThePlace,
    Canary::WaitingCommandRuns,
];

fn hunt(canary: Canary) {
    let threads = available_parallelism().map_or(1, usize::from);
    let swarm = Swarm { seeds: 0..SEEDS, threads, canary: Some(canary), patience: Swarm::PATIENCE };
    let (_, failure) = swarm.run(&Quiet).unwrap();
    let Some(failure) = failure else { panic!("{canary:?} was not found in {SEEDS} seeds") };
    assert_ne!(failure.violation.check, "faults bite", "{canary:?} was found by accident");
    say(&format!("canary {canary:?}: found by seed {}: {}\n", failure.seed, failure.violation.check));
}

#[test]
fn the_swarm_finds_the_canaries_of_the_server() {
    OF_THE_SERVER.into_iter().for_each(hunt);
}

#[test]
fn the_swarm_finds_canaries_of_core_and_hub() {
    let of_others =
        [&canaries::BY_THE_REFERENCE[..], &canaries::BY_LISTINGS, &canaries::BY_RAW_BYTES].concat();
    let seen = of_others.into_iter().filter(|canary| !NOT_SEEN_HERE.contains(canary));
    seen.chain([Canary::TickerNotWoken, Canary::GrantIsLost]).for_each(hunt);
}

/// Goal: a server that is busy for ever is a failure, too. Method: there is no way out of such a run, so it is
/// made in a process of its own, which has to say which seed it is, and end.
#[test]
fn the_swarm_tells_of_a_seed_that_does_not_end() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_elockd-sim"))
        .args(["swarm", "--seeds", "100", "--patience", "5", "--canary", "TickerSpins", "--keep"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("does not end") && told.contains("again: "), "{told}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "its trace is kept");
}

#[test]
fn every_canary_is_somebodys() {
    let hub = canaries::OF_THE_HUB.map(|(canary, _)| canary);
    let lists: [&[Canary]; 7] = [
        &canaries::BY_THE_REFERENCE,
        &canaries::BY_SNAPSHOTS,
        &canaries::BY_LISTINGS,
        &canaries::BY_RAW_BYTES,
        &hub,
        &OF_THE_SERVER,
        &[Canary::TickerSpins],
    ];
    for canary in Canary::ALL {
        assert!(lists.iter().any(|list| list.contains(&canary)), "nothing is meant to find {canary:?}");
    }
}
