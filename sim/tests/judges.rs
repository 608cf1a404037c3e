//! Goal: the judges see what is wrong in a log. Method: a run that held is changed in one place, on the side of the
//! clients, of the witness, or of both. A witness that lies together with the server is found out by the order of
//! events that clients saw.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_core::{Command, Input, Kind};
use elockd_sim::draw;
use elockd_sim::history::History;
use elockd_sim::log::{Entry, Event, Told};
use elockd_sim::oracle::{Judged, judge, linear, tokens};
use elockd_sim::plan::{Network, Plan, Scenario};
use elockd_sim::script::{Action, Client, Fault, Host, Step};
use elockd_sim::verdict;

/// One client gets a lock, another is refused it, and both leave.
fn run() -> (Plan, Vec<Entry>) {
    let (plan, _) = draw::swarm(1);
    let mut server = plan.server.clone();
    (server.connections, server.locks, server.locks_per_connection, server.idle_ms) = (100, 100, 100, 0);
    (server.waiters, server.waiters_per_name, server.admin) = (100, 100, false);
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

/// Changes what the second client read.
fn the_client_says(entries: &mut [Entry]) {
    let told = entries.iter_mut().filter_map(|entry| match &mut entry.event {
        Event::Received(_, bytes) if bytes == REFUSED => Some(bytes),
        _ => None,
    });
    assert_eq!(told.map(|bytes| *bytes = GIVEN.to_vec()).count(), 1);
}

/// Changes what the machine told the second client.
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
    let is_tick =
        |entry: &Entry| matches!(&entry.event, Event::Applied(applied) if applied.input == Input::Tick);
    let at = entries.iter().position(is_tick).unwrap();
    entries.remove(at);
    assert_eq!(fallen(&plan, &entries), "the order is total");
}

#[test]
fn an_end_that_comes_late_is_seen() {
    let (plan, mut entries) = run();
    let is_close = |entry: &Entry| match &entry.event {
        Event::Applied(applied) => matches!(applied.input, Input::Closed(..)),
        _ => false,
    };
    let at = entries.iter().position(is_close).unwrap();
    // The rest of the run comes before it.
    let mut close = entries.remove(at);
    let last_ms = entries.last().unwrap().at_ms;
    close.at_ms = last_ms;
    entries.push(close);
    let check = fallen(&plan, &entries);
    assert!(check == "ends come at once" || check == "ends have a reason", "{check}");
}

/// A client waits for another client's lock and gets it. Both are shown a token of it, and the server restarts in
/// between.
fn run_with_waits() -> (Plan, Vec<Entry>) {
    let (mut plan, _) = run();
    plan.server.tokens = 100;
    plan.duration_ms = 300;
    let (first, second, third) = (Client(1), Client(2), Client(3));
    let say = |client, line: &[u8]| Action::Say(client, line.to_vec());
    let script = [
        (11, Action::Open(first, Host(0))),
        (12, Action::Open(second, Host(0))),
        (20, say(first, b"g job\nf job\n")),
        (30, say(second, b"gw 1000 job\nf job\n")),
        (50, say(first, b"r job\nsgl 1 few\n")),
        (60, say(second, b"sgl 1 few\n")),
        (70, say(first, b"gw 20 job\n")),
        (130, Action::Fault(Fault::KillServer)),
        (140, Action::Fault(Fault::StartServer)),
        (160, Action::Open(third, Host(0))),
        (170, say(third, b"g job\nf job\n")),
    ];
    let script: Vec<Step> = script.into_iter().map(|(at_ms, action)| Step { at_ms, action }).collect();
    let run = verdict::run(&plan, &script);
    assert_eq!(run.violation, None);
    (plan, run.report.entries)
}

/// Changes what clients read, wherever they read this.
fn clients_read(entries: &mut [Entry], what: &[u8], instead: &[u8]) {
    let mut times = 0;
    for entry in entries {
        if let Event::Received(_, bytes) = &mut entry.event
            && let Some(at) = bytes.windows(what.len()).position(|text| text == what)
        {
            bytes.splice(at..at + what.len(), instead.iter().copied());
            times += 1;
        }
    }
    assert!(times > 0, "nobody read \"{}\"", what.escape_ascii());
}

/// Judges only the order of events that clients saw.
fn clients_alone(plan: &Plan, entries: &[Entry]) -> Result<(), &'static str> {
    let history = History::new(plan, entries);
    let mut judged = Judged::default();
    linear::judge(plan, entries, &history, &mut judged).map_err(|finding| finding.check)?;
    tokens::judge(&history, &mut judged).map_err(|finding| finding.check)?;
    assert!(judged.tokens >= 3, "{judged:?}");
    Ok(())
}

#[test]
fn a_wait_that_got_more_than_there_was_is_seen_by_the_clients_alone() {
    let (plan, entries) = run_with_waits();
    assert_eq!(clients_alone(&plan, &entries), Ok(()));
    // The first client waits in vain, because the second has the lock.
    let mut lied = entries.clone();
    clients_read(&mut lied, b"0 Lock Get Timeout: job\n", GIVEN);
    assert_eq!(clients_alone(&plan, &lied), Err("clients see one order"));
    let mut lied = entries;
    clients_read(&mut lied, b"0 Shared Lock Get Failure: few\n", b"2 Shared Lock Get Success: few\n");
    assert_eq!(clients_alone(&plan, &lied), Err("clients see one order"));
}

#[test]
fn a_token_that_comes_again_after_a_restart_is_seen_by_the_clients_alone() {
    let (plan, mut entries) = run_with_waits();
    let history = History::new(&plan, &entries);
    let tokens: Vec<String> = history
        .connections
        .iter()
        .filter_map(|connection| connection.client.as_ref())
        .flat_map(|client| &client.requests)
        .filter(|request| request.command == Command::Fence(Kind::Exclusive, b"job".to_vec()))
        .filter_map(|request| request.answer.as_ref())
        .map(|(text, _)| String::from_utf8_lossy(text).into_owned())
        .collect();
    let [first, second, third, ..] = &tokens[..] else { panic!("{tokens:?}") };
    assert!(first < second && second < third, "{tokens:?}");
    clients_read(&mut entries, third.as_bytes(), second.as_bytes());
    assert_eq!(clients_alone(&plan, &entries), Err("tokens ascend"));
}

#[test]
fn a_grant_that_the_witness_did_not_see_is_missed() {
    let (plan, mut entries) = run_with_waits();
    let is_grant = |told: &Told| matches!(told, Told::Reply(reply) if reply == GIVEN);
    let mut taken = 0;
    for entry in &mut entries {
        if let Event::Applied(applied) = &mut entry.event {
            let causer = applied.input.conn();
            let before = applied.told.len();
            applied.told.retain(|(to, told)| Some(*to) == causer || !is_grant(told));
            taken += before - applied.told.len();
        }
    }
    assert!(taken > 0);
    assert_eq!(fallen(&plan, &entries), "replies come in order");
}
