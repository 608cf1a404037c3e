//! Small worlds, searched to their ends: every state of the real machine that a few connections and names can lead to,
//! and every input in each state. [`elockd_model_tests::explore`] has the checks.
//!
//! A usual test run leaves out the larger worlds. In a release build they take minutes: `cargo test --release -p
//! elockd-model-tests --test exhaustive -- --include-ignored`

use elockd_core::probe::HashBits;
use elockd_core::{Account, Accounts, Kind, Profile, Quotas};
use elockd_model_tests::explore::{Seen, Space, Time, search};
use elockd_model_tests::runner::say;
use std::sync::Arc;

const X: Kind = Kind::Exclusive;
const S: Kind = Kind::Shared;
const R: Kind = Kind::Read;
const W: Kind = Kind::Write;

fn space(connections: usize, locks: &[(Kind, &'static str)]) -> Space {
    Space::new(connections, locks)
}

/// Searches a space and prints what was seen. Panics if there are fewer than `states` states: then something is not
/// reached any more.
#[track_caller]
fn all_of(name: &str, space: &Space, states: u64) -> Seen {
    let start = std::time::Instant::now();
    match search(space) {
        Ok(seen) => {
            say(&format!("{name}: {seen} ({:.1?})\n", start.elapsed()));
            assert!(seen.states >= states, "{seen}, and there were {states} states");
            seen
        }
        Err(failure) => panic!("{name}: {failure}"),
    }
}

#[test]
fn four_connections_and_three_exclusive_names() {
    all_of("4 connections, 3 exclusive names", &space(4, &[(X, "a"), (X, "b"), (X, "c")]), 2_845);
}

#[test]
fn five_connections_and_two_exclusive_names() {
    all_of("5 connections, 2 exclusive names", &space(5, &[(X, "a"), (X, "b")]), 1_213);
}

#[test]
fn four_connections_and_one_name_of_both_kinds() {
    all_of("4 connections, 1 name of both kinds", &space(4, &[(X, "a"), (S, "a")]), 1_294);
}

#[test]
fn three_connections_and_two_shared_names() {
    all_of("3 connections, 2 shared names", &space(3, &[(S, "a"), (S, "b")]), 1_279);
}

#[test]
fn two_connections_and_two_names_of_both_kinds() {
    let locks = [(X, "a"), (X, "b"), (S, "a"), (S, "b")];
    all_of("2 connections, 2 names of both kinds", &space(2, &locks), 2_889);
}

/// Names that do not fit their slots, and one that is empty.
#[test]
fn two_connections_and_odd_names() {
    let long = "a name of thirty-one bytes ....";
    let locks = [(X, ""), (X, long), (S, long)];
    all_of("2 connections, odd names", &space(2, &locks), 361);
}

/// Every name has the same hash, and so has every hold.
#[test]
fn three_connections_and_names_of_one_hash() {
    let mut space = space(3, &[(X, "a"), (X, "b"), (S, "b")]);
    space.config.storage.hash_bits = HashBits::lowest(0);
    all_of("3 connections, 2 + 1 names of one hash", &space, 1_555);
}

#[test]
fn three_connections_under_limits_of_locks() {
    let mut space = space(3, &[(X, "a"), (X, "b"), (S, "a")]);
    space.config.limits.locks_per_connection = 2;
    space.config.limits.locks = 3;
    all_of("3 connections, 2 + 1 names, limits of locks", &space, 1_061);
}

#[test]
fn three_connections_under_a_limit_of_memory() {
    let mut space = space(3, &[(X, "a"), (X, "b"), (S, "a")]);
    // Three connections, a lock with two holders, and not quite one more lock.
    space.config.limits.memory_bytes = 3 * 1024 + 160 + 56 + 159;
    all_of("3 connections, 2 + 1 names, limit of memory", &space, 827);
}

#[test]
fn three_connections_under_a_limit_of_two() {
    let mut space = space(3, &[(X, "a"), (S, "a")]);
    space.config.limits.connections = 2;
    all_of("3 connections of which 2 may be, 1 name of both kinds", &space, 77);
}

#[test]
fn three_connections_while_the_daemon_drains() {
    let space = Space { drains: true, ..space(3, &[(X, "a"), (S, "a")]) };
    all_of("3 connections, 1 name of both kinds, drain", &space, 608);
}

/// A node is lost, and what it held goes to another one that waits.
#[test]
fn three_connections_at_two_nodes() {
    let space = Space { nodes: &[1, 2], drains: true, waits_ms: vec![2], ..space(3, &[(X, "a"), (X, "b")]) };
    let seen = all_of("3 connections at 2 nodes, 2 exclusive names, drains, waits", &space, 10_964);
    assert!(seen.grants > 0 && seen.several_grants > 0, "{seen}");
}

#[test]
fn three_connections_that_may_be_silent_too_long() {
    let mut space = Space { time: Time::Passes(vec![1]), ..space(3, &[(X, "a"), (S, "a")]) };
    space.config.limits.idle_ms = 2;
    all_of("3 connections, 1 name of both kinds, idle limit", &space, 5_333);
}

#[test]
fn two_connections_by_slot() {
    let by_slot = |locks: &[(Kind, &'static str)]| Space { places: true, ..space(2, locks) };
    all_of("2 connections, 2 exclusive names, by slot", &by_slot(&[(X, "a"), (X, "b")]), 479);
    all_of("2 connections, 1 name of both kinds, by slot", &by_slot(&[(X, "a"), (S, "a")]), 1_711);
    all_of("2 connections, 2 shared names, by slot", &by_slot(&[(S, "a"), (S, "b")]), 22_707);
}

/// All may wait for what others hold, and most of them at the same time.
#[test]
fn four_connections_that_wait_for_two_exclusive_names() {
    let space = Space { waits_ms: vec![2], time: Time::Ticks(vec![1]), ..space(4, &[(X, "a"), (X, "b")]) };
    all_of("4 connections, 2 exclusive names, waits", &space, 45_855);
}

/// Some gets do not wait. Some waits end before others that began earlier, and several end at once.
#[test]
fn three_connections_that_wait_for_different_times() {
    let time = Time::Passes(vec![1, 2]);
    let space = Space { waits_ms: vec![0, 1, 2], time, ..space(3, &[(X, "a"), (X, "b")]) };
    all_of("3 connections, 2 exclusive names, waits of 0 to 2 ms", &space, 2_821);
}

#[test]
fn three_connections_that_wait_for_a_name_of_both_kinds_with_limits() {
    let (waits_ms, limits, time) = (vec![2], vec![1, 2], Time::Passes(vec![1]));
    let space = Space { waits_ms, limits, time, ..space(3, &[(X, "a"), (S, "a")]) };
    all_of("3 connections, 1 name of both kinds, limits, waits", &space, 4_947);
}

#[test]
fn three_connections_that_wait_for_ends_of_two_exclusive_names() {
    let (waits_ms, time) = (vec![2], Time::Ticks(vec![1]));
    let space = Space { waits_ms, time, ends: true, ..space(3, &[(X, "a"), (X, "b")]) };
    let seen = all_of("3 connections, 2 exclusive names, waits for ends", &space, 7_117);
    assert!(seen.deadlocks > 0 && seen.several_grants > 0, "{seen}");
}

#[test]
fn three_connections_that_wait_for_ends_of_a_name_of_both_kinds() {
    let (waits_ms, limits, time) = (vec![1], vec![1], Time::Ticks(vec![1]));
    let space = Space { waits_ms, limits, time, ends: true, ..space(3, &[(X, "a"), (S, "a")]) };
    all_of("3 connections, 1 name of both kinds, waits for ends", &space, 4_977);
}

/// One of them may take a lock away, and the daemon may drain.
#[test]
fn three_connections_of_which_some_are_operators_and_wait_for_ends() {
    let (waits_ms, time) = (vec![1], Time::Passes(vec![1]));
    let space = Space { waits_ms, time, ends: true, operators: true, drains: true, ..space(3, &[(X, "a")]) };
    all_of("3 connections, 1 exclusive name, operators, drain, waits for ends", &space, 1_964);
}

#[test]
fn three_connections_that_wait_for_two_shared_names_with_limits() {
    let (waits_ms, limits, time) = (vec![1], vec![1, 2], Time::Ticks(vec![1]));
    let space = Space { waits_ms, limits, time, ..space(3, &[(S, "a"), (S, "b")]) };
    all_of("3 connections, 2 shared names, limits, waits", &space, 5_643);
}

/// A search may look at two holds and waits: enough for a deadlock of two, and not if a shared lock has two holders or
/// a line.
#[test]
fn three_connections_whose_deadlocks_take_too_long_to_find() {
    let (waits_ms, limits, time) = (vec![1], vec![1, 2], Time::Ticks(vec![1]));
    let mut space = Space { waits_ms, limits, time, ..space(3, &[(X, "a"), (S, "b")]) };
    space.config.limits.step_holds = 2;
    let seen = all_of("3 connections, 1 exclusive name and 1 shared, waits, steps of 2", &space, 2_251);
    assert!(seen.deadlocks > 0 && seen.unseen > 0, "{seen}");
}

/// Three may be in line, each with a limit or without.
#[test]
fn four_connections_in_one_line() {
    let (waits_ms, limits, time) = (vec![1], vec![0, 1, 2], Time::Ticks(vec![1]));
    let space = Space { waits_ms, limits, time, ..space(4, &[(S, "a")]) };
    all_of("4 connections, 1 shared name, limits, waits", &space, 3_687);
}

#[test]
fn three_connections_of_which_some_are_operators_and_tokens() {
    let (waits_ms, time) = (vec![2], Time::Passes(vec![1]));
    let space = Space { waits_ms, time, operators: true, tokens: 1, ..space(3, &[(X, "a")]) };
    all_of("3 connections, 1 exclusive name, waits, operators, tokens", &space, 4_976);
}

#[test]
fn three_connections_with_tokens_for_two_names() {
    let (waits_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let space = Space { waits_ms, time, tokens: 2, ..space(3, &[(X, "a"), (X, "b")]) };
    all_of("3 connections, 2 exclusive names, waits, tokens", &space, 9_387);
}

#[test]
fn three_connections_that_wait_while_the_daemon_drains() {
    let (waits_ms, limits, time) = (vec![2], vec![1], Time::Passes(vec![1]));
    let space = Space { waits_ms, limits, time, drains: true, ..space(3, &[(X, "a"), (S, "a")]) };
    all_of("3 connections, 1 name of both kinds, waits, drain", &space, 4_514);
}

/// A wait may last longer than the idle limit, or end in the same moment.
#[test]
fn three_connections_that_wait_and_may_be_silent_too_long() {
    let (waits_ms, time) = (vec![1, 3], Time::Passes(vec![1]));
    let mut space = Space { waits_ms, time, ..space(3, &[(X, "a")]) };
    space.config.limits.idle_ms = 2;
    all_of("3 connections, 1 exclusive name, waits, idle limit", &space, 1_886);
}

/// Connections leave their holds behind, resume, and take over from others that are still open, also while those wait.
#[test]
fn two_connections_whose_holds_outlive_them() {
    let (waits_ms, graces_ms, time) = (vec![1], vec![1], Time::Ticks(vec![1]));
    let space = Space { waits_ms, graces_ms, time, ..space(2, &[(X, "a")]) };
    let seen = all_of("2 connections, 1 exclusive name, waits, grace", &space, 3_737);
    assert!(seen.with_sessions > 0 && seen.resumed > 0, "{seen}");
}

/// A third gets what is due, and operators end what lingers.
#[test]
#[ignore = "takes a minute in a release build"]
fn large_two_connections_of_which_some_are_operators_and_holds_that_outlive_them() {
    let (graces_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let space = Space { graces_ms, time, operators: true, ..space(2, &[(X, "a"), (S, "a")]) };
    all_of("2 connections, 1 name of both kinds, grace, operators", &space, 100);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_two_connections_whose_holds_outlive_them_by_slot() {
    let (graces_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let space = Space { graces_ms, time, places: true, ..space(2, &[(X, "a")]) };
    all_of("2 connections, 1 exclusive name, grace, by slot", &space, 34_239);
}

/// A world of two accounts with the same quotas, between which connections go to and fro.
fn of_two_accounts(quotas: Quotas, space: Space) -> Space {
    let profile = Profile { quotas, ..Profile::default() };
    let accounts = Accounts::new([0, 1].map(|number| (Account(number), profile.clone())));
    let mut space = Space { accounts: vec![0, 1], ..space };
    space.config.accounts = Arc::new(accounts);
    space
}

#[test]
fn three_connections_of_two_accounts_that_may_have_one_each() {
    let quotas = Quotas { connections: Some(1), ..Quotas::default() };
    let space = of_two_accounts(quotas, space(3, &[(X, "a"), (S, "a")]));
    let seen = all_of("2 accounts of 1 connection, 1 name of both kinds", &space, 147);
    assert!(seen.logins.into_iter().all(|logins| logins > 0), "{seen}");
}

#[test]
fn three_connections_of_two_accounts_that_may_hold_and_wait_once_each() {
    let quotas = Quotas { locks: Some(1), waiters: Some(1), ..Quotas::default() };
    let (waits_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let locks = [(X, "a"), (X, "b")];
    let space = of_two_accounts(quotas, Space { waits_ms, time, ends: true, ..space(3, &locks) });
    let seen = all_of("2 accounts of 1 hold and 1 wait, 3 connections, 2 exclusive names", &space, 3_521);
    assert!(seen.refused > 0 && seen.logins[0] > 0, "{seen}");
}

/// An account has room for three connections and one hold, and a byte too little for another or for a wait. The long
/// name counts for each of its holders.
#[test]
fn three_connections_of_two_accounts_that_have_memory_for_one_hold_each() {
    let long = "a name of thirty-one bytes ....";
    let memory_bytes = Some(3 * 1024 + 160 + 47 + 159);
    let quotas = Quotas { memory_bytes, ..Quotas::default() };
    let (waits_ms, limits, time) = (vec![1], vec![1], Time::Ticks(vec![1]));
    let locks = [(X, "a"), (S, long)];
    let space = of_two_accounts(quotas, Space { waits_ms, limits, time, ..space(3, &locks) });
    let seen = all_of("2 accounts with memory for 1 hold, 3 connections, 1 + 1 names", &space, 12_247);
    assert!(seen.refused > 0 && seen.logins[0] > 0, "{seen}");
}

/// What one account's connection left, another account's cannot take over.
#[test]
fn two_connections_of_two_accounts_whose_holds_outlive_them() {
    let quotas = Quotas { locks: Some(1), ..Quotas::default() };
    let (graces_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let space = of_two_accounts(quotas, Space { graces_ms, time, ..space(2, &[(X, "a")]) });
    let seen = all_of("2 accounts of 1 hold, 2 connections, 1 exclusive name, grace", &space, 4_998);
    assert!(seen.with_sessions > 0 && seen.resumed > 0 && seen.logins[0] > 0, "{seen}");
}

#[test]
fn four_connections_of_which_few_may_wait() {
    let (waits_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let mut space = Space { waits_ms, time, ..space(4, &[(X, "a"), (X, "b")]) };
    space.config.limits.waiters = 2;
    space.config.limits.waiters_per_name = 1;
    space.config.limits.locks = 4;
    all_of("4 connections, 2 exclusive names, waits under limits", &space, 4_479);
}

#[test]
fn two_connections_that_wait_by_slot() {
    let (waits_ms, limits, time) = (vec![1], vec![1], Time::Ticks(vec![1]));
    let space = Space { waits_ms, limits, time, places: true, ..space(2, &[(X, "a"), (S, "a")]) };
    all_of("2 connections, 1 name of both kinds, waits, by slot", &space, 23_538);
}

/// Who reads may go on as a writer, and the reverse, past whoever waits.
#[test]
fn three_connections_that_read_and_write_one_name() {
    let (waits_ms, time) = (vec![1, 2], Time::Passes(vec![1]));
    let space = Space { waits_ms, time, ..space(3, &[(R, "a"), (W, "a")]) };
    all_of("3 connections, 1 name of readers and writers, waits", &space, 899);
}

#[test]
fn three_connections_that_read_and_write_two_names() {
    let (waits_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let space = Space { waits_ms, time, ..space(3, &[(R, "a"), (W, "a"), (R, "b"), (W, "b")]) };
    all_of("3 connections, 2 names of readers and writers, waits", &space, 13_725);
}

#[test]
fn two_connections_that_read_and_write_with_tokens_and_operators() {
    let (waits_ms, time) = (vec![2], Time::Ticks(vec![1]));
    let space = Space { waits_ms, time, operators: true, tokens: 1, ..space(2, &[(R, "a"), (W, "a")]) };
    all_of("2 connections, 1 name of readers and writers, waits, operators, tokens", &space, 774);
}

#[test]
fn two_connections_that_read_and_write_by_slot() {
    let (waits_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let space = Space { waits_ms, time, places: true, ..space(2, &[(R, "a"), (W, "a"), (X, "a")]) };
    all_of("2 connections, 1 name of readers and writers, 1 exclusive, waits, by slot", &space, 43_231);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_four_connections_that_read_and_write_one_name() {
    let (waits_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let space = Space { waits_ms, time, ..space(4, &[(R, "a"), (W, "a")]) };
    all_of("4 connections, 1 name of readers and writers, waits", &space, 1);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_four_connections_that_wait_for_different_times() {
    let (waits_ms, time) = (vec![1, 2], Time::Ticks(vec![1, 2]));
    let space = Space { waits_ms, time, ..space(4, &[(X, "a"), (X, "b")]) };
    all_of("4 connections, 2 exclusive names, waits of 1 and 2 ms", &space, 77_439);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_four_connections_that_wait_for_a_name_of_both_kinds_with_limits() {
    let (waits_ms, limits, time) = (vec![1], vec![1, 2], Time::Ticks(vec![1]));
    let space = Space { waits_ms, limits, time, ..space(4, &[(X, "a"), (S, "a")]) };
    all_of("4 connections, 1 name of both kinds, limits, waits", &space, 62_865);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_three_connections_that_wait_for_three_names() {
    let (waits_ms, limits, time) = (vec![1], vec![1, 2], Time::Ticks(vec![1]));
    let space = Space { waits_ms, limits, time, ..space(3, &[(X, "a"), (S, "a"), (S, "b")]) };
    all_of("3 connections, 1 exclusive name and 2 shared, limits, waits", &space, 108_580);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_four_connections_and_two_shared_names() {
    all_of("4 connections, 2 shared names", &space(4, &[(S, "a"), (S, "b")]), 24_603);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_three_connections_and_two_names_of_both_kinds() {
    let locks = [(X, "a"), (X, "b"), (S, "a"), (S, "b")];
    all_of("3 connections, 2 names of both kinds", &space(3, &locks), 28_555);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_five_connections_and_four_exclusive_names() {
    let locks = [(X, "a"), (X, "b"), (X, "c"), (X, "d")];
    all_of("5 connections, 4 exclusive names", &space(5, &locks), 62_403);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_five_connections_and_a_few_names() {
    let locks = [(X, "a"), (X, "b"), (S, "a")];
    all_of("5 connections, 2 exclusive names and 1 shared", &space(5, &locks), 41_303);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_three_connections_and_many_names() {
    let locks = [(X, "a"), (X, "b"), (X, "c"), (S, "a"), (S, "b")];
    all_of("3 connections, 3 exclusive names and 2 shared", &space(3, &locks), 183_453);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_two_connections_and_three_names_of_both_kinds() {
    let locks = [(X, "a"), (X, "b"), (X, "c"), (S, "a"), (S, "b"), (S, "c")];
    all_of("2 connections, 3 names of both kinds", &space(2, &locks), 213_649);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_four_connections_that_may_be_silent_too_long() {
    let mut space = Space { time: Time::Passes(vec![1]), ..space(4, &[(X, "a"), (S, "a")]) };
    space.config.limits.idle_ms = 2;
    all_of("4 connections, 1 name of both kinds, idle limit", &space, 117_725);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_two_connections_by_slot() {
    let space = Space { places: true, ..space(2, &[(X, "a"), (X, "b"), (S, "a")]) };
    all_of("2 connections, 2 exclusive names and 1 shared, by slot", &space, 387_375);
}

#[test]
#[ignore = "takes a minute in a release build"]
fn large_three_connections_that_wait_by_slot() {
    let (waits_ms, time) = (vec![1], Time::Ticks(vec![1]));
    let space = Space { waits_ms, time, places: true, ..space(3, &[(X, "a")]) };
    all_of("3 connections, 1 exclusive name, waits, by slot", &space, 46_675);
}
