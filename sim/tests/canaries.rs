//! Goal: the simulation finds bugs. Method: each canary (a small bug planted on purpose, see
//! `core/src/probe/canary.rs`) that the swarm must find is planted, and a swarm has to find it within so many seeds.
//! What it took is printed.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use elockd_core::probe::{Canary, Harness};
use elockd_model_tests::runner::say;
use elockd_sim::swarm::Swarm;
use std::process::Command;
use std::thread::available_parallelism;
use support::Quiet;

/// Seeds within which each has to be found.
const SEEDS: u64 = 1_000;

fn hunt(canary: Canary) {
    let threads = available_parallelism().map_or(1, usize::from);
    let swarm = Swarm { seeds: 0..SEEDS, threads, canary: Some(canary), patience: Swarm::PATIENCE };
    let (_, failure) = swarm.run(&Quiet).unwrap();
    let Some(failure) = failure else { panic!("{canary:?} was not found in {SEEDS} seeds") };
    assert_ne!(failure.violation.check, "faults bite", "{canary:?} was found by accident");
    say(&format!("canary {canary:?}: found by seed {}: {}\n", failure.seed, failure.violation.check));
}

#[test]
fn the_swarm_finds_the_canaries_that_nothing_else_must_find() {
    Canary::of(Harness::Swarm).filter(|canary| canary.harnesses() == [Harness::Swarm]).for_each(hunt);
}

#[test]
fn the_swarm_finds_the_canaries_of_others() {
    Canary::of(Harness::Swarm).filter(|canary| canary.harnesses() != [Harness::Swarm]).for_each(hunt);
}

/// Goal: a server that is busy for ever is a failure, too. Method: there is no way out of such a run, so it is
/// made in a process of its own, which has to say which seed it is, and end.
#[test]
fn the_swarm_tells_of_a_seed_that_does_not_end() {
    assert_eq!(Canary::of(Harness::Watchdog).collect::<Vec<_>>(), [Canary::TickerSpins]);
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
