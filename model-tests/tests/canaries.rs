//! Goal: the tests find bugs. Method: each canary (a small bug planted on purpose, see
//! `elockd_core::probe`) is planted, and the harness that is meant to find it has to, within a bound that
//! is stated here. What it took is printed. Which harness is meant to find which is in
//! `elockd_model_tests::canaries`; those of the hub are found in `hub_under_loom.rs`, by its models.

use elockd_core::Kind;
use elockd_core::probe::{Canary, plant};
use elockd_model_tests::canaries::{
    BY_LISTINGS, BY_RAW_BYTES, BY_SNAPSHOTS, BY_THE_REFERENCE, BY_THE_SEARCH,
};
use elockd_model_tests::explore::{Space, Time, search};
use elockd_model_tests::properties;
use elockd_model_tests::runner::{find, say};
use quickcheck::Testable;
use std::panic::catch_unwind;

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
    let (x, s) = (Kind::Exclusive, Kind::Shared);
    let waits = |by: u64, connections, locks: &[(Kind, &'static str)]| {
        let (waits_ms, limits, time) =
            ((1..=by as u32).collect(), vec![1, 2], Time::Ticks((1..=by).collect()));
        Space { waits_ms, limits, time, ..Space::new(connections, locks) }
    };
    let spaces = [
        Space { tokens: 2, operators: true, drains: true, ..waits(1, 2, &[(x, "a")]) },
        // A get sweeps two dead holds: to meet one that is not swept yet takes three names.
        Space::new(3, &[(x, "a"), (s, "a")]),
        Space::new(2, &[(x, "a"), (x, "b"), (x, "c")]),
        // A line of two, which end at different times; and holders of two locks that wait for each other.
        waits(2, 3, &[(s, "a")]),
        waits(1, 3, &[(s, "a"), (s, "b")]),
    ];
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
