//! Goal: the judges see what is wrong in a log. Method: a run that held is changed in one place, on the side of the
//! clients, of the witness, or of both. A witness that lies together with the server is found out by the order of
//! events that clients saw.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_core::{Command, Input, Kind, Verb};
use elockd_sim::accounts::RunAccounts;
use elockd_sim::draw;
use elockd_sim::history::History;
use elockd_sim::log::{Entry, Event, Told};
use elockd_sim::oracle::{Judged, accounts, judge, linear, sessions, tokens};
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

/// One client logs in to an account that may not say everything, and another does not log in.
fn run_with_accounts() -> (Plan, RunAccounts, Vec<Entry>) {
    let (plan, _) = run();
    let is_fit = |seed: &u64| {
        let accounts = RunAccounts::drawn(*seed);
        let web = &accounts.accounts[1];
        accounts.required
            && web.rules.prefixes().is_some()
            && web.rules.verbs().has(Verb::Query)
            && !web.all_figures
    };
    let seed = (0..1_000).find(is_fit).unwrap();
    let plan = Plan { scenario: Scenario::Accounts, seed, ..plan };
    let accounts = RunAccounts::of(&plan).unwrap();
    let (web, stranger) = (Client(1), Client(2));
    let say = |client, line: &str| Action::Say(client, format!("{line}\n").into_bytes());
    let script = [
        (1, Action::Open(web, Host(0))),
        (2, Action::Open(stranger, Host(0))),
        (10, say(web, "auth token-of-web")),
        (20, say(web, "g never allowed")),
        (30, say(web, "q")),
        (40, say(web, "ls")),
        (50, say(stranger, "i never allowed")),
        (60, say(stranger, "auth nobodys-token")),
    ];
    let script: Vec<Step> = script.into_iter().map(|(at_ms, action)| Step { at_ms, action }).collect();
    let run = verdict::run(&plan, &script);
    assert_eq!(run.violation, None);
    assert!(run.judged.refused >= 3, "{:?}", run.judged);
    (plan, accounts, run.report.entries)
}

/// Goal: whoever is told more than its account may is seen by the clients alone. Method: in a run that held, one answer
/// at a time is changed to one that says too much, or refuses too much.
#[test]
fn an_answer_that_is_not_for_its_account_is_seen_by_the_clients_alone() {
    let (plan, accounts, entries) = run_with_accounts();
    let web = &accounts.accounts[1];
    let own = format!("account: {}\n", web.name);
    // The start of an answer, and what it is changed to.
    let lies: [(&str, &[u8]); 7] = [
        ("0 Not Allowed: g\n", b"1 Lock Get Success: never allowed\n"),
        ("0 Not Allowed: g\n", b"0 Lock Get Failure: never allowed\n"),
        ("0 Auth Required\n", b"0 Lock Not Locked: never allowed\n"),
        ("0 Auth Failure\n", b"1 Auth Success: web\n"),
        ("1 Auth Success: web\n", b"1 Auth Success: cron\n"),
        ("1 Auth Success: web\n", b"0 Auth Failure\n"),
        (&own, b"connections: 3\n\n"),
    ];
    let judge = |entries: &[Entry]| accounts::judge(&plan, &History::new(&plan, entries));
    assert!(judge(&entries).unwrap() >= 3);
    for (truth, lie) in lies {
        let mut entries = entries.clone();
        let mut told = entries.iter_mut().filter_map(|entry| match &mut entry.event {
            Event::Received(_, bytes) if bytes.starts_with(truth.as_bytes()) => Some(bytes),
            _ => None,
        });
        *told.next().expect(truth) = lie.to_vec();
        let finding = judge(&entries).expect_err(truth);
        assert_eq!(finding.check, "nobody has more than its account may", "{truth}");
    }
}

/// The same for listings. The answer to `ls` is changed to one with a name that the account may not see, whether or not
/// it may list.
#[test]
fn a_name_that_was_not_to_be_seen_is_seen_by_the_clients_alone() {
    let (plan, _, entries) = run_with_accounts();
    let shown = b"x 1 0 10.0.0.1:5 never allowed\n\n";
    let is_ls = |bytes: &[u8]| bytes == b"\n" || bytes == b"0 Not Allowed: ls\n\n";
    let mut lied = entries;
    let told = lied.iter_mut().filter_map(|entry| match &mut entry.event {
        Event::Received(_, bytes) if is_ls(bytes) => Some(bytes),
        _ => None,
    });
    assert_eq!(told.map(|bytes| *bytes = shown.to_vec()).count(), 1);
    assert!(accounts::judge(&plan, &History::new(&plan, &lied)).is_err());
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
    let is_silent = |entry: &Entry| match &entry.event {
        Event::Applied(applied) => matches!(applied.input, Input::Tick | Input::Tokens { .. }),
        _ => false,
    };
    let at = entries.iter().position(is_silent).unwrap();
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
    some_read(entries, |_| true, what, instead);
}

/// Changes what one client read.
fn client_reads(entries: &mut [Entry], client: Client, what: &[u8], instead: &[u8]) {
    some_read(entries, |reader| reader == client, what, instead);
}

