//! Goal: every figure of `q full`, every series of the metrics and every field of munin has the right value, and not
//! that of another. Method: lives of the real program, written so that no two figures are the same in all of them; a
//! ledger that counts beside them what each step must count; and lists of series and fields that this test has of its
//! own. What is not in a list fails by its name.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::cast_precision_loss, reason = "counts here are small")]

mod graphs;
mod ledger;
mod lives;
mod process;
mod series;
#[path = "../support/mod.rs"]
mod support;
mod times;

use ledger::Ledger;
use std::collections::BTreeMap;

/// The lives, and what they must come to: for each, every expected value by its key.
fn all_lives() -> Vec<BTreeMap<String, u64>> {
    std::thread::scope(|scope| {
        let idle = scope.spawn(lives::idle_and_stalled);
        let refused = scope.spawn(lives::listings_and_tokens_refused);
        let disabled = scope.spawn(lives::switched_off);
        let too_much = scope.spawn(lives::too_much);
        let accounts = scope.spawn(lives::with_accounts);
        let [busy, drained] = lives::busy();
        let others = [idle, refused, disabled, too_much, accounts]
            .map(|life| life.join().expect("its panic is above"));
        [busy, drained].into_iter().chain(others).collect()
    })
}

/// What differs from one run to the next, and is compared where it is measured.
const MEASURED: [&str; 4] = ["pid", "uptime_ms", "longest_wait_ms", "token_failures"];

/// What is always 0 at the end of a life: commands that cannot fail; holds that are about to be freed; what happens
/// only in a moment that no client can choose; and the loss of another node, which a single daemon does not have.
const NOTHING: [&str; 8] = [
    "closed_node_lost",
    "dead_holds",
    "failed_help",
    "failed_me",
    "failed_ping",
    "failed_q",
    "failed_quit",
    "ignored_inputs",
];

/// What is the same by its nature: an exclusive lock has one holder, and so has a lock that is written. Who quits has
/// said `quit`.
const SAME: [(&str, &str); 4] = [
    ("locks", "holds"),
    ("write_locks", "write_holds"),
    ("command_quit", "closed_quit"),
    ("succeeded_quit", "closed_quit"),
];

#[test]
fn every_figure_is_its_own_in_the_answer_and_in_the_metrics() {
    let lives = all_lives();
    let mut twins = Vec::new();
    // `q full` has no `succeeded_`, and the metrics no `command_`.
    for elsewhere in ["succeeded_", "command_"] {
        let mut seen: BTreeMap<Vec<u64>, String> = BTreeMap::new();
        let keys = Ledger::default().keys().into_iter();
        for key in keys.filter(|key| !key.starts_with(elsewhere) && !MEASURED.contains(&&**key)) {
            let values: Vec<u64> = lives.iter().map(|life| life[&key]).collect();
            if NOTHING.contains(&&*key) {
                assert!(values.iter().all(|value| *value == 0), "{key}: {values:?}");
                continue;
            }
            match seen.get(&values) {
                Some(twin) if SAME.contains(&(&*key, &**twin)) => {}
                Some(twin) => twins.push(format!("{key} and {twin}: {values:?}")),
                None => drop(seen.insert(values, key)),
            }
        }
    }
    assert!(
        twins.is_empty(),
        "these are the same in all lives, so that nothing would see if one stood for the other:\n{}",
        twins.join("\n")
    );
}
