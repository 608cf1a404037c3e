//! Small clusters' logs, searched to their ends: every state that two nodes can lead to, every act that counts there,
//! and many that must not. [`elockd_model_tests::replicas`] has the checks.

use elockd_core::{Command, Kind, Wish};
use elockd_model_tests::replicas::{LogSeen, LogSpace, search};
use elockd_model_tests::runner::say;

/// Searches a log and prints what was seen. Panics if there are fewer than `states` states: then something is not
/// reached any more.
#[track_caller]
fn all_of(name: &str, space: &LogSpace, states: u64) -> LogSeen {
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

/// A get that waits for up to two milliseconds. Mostly time stands.
fn wait(kind: Kind, name: &str) -> Command<Vec<u8>> {
    Command::Get(Wish::at_once(kind, name.as_bytes().to_vec()).waiting(2))
}

fn small(says: Vec<Command<Vec<u8>>>) -> LogSpace {
    let (epochs, connections) = ([2, 2], [2, 2]);
    LogSpace { epochs, connections, batches: 2, says, closes: false, drains: false, ms: 0 }
}

/// Two nodes with two connections and two epochs each. What one holds another waits for.
#[test]
fn two_nodes_and_one_exclusive_name() {
    let space = LogSpace { closes: true, ..small(vec![wait(Kind::Exclusive, "x")]) };
    let seen = all_of("2 nodes, 1 exclusive name", &space, 313);
    assert!(seen.inherited > 0, "{seen}");
}

#[test]
fn two_nodes_and_two_exclusive_names() {
    let space = small(vec![wait(Kind::Exclusive, "x"), wait(Kind::Exclusive, "y")]);
    let seen = all_of("2 nodes, 2 exclusive names", &space, 1_606);
    assert!(seen.inherited > 0, "{seen}");
}

/// Writers let several readers in at once.
#[test]
fn two_nodes_and_one_name_that_is_read_and_written() {
    let says = vec![wait(Kind::Read, "x"), wait(Kind::Write, "x")];
    let seen = all_of("2 nodes, 1 name that is read and written", &small(says), 1_170);
    assert!(seen.inherited > 0, "{seen}");
}

/// A node drains for itself, and its next epoch does not.
#[test]
fn two_nodes_that_drain() {
    let says = vec![wait(Kind::Write, "x"), wait(Kind::Read, "x")];
    let space = LogSpace { drains: true, ..small(says) };
    let seen = all_of("2 nodes that drain, 1 name that is read and written", &space, 1_992);
    assert!(seen.draining > 0, "{seen}");
}

/// What lingers outlives a node, and ends in its time.
#[test]
fn two_nodes_whose_connections_linger() {
    let says = vec![wait(Kind::Exclusive, "x"), Command::Linger(2)];
    let space = LogSpace { connections: [2, 1], ms: 1, ..small(says) };
    let seen = all_of("2 nodes, 1 exclusive name, grace", &space, 3_635);
    assert!(seen.with_sessions > 0, "{seen}");
}
