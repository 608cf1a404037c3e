//! Goal: no epoch is ended while its node may write, whatever happens to three nodes, their clocks and their messages;
//! and a dead node's epoch ends in time.
//!
//! Method: the lease machines of production run in an abstract cluster. All that can happen in it is searched within
//! budgets of messages, and walked at random beyond. Then, with everything forced in time, a node dies and leaders
//! change at each moment.
//!
//! `LEASE_SEARCH_MORE=1 cargo test --release -p elockd-cluster --test lease_search` searches and walks much further.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of a search are small")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod action;
mod budget;
mod forced;
mod log;
mod mail;
mod search;
mod walk;
mod world;

use budget::{Budget, Detail, Words};
use forced::{Plan, SLICE};
use search::{Seen, search};
use world::{STEP, World};

/// Where a search begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// The victim has just been answered.
    Serving,
    /// It was answered three steps ago, and nothing happened since.
    ServingForLong,
    /// It has no epoch yet.
    Idle,
}

/// Rates of the victim's clock and of the two others at which a lease is longest against an expiry.
const SHARP: &[[u8; 3]] = &[[90, 110, 110]];
/// And right ones.
const SHARP_AND_RIGHT: &[[u8; 3]] = &[[90, 110, 110], [100, 100, 100]];

/// Whether a longer search is asked for.
fn is_more() -> bool {
    std::env::var_os("LEASE_SEARCH_MORE").is_some()
}

/// Every combination of rates.
fn all_rates() -> Vec<[u8; 3]> {
    let rate = |nth: usize| [90, 100, 110][nth % 3];
    (0..27).map(|nth| [rate(nth), rate(nth / 3), rate(nth / 9)]).collect()
}

/// Searches with the leader as the victim and with another. Epochs of several nodes have nothing to do with each other.
fn search_all(begin: Begin, rates: &[[u8; 3]], mut budget: Budget, detail: Detail) -> Seen {
    let everything = all_rates();
    let rates = if is_more() { &everything } else { rates };
    budget.appends += u8::from(is_more());
    let mut seen = Seen::default();
    for victim in [0, 1] {
        for [of_victim, second, third] in rates {
            let mut rates = [*second, *second, *third];
            rates[usize::from(victim)] = *of_victim;
            let mut world = match begin {
                Begin::Idle => World::idle(rates, &[victim], budget),
                Begin::Serving | Begin::ServingForLong => World::new(rates, &[victim], budget),
            };
            world.detail = detail;
            if begin == Begin::ServingForLong {
                (0..3).for_each(|_| world.pass(STEP));
            }
            match search(world) {
                Ok(more) => seen.add(more),
                Err(found) => {
                    panic!("node {victim}, rates {rates:?}: {}, after\n{:#?}", found.what, found.how)
                }
            }
        }
    }
    assert!(seen.states > 10_000, "{seen:?}");
    seen
}

/// Goal: without a change of leader. Leases are renewed, and epochs expire.
#[test]
fn one_leader() {
    let budget = Budget { steps: 6, appends: 2, beats: 1, ..Budget::default() };
    search_all(Begin::Serving, &all_rates(), budget, Detail::default());
}

/// Goal: an epoch begins late, while the leader gives it up.
#[test]
fn an_epoch_that_begins() {
    let budget = Budget { steps: 5, appends: 3, beats: 1, ups: 1, ..Budget::default() };
    let seen = search_all(Begin::Idle, SHARP_AND_RIGHT, budget, Detail::default());
    assert!(seen.gone > 0, "{seen:?}");
}

/// Goal: the leader changes.
#[test]
fn one_change() {
    let budget = Budget { steps: 5, appends: 2, beats: 1, elections: 1, ..Budget::default() };
    let seen = search_all(Begin::Serving, SHARP_AND_RIGHT, budget, Detail::default());
    assert!(seen.renewed > 0, "{seen:?}");
}

/// Goal: the leader changes, and candidates, voters and the office are apart in time.
#[test]
fn one_change_that_takes_time() {
    let budget = Budget { steps: 5, appends: 2, beats: 1, elections: 1, ..Budget::default() };
    let detail = Detail { words: Words::AtOnce, elections: true, lean: true, ..Detail::default() };
    let seen = search_all(Begin::Serving, SHARP, budget, detail);
    assert!(seen.renewed > 0, "{seen:?}");
}

/// Goal: the leader changes, and a process is restarted.
#[test]
fn one_change_and_a_crash() {
    let budget = Budget { steps: 5, appends: 2, beats: 1, elections: 1, crashes: 1, ..Budget::default() };
    let detail = Detail { words: Words::AtOnce, lean: true, ..Detail::default() };
    let seen = search_all(Begin::Serving, SHARP, budget, detail);
    assert!(seen.renewed > 0, "{seen:?}");
}