fn some_read(entries: &mut [Entry], is_meant: impl Fn(Client) -> bool, what: &[u8], instead: &[u8]) {
    let mut times = 0;
    for entry in entries {
        if let Event::Received(reader, bytes) = &mut entry.event
            && is_meant(*reader)
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

const FIRST: Client = Client(1);
const RIVAL: Client = Client(2);
const HEIR: Client = Client(3);
const STRANGER: Client = Client(4);

/// A client with grace closes while it holds two locks. Another client of its host says the key and releases one of
/// them. A rival asks for that lock all the time, and a stranger makes a key up.
fn run_with_a_session() -> (Plan, Vec<Entry>) {
    let (mut plan, _) = run();
    (plan.server.tokens, plan.server.linger_ms, plan.duration_ms) = (100, 1_000, 300);
    let say = |client, line: &[u8]| Action::Say(client, line.to_vec());
    let script = [
        (11, Action::Open(FIRST, Host(0))),
        (12, Action::Open(RIVAL, Host(0))),
        (13, Action::Open(STRANGER, Host(0))),
        (20, say(FIRST, b"linger 500\ng job\nf job\nsg pool\n")),
        (40, Action::Close(FIRST)),
        (60, say(RIVAL, b"g job\n")),
        (70, Action::Resume(STRANGER, STRANGER)),
        (80, Action::Open(HEIR, Host(0))),
        (100, Action::Resume(HEIR, FIRST)),
        (120, say(HEIR, b"f job\n")),
        (140, say(HEIR, b"r job\n")),
    ];
    let script: Vec<Step> = script.into_iter().map(|(at_ms, action)| Step { at_ms, action }).collect();
    let run = verdict::run(&plan, &script);
    assert_eq!(run.violation, None);
    assert_eq!(run.judged.passed, 2, "{:?}", run.judged);
    (plan, run.report.entries)
}

/// The check of the judge of sessions that a lie violates.
fn session_fallen(plan: &Plan, entries: &[Entry]) -> &'static str {
    sessions::judge(&History::new(plan, entries)).unwrap_err().check
}

#[test]
fn a_lock_that_another_got_while_it_lingered_is_seen_by_the_clients_alone() {
    let (plan, mut entries) = run_with_a_session();
    client_reads(&mut entries, RIVAL, REFUSED, GIVEN);
    assert_eq!(session_fallen(&plan, &entries), "a resumed lock was never free in between");
    assert_eq!(clients_alone_of_locks(&plan, &entries), Err("clients see one order"));
}

#[test]
fn another_token_after_a_resume_is_seen_by_the_clients_alone() {
    let (plan, entries) = run_with_a_session();
    let history = History::new(&plan, &entries);
    let requests = history.connections.iter().filter_map(|connection| connection.client.as_ref());
    let heir = requests.into_iter().find(|client| client.client == HEIR).unwrap();
    let token = heir.requests[1].answer.clone().unwrap().0;
    let mut lied = entries.clone();
    client_reads(&mut lied, HEIR, &token, b"999999 Lock Fence: job\n");
    assert_eq!(session_fallen(&plan, &lied), "a resumed lock was never free in between");
    let mut lied = entries;
    client_reads(&mut lied, HEIR, &token, b"0 Lock Not Held: job\n");
    assert_eq!(session_fallen(&plan, &lied), "a resumed lock was never free in between");
    assert_eq!(clients_alone_of_locks(&plan, &lied), Err("clients see one order"));
}

#[test]
fn a_key_that_nobody_was_told_is_seen_by_the_clients_alone() {
    let (plan, mut entries) = run_with_a_session();
    client_reads(&mut entries, STRANGER, b"0 Resume Failure\n", b"1 Resume Success: 0\n");
    assert_eq!(session_fallen(&plan, &entries), "nobody resumes with another's key");
}

#[test]
fn a_key_that_gives_other_holds_is_seen_by_the_clients_alone() {
    let (plan, entries) = run_with_a_session();
    for holds in [0, 1, 3] {
        let mut lied = entries.clone();
        let said = format!("1 Resume Success: {holds}\n").into_bytes();
        client_reads(&mut lied, HEIR, b"1 Resume Success: 2\n", &said);
        assert_eq!(session_fallen(&plan, &lied), "nobody resumes with another's key", "{holds}");
    }
}

#[test]
fn a_resume_that_the_reference_refuses_is_seen() {
    let (plan, mut entries) = run_with_a_session();
    let (refused, given) = (b"0 Resume Failure\n", b"1 Resume Success: 0\n".to_vec());
    client_reads(&mut entries, STRANGER, refused, &given);
    for entry in &mut entries {
        if let Event::Applied(applied) = &mut entry.event {
            let told = applied.told.iter_mut().filter(|(_, told)| *told == Told::Reply(refused.to_vec()));
            told.for_each(|(_, told)| *told = Told::Reply(given.clone()));
        }
    }
    assert_eq!(fallen(&plan, &entries), "the reference model agrees");
}

/// Judges only the order of what clients saw of each lock.
fn clients_alone_of_locks(plan: &Plan, entries: &[Entry]) -> Result<(), &'static str> {
    let mut judged = Judged::default();
    linear::judge(plan, entries, &History::new(plan, entries), &mut judged).map_err(|finding| finding.check)
}
