//! Goal: the judges see what is wrong in a log. Method: a run that held is told otherwise, in one place, by the
//! clients, by the witness, or by both: a witness that lies together with the server is found out by what the
//! clients saw of the order of events.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_core::Kind;
use elockd_sim::draw;
use elockd_sim::history::History;
use elockd_sim::log::{Entry, Event, Told};
use elockd_sim::oracle::{Judged, judge, linear};
use elockd_sim::plan::{Network, Plan, Scenario};
use elockd_sim::script::{Action, Client, Host, Step};
use elockd_sim::verdict;

/// One client gets a lock, another is refused it, and both go.
fn run() -> (Plan, Vec<Entry>) {
    let (plan, _) = draw::swarm(1);
    let mut server = plan.server.clone();
    (server.connections, server.locks, server.locks_per_connection, server.idle_ms) = (100, 100, 100, 0);
    let network = Network {
        latency_us: (1_000, 1_000),
        window_bytes: 1 << 20,
        read_bytes: 16 << 10,
        accept_fails_every: 0,
        peer_timeout_ms: 1_000,
    };
    let names = vec![b"a".to_vec()];
    let plan = Plan { scenario: Scenario::Swarm, hosts: 1, network, server, duration_ms: 100, names, ..plan };
    let (first, second) = (Client(1), Client(2));
    let say = |client, line: &[u8]| Action::Say(client, line.to_vec());
    let script = [
        (1, Action::Open(first, Host(0))),
        (2, Action::Open(second, Host(0))),
        (10, say(first, b"g job\n")),
        (20, say(second, b"g job\n")),
        (30, say(first, b"i job\n")),
        (35, say(second, b"g other\n")),
        (40, Action::Close(second)),
        (50, say(first, b"r job\n")),
    ];
    let script: Vec<Step> = script.into_iter().map(|(at_ms, action)| Step { at_ms, action }).collect();
    let run = verdict::run(&plan, &script);
    assert_eq!(run.violation, None);
    (plan, run.report.entries)
}

const REFUSED: &[u8] = b"0 Lock Get Failure: job\n";
const GIVEN: &[u8] = b"1 Lock Get Success: job\n";

/// What the second client read is told otherwise.
fn the_client_says(entries: &mut [Entry]) {
    let told = entries.iter_mut().filter_map(|entry| match &mut entry.event {
        Event::Received(_, bytes) if bytes == REFUSED => Some(bytes),
        _ => None,
    });
    assert_eq!(told.map(|bytes| *bytes = GIVEN.to_vec()).count(), 1);
}

/// What the machine told the second client is told otherwise.
fn the_witness_says(entries: &mut [Entry]) {
    let told = entries.iter_mut().filter_map(|entry| match &mut entry.event {
        Event::Applied(applied) => Some(&mut applied.told),
        _ => None,
    });
    let told = told.flatten().filter_map(|(_, told)| match told {
        Told::Reply(bytes) if bytes == REFUSED => Some(bytes),
        _ => None,
    });
    assert_eq!(told.map(|bytes| *bytes = GIVEN.to_vec()).count(), 1);
}

fn fallen(plan: &Plan, entries: &[Entry]) -> &'static str {
    judge(plan, entries).expect_err("something is wrong").check
}

#[test]
fn a_client_that_heard_something_else_is_seen() {
    let (plan, mut entries) = run();
    the_client_says(&mut entries);
    assert_eq!(fallen(&plan, &entries), "replies come in order");
}

#[test]
fn a_machine_that_said_something_else_than_the_reference_is_seen() {
    let (plan, mut entries) = run();
    the_client_says(&mut entries);
    the_witness_says(&mut entries);
    assert_eq!(fallen(&plan, &entries), "the reference model agrees");
}

#[test]
fn two_holders_are_seen_by_the_clients_alone() {
    let (plan, mut entries) = run();
    let judge = |entries: &[Entry]| {
        let mut judged = Judged::default();
        linear::judge(&plan, entries, &History::new(&plan, entries), &mut judged).map(|()| judged)
    };
    let held = judge(&entries).unwrap();
    assert!(held.linear > 0 && held.searched == 0, "{held:?}");
    the_client_says(&mut entries);
    the_witness_says(&mut entries);
    let finding = judge(&entries).unwrap_err();
    assert_eq!(finding.check, "clients see one order");
    assert!(finding.what.contains(&format!("{:?} \"job\"", Kind::Exclusive)), "{}", finding.what);
}

#[test]
fn an_input_that_the_witness_did_not_see_is_missed() {
    let (plan, mut entries) = run();
    let is_tick = |entry: &Entry| matches!(&entry.event, Event::Applied(applied) if applied.input == elockd_core::Input::Tick);
    let at = entries.iter().position(is_tick).unwrap();
    entries.remove(at);
    assert_eq!(fallen(&plan, &entries), "the order is total");
}

#[test]
fn an_end_that_comes_late_is_seen() {
    let (plan, mut entries) = run();
    let is_close = |entry: &Entry| matches!(&entry.event, Event::Applied(applied) if matches!(applied.input, elockd_core::Input::Closed(..)));
    let at = entries.iter().position(is_close).unwrap();
    // The rest of the run comes before it.
    let mut close = entries.remove(at);
    let last_ms = entries.last().unwrap().at_ms;
    close.at_ms = last_ms;
    entries.push(close);
    let check = fallen(&plan, &entries);
    assert!(check == "ends come at once" || check == "ends have a reason", "{check}");
}