/// Goal: the leader changes, and a leader stands still for a while.
#[test]
fn one_change_and_a_pause() {
    let budget = Budget { steps: 5, appends: 2, beats: 1, elections: 1, pauses: 1, ..Budget::default() };
    let detail = Detail { words: Words::AtOnce, lean: true, ..Detail::default() };
    let seen = search_all(Begin::Serving, SHARP, budget, detail);
    assert!(seen.renewed > 0, "{seen:?}");
}

/// Goal: the leader changes twice, to the same node again, too.
#[test]
fn two_changes() {
    let budget = Budget { steps: 5, appends: 2, beats: 1, elections: 2, ..Budget::default() };
    let detail = Detail { words: Words::AtOnce, heartbeats: true, lean: true, ..Detail::default() };
    let seen = search_all(Begin::Serving, SHARP, budget, detail);
    assert!(seen.renewed > 0, "{seen:?}");
}

/// Goal: the leader changes twice just before a lease and an expiry are over, with more messages.
#[test]
fn two_changes_at_the_end() {
    let budget = Budget { steps: 2, appends: 3, beats: 1, elections: 2, ..Budget::default() };
    let detail = Detail { words: Words::AtOnce, heartbeats: true, lean: true, ..Detail::default() };
    let seen = search_all(Begin::ServingForLong, SHARP, budget, detail);
    assert!(seen.renewed > 0, "{seen:?}");
}

/// Goal: the same, with a restart in place of heartbeats.
#[test]
fn two_changes_and_a_crash_at_the_end() {
    let budget = Budget { steps: 2, appends: 3, beats: 1, elections: 2, crashes: 1, ..Budget::default() };
    let detail = Detail { words: Words::AtOnce, lean: true, ..Detail::default() };
    let seen = search_all(Begin::ServingForLong, SHARP, budget, detail);
    assert!(seen.renewed > 0, "{seen:?}");
}

/// Goal: a change of leader between two beats, and messages that come twice.
#[test]
fn two_beats_at_the_end() {
    let detail = Detail { words: Words::AtOnce, lean: true, ..Detail::default() };
    for (steps, beats, doubles) in [(3, 2, 0), (2, 1, 1)] {
        let budget = Budget { steps, appends: 3, beats, elections: 1, doubles, ..Budget::default() };
        let seen = search_all(Begin::ServingForLong, SHARP, budget, detail);
        assert!(seen.renewed > 0, "{seen:?}");
    }
}

/// Goal: what no search is large enough for. Method: all nodes serve, and all budgets are larger; walks are random.
#[test]
fn random_walks() {
    let (mut ended, mut began) = (0, 0);
    let walks = if is_more() { 3_000_000 } else { 50_000 };
    for seed in 0..walks {
        match walk::walk(seed) {
            Ok(world) => {
                ended += usize::from(world.has_ended());
                began += usize::from(world.nodes.iter().any(|node| node.epochs.ups() > 3));
            }
            Err(found) => panic!("{}, after\n{:#?}", found.what, found.how),
        }
    }
    assert!(ended > 1000 && began > 1000, "{ended} walks ended an epoch, {began} began a later one");
}

/// Goal: a dead node's epoch ends within T of its death, or of the last change of leader if that came later. A dead
/// leader's does so within T of its death: the change that its death brings does not count. Nobody else loses its own.
/// Method: each moment of death against each moment of a change, on clocks that are 2 % wrong.
#[test]
fn a_dead_nodes_epoch_ends_in_time() {
    let rates = [[100, 100, 100], [98, 98, 98], [102, 98, 98], [98, 102, 98], [98, 98, 102]];
    let mut plans = 0;
    for (victim, rates) in (0..3).flat_map(|victim| rates.map(|rates| (victim, rates))) {
        for death in (1000..1400).step_by(SLICE as usize) {
            for gap in [200, 600] {
                let no_change = [None, None];
                check(Plan { rates, victim, death, gap, changes: no_change }, death);
                plans += 1;
            }
            for change in (500..3500).step_by(SLICE as usize) {
                for (first, second) in
                    [(1, None), (2, None), (1, Some((change + 300, 0))), (2, Some((change + 300, 0)))]
                {
                    let changes = [Some((change, first)), second];
                    check(Plan { rates, victim, death, gap: 300, changes }, death);
                    plans += 1;
                }
            }
        }
    }
    assert!(plans > 10_000);
}

fn check(plan: Plan, death: u32) {
    let outcome = forced::run(plan);
    let gone = outcome.gone.unwrap_or_else(|| panic!("the epoch never ends: {plan:?}"));
    let is_planned = plan.changes.iter().flatten().any(|(at, _)| *at == outcome.changed);
    let since = if is_planned { death.max(outcome.changed) } else { death };
    assert!(gone - since <= 2500, "{} ms after: {plan:?}", gone - since);
    assert_eq!(outcome.lost, None, "{plan:?}");
}
