//! Goal: the tests find bugs. Method: each canary (a small bug planted on purpose, see `core/src/probe/canary.rs`) is
//! planted. Each harness that must find it must do so within a bound that is stated here. What it took is printed.
//! `hub_under_loom.rs` finds the hub's canaries, and `sim/tests/canaries.rs` the server's.

use elockd_core::probe::{Canary, Harness, plant};
use elockd_core::{Account, Accounts, Kind, Profile, Quotas};
use elockd_model_tests::example::{self, Example, On};
use elockd_model_tests::explore::{Space, Time, search};
use elockd_model_tests::properties;
use elockd_model_tests::runner::{find, say};
use quickcheck::Testable;
use std::panic::catch_unwind;
use std::sync::Arc;

/// quickcheck must find a canary within this many inputs: twice what each property runs in CI. Most are found within
/// 10,000. The rarest of them take 50,000 on average, so a tighter bound would fail now and then.
const INPUTS: u64 = 400_000;

/// Plants each canary of a harness and has its property find it.
fn hunt<P: Testable + Copy>(harness: Harness, property: P) {
    for canary in Canary::of(harness) {
        plant(Some(canary));
        let found = find(INPUTS, property);
        plant(None);
        let Some(inputs) = found else { panic!("{canary:?} was not found in {INPUTS} inputs") };
        say(&format!("canary {canary:?}: found after {inputs} inputs\n"));
    }
}

#[test]
fn the_reference_finds_its_canaries() {
    hunt(Harness::Reference, properties::the_machine_agrees_with_the_reference as fn(_) -> _);
}

#[test]
fn snapshots_find_their_canaries() {
    hunt(Harness::Snapshots, properties::a_restored_machine_goes_on_like_the_original as fn(_, _) -> _);
}

#[test]
fn listings_find_their_canaries() {
    hunt(Harness::Listings, properties::a_listing_amid_other_inputs_is_right as fn(_, _) -> _);
}

#[test]
fn raw_bytes_find_their_canaries() {
    hunt(Harness::RawBytes, properties::raw_bytes_do_no_harm as fn(_) -> _);
}

#[test]
fn the_examples_find_their_canaries() {
    let examples = example::all();
    let fails =
        |example: &&Example| catch_unwind(|| example.play(On::Machine)).map_or(true, |it| it.is_err());
    for canary in Canary::of(Harness::Examples) {
        plant(Some(canary));
        let found = examples.iter().find(fails);
        plant(None);
        let Some(Example { file, title, .. }) = found else { panic!("{canary:?} was not found") };
        say(&format!("canary {canary:?}: found by {file}: {title}\n"));
    }
    assert!(!examples.iter().any(|example| fails(&example)), "and nothing without a canary");
}

fn of_two_accounts(space: Space) -> Space {
    let quotas = Quotas { locks: Some(1), ..Quotas::default() };
    let profile = Profile { quotas, ..Profile::default() };
    let mut space = Space { accounts: vec![0, 1], ..space };
    let accounts = Accounts::new([0, 1].map(|number| (Account(number), profile.clone())));
    space.config.accounts = Arc::new(accounts);
    space
}

#[test]
fn the_exhaustive_search_finds_its_canaries() {
    let [x, s, r, w] = Kind::ALL;
    let waits = |by: u64, connections, locks: &[(Kind, &'static str)]| {
        let (waits_ms, limits, time) =
            ((1..=by as u32).collect(), vec![1, 2], Time::Ticks((1..=by).collect()));
        Space { waits_ms, limits, time, ..Space::new(connections, locks) }
    };
    let spaces = [
        Space { tokens: 2, operators: true, drains: true, ..waits(1, 2, &[(x, "a")]) },
        // A get first sweeps two dead holds. So it needs three names to meet one that is not swept.
        Space::new(3, &[(x, "a"), (s, "a")]),
        Space::new(2, &[(x, "a"), (x, "b"), (x, "c")]),
        // Two waits in line that end at different times. Then holders of two locks that wait for each other.
        waits(2, 3, &[(s, "a")]),
        waits(1, 3, &[(s, "a"), (s, "b")]),
        // A hold has a token and is changed.
        Space { tokens: 2, ..waits(1, 2, &[(r, "a"), (w, "a")]) },
        waits(1, 3, &[(r, "a"), (w, "a")]),
        // Two accounts, each of which may hold one lock.
        of_two_accounts(Space::new(2, &[(x, "a"), (x, "b")])),
    ];
    let find = |space: &Space| match catch_unwind(|| search(space)) {
        Ok(Ok(_)) => None,
        Ok(Err(failure)) => Some(format!("{}, after {} inputs", failure.property, failure.path.len())),
        Err(_) => Some("an assertion".to_owned()),
    };
    for canary in Canary::of(Harness::Search) {
        plant(Some(canary));
        let found = spaces.iter().find_map(find);
        plant(None);
        let Some(how) = found else { panic!("{canary:?} was not found") };
        say(&format!("canary {canary:?}: found by the search: {how}\n"));
    }
    assert_eq!(spaces.iter().find_map(find), None, "and nothing without a canary");
}
