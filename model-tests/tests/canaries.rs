//! Goal: the tests find bugs. Method: each canary (a small bug planted on purpose, see
//! `elockd_core::canary`) is planted, and the harness that is meant to find it has to, within a bound that
//! is stated here. What it took is printed. A canary that no list below names fails the test too.
//!
//! The canaries of the hub are found in `hub_under_loom.rs`, by its models.

use elockd_core::canary::{Canary, plant};
use elockd_core::{Config, Kind};
use elockd_model_tests::explore::{Space, search};
use elockd_model_tests::runner::{find, say};
use elockd_model_tests::{hub_canaries, properties};
use quickcheck::Testable;
use std::panic::catch_unwind;

/// Found where the machine and the reference part, or an invariant breaks.
const BY_THE_REFERENCE: [Canary; 21] = [
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
];

const BY_SNAPSHOTS: [Canary; 2] = [Canary::SnapshotForgetsDraining, Canary::SnapshotReversesHolders];

const BY_LISTINGS: [Canary; 1] = [Canary::ListingMissesWhatIsTiedMeanwhile];

const BY_RAW_BYTES: [Canary; 2] = [Canary::SplitLineKeepsItsReturn, Canary::LongLineReportedAgain];

/// Found by searching two small worlds to their ends.
const BY_THE_SEARCH: [Canary; 9] = [
    Canary::OrphaningSkipsTheLastTiedHold,
    Canary::OrphaningKeepsSoleCounts,
    Canary::DeadHolderCounts,
    Canary::SweptWhileHeld,
    Canary::SweptButStillIndexed,
    Canary::ShareNotGivenBack,
    Canary::AskingAgainCounts,
    Canary::AnybodyReleases,
    Canary::KindsAreOne,
];

/// Inputs within which quickcheck has to find a canary: a sixth of what each property runs in CI.
const INPUTS: u64 = 100_000;

/// Plants a canary and has a property find it.
fn hunt<P: Testable + Copy>(canary: Canary, property: P) {
    plant(Some(canary));
    let found = find(INPUTS, property);
    plant(None);
    let Some(inputs) = found else { panic!("{canary:?} was not found in {INPUTS} inputs") };
    say(&format!("canary {canary:?}: found after {inputs} inputs\n"));
}

#[test]
fn the_reference_finds_its_canaries() {
    for canary in BY_THE_REFERENCE {
        hunt(canary, properties::the_machine_agrees_with_the_reference as fn(_) -> _);
    }
}

#[test]
fn snapshots_find_their_canaries() {
    for canary in BY_SNAPSHOTS {
        hunt(canary, properties::a_restored_machine_goes_on_like_the_original as fn(_, _) -> _);
    }
}

#[test]
fn listings_find_their_canaries() {
    for canary in BY_LISTINGS {
        hunt(canary, properties::a_listing_amid_other_inputs_is_right as fn(_, _) -> _);
    }
}

#[test]
fn raw_bytes_find_their_canaries() {
    for canary in BY_RAW_BYTES {
        hunt(canary, properties::raw_bytes_do_no_harm as fn(_) -> _);
    }
}

#[test]
fn the_exhaustive_search_finds_its_canaries() {
    let space = |connections: usize, locks: &[(Kind, &'static str)]| {
        let config = Config::smallest_storage();
        Space { connections, locks: locks.to_vec(), config, time_passes: false, drains: false, places: false }
    };
    let (x, s) = (Kind::Exclusive, Kind::Shared);
    // A get sweeps two dead holds: to meet one that is not swept yet takes three names.
    let spaces = [space(3, &[(x, "a"), (s, "a")]), space(2, &[(x, "a"), (x, "b"), (x, "c")])];
    let find = |space: &Space| match catch_unwind(|| search(space)) {
        Ok(Ok(_)) => None,
        Ok(Err(failure)) => Some(format!("{}, after {} inputs", failure.property, failure.path.len())),
        Err(_) => Some("an assertion".to_owned()),
    };
    for canary in BY_THE_SEARCH {
        plant(Some(canary));
        let found = spaces.iter().find_map(find);
        plant(None);
        let Some(how) = found else { panic!("{canary:?} was not found") };
        say(&format!("canary {canary:?}: found by the search: {how}\n"));
    }
    assert_eq!(spaces.iter().find_map(find), None, "and nothing without a canary");
}

#[test]
fn every_canary_is_somebodys() {
    let hub = hub_canaries::ALL.map(|(canary, _)| canary);
    for canary in Canary::ALL {
        let lists: [&[Canary]; 5] = [&BY_THE_REFERENCE, &BY_SNAPSHOTS, &BY_LISTINGS, &BY_RAW_BYTES, &hub];
        assert!(lists.iter().any(|list| list.contains(&canary)), "nothing is meant to find {canary:?}");
    }
}
