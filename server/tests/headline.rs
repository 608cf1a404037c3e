//! Goal: the daemon's reason to be. A hundred thousand locks, held by two thousand connections, are
//! all free very soon after all of those end at once, and the figures are exact. Method: real TCP
//! connections; an observer asks for every lock, over and over, until all are free, while a probe
//! measures how long a single request takes meanwhile. Times are printed, not asserted; counts,
//! memory and file descriptors are asserted. All of it happens twice, so that what is left behind by
//! the first round would show.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Client, Daemon, PATIENCE, lines, poll, tell};

const CONNECTIONS: usize = 2000;
const LOCKS_PER_CONNECTION: usize = 50;
/// Of each kind, on each connection.
const HALF: usize = LOCKS_PER_CONNECTION / 2;
/// So many connections hold each shared lock.
const HOLDERS: usize = 5;

const EXCLUSIVE_HOLDS: usize = CONNECTIONS * HALF;
const SHARED_HOLDS: usize = CONNECTIONS * HALF;
const HOLDS: usize = EXCLUSIVE_HOLDS + SHARED_HOLDS;
const SHARED_LOCKS: usize = SHARED_HOLDS / HOLDERS;

/// Far beyond what it takes: it is here to end a run that would never end.
const DEADLINE: Duration = Duration::from_mins(1);

/// What the first round may leave in memory. Measured: 8.2 MiB while the locks are held, 4.2 afterwards,
/// which are the connections' small blocks and what is kept for the next ones.
const LEFT_KIB_MAX: u64 = 6 << 10;
/// What the second round may leave on top of that. Measured: 0.5 MiB.
const GROWN_KIB_MAX: u64 = 2 << 10;

#[test]
fn a_hundred_thousand_locks_of_two_thousand_connections_are_free_at_once() {
    let wanted = CONNECTIONS as u64 + 100;
    if !raise_descriptor_limit(wanted) {
        return tell(format!("SKIPPED: needs a limit of {wanted} file descriptors"));
    }
    let mut daemon = Daemon::start(&[]);
    let (mut observer, mut probe) = (daemon.tcp(), daemon.tcp());
    observer.figures();
    probe.ask("ping");
    let start_kib = daemon.memory_kib();
    let start_descriptors = daemon.descriptors();

    let mut left_kib_max = start_kib + LEFT_KIB_MAX;
    for round in [1, 2] {
        let clients = take_locks(&daemon);
        check_held(&mut observer, round);
        let loaded_kib = daemon.memory_kib();
        let latency_before = worst_latency(&mut probe, &AtomicBool::new(true));

        let all_free = AtomicBool::new(false);
        let (free_after, latency_meanwhile) = std::thread::scope(|scope| {
            let probing = scope.spawn(|| worst_latency(&mut probe, &all_free));
            let watching = scope.spawn(|| watch_until_free(&mut observer, &all_free));
            drop(clients);
            let closed = Instant::now();
            let free = watching.join().unwrap();
            (free.saturating_duration_since(closed), probing.join().unwrap())
        });
        check_free(&mut observer, round);
        let are_closed = || (daemon.descriptors() == start_descriptors).then_some(());
        poll("the daemon to have closed all sockets", DEADLINE, are_closed);
        let is_given_back = || Some(daemon.memory_kib()).filter(|kib| *kib <= left_kib_max);
        let left_kib = poll(&format!("memory to go down to {left_kib_max} KiB"), PATIENCE, is_given_back);
        left_kib_max = left_kib + GROWN_KIB_MAX;

        // The kernel brings the peak up to date less often than the rest.
        let peak_kib = daemon.peak_memory_kib().max(loaded_kib);
        tell(format!("headline, round {round}: {HOLDS} locks of {CONNECTIONS} connections"));
        tell(format!("  seen free {free_after:.1?} after the last close"));
        tell(format!(
            "  worst single request {latency_meanwhile:.1?} meanwhile, {latency_before:.1?} before"
        ));
        tell(format!("  memory {start_kib} KiB at the start, at most {peak_kib}, {left_kib} afterwards"));
    }
    daemon.stop();
}

/// For this process and, by inheritance, for the daemon.
fn raise_descriptor_limit(wanted: u64) -> bool {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    maximum.is_none_or(|maximum| maximum >= wanted)
}

fn exclusive_name(number: usize) -> String {
    format!("exclusive {number}")
}

fn shared_name(number: usize) -> String {
    format!("shared {number}")
}

fn take_locks(daemon: &Daemon) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| daemon.tcp()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let exclusive = (number * HALF..(number + 1) * HALF).map(exclusive_name);
        let first_shared = number / HOLDERS * HALF;
        let shared = (first_shared..first_shared + HALF).map(shared_name);
        let holders = number % HOLDERS + 1;

        client.send(lines("g ", exclusive.clone()) + &lines("sg ", shared.clone()));
        client.expect(lines("1 Lock Get Success: ", exclusive));
        client.expect(lines(&format!("{holders} Shared Lock Get Success: "), shared));
    }
    clients
}

fn check_held(observer: &mut Client, round: u64) {
    let figures = observer.figures();
    assert_eq!(figures["connections"], CONNECTIONS as u64 + 2);
    assert_eq!(figures["locks"], EXCLUSIVE_HOLDS as u64);
    assert_eq!(figures["shared_locks"], SHARED_LOCKS as u64);
    assert_eq!(figures["shared_holds"], SHARED_HOLDS as u64);
    assert_eq!(figures["orphans"], (round - 1) * EXCLUSIVE_HOLDS as u64);
    assert_eq!(figures["shared_orphans"], (round - 1) * SHARED_HOLDS as u64);
    let last = (exclusive_name(EXCLUSIVE_HOLDS - 1), shared_name(SHARED_LOCKS - 1));
    assert_eq!(observer.ask(&format!("i {}", last.0)), format!("1 Lock Is Locked: {}", last.0));
    assert_eq!(
        observer.ask(&format!("si {}", last.1)),
        format!("{HOLDERS} Shared Lock Is Locked: {}", last.1)
    );
}

/// As soon as every single lock was seen free, the figures have to say the same.
fn check_free(observer: &mut Client, round: u64) {
    let figures = observer.figures();
    assert_eq!(figures["connections"], 2);
    assert_eq!((figures["locks"], figures["shared_locks"]), (0, 0));
    assert_eq!((figures["holds"], figures["shared_holds"]), (0, 0));
    assert_eq!(figures["orphans"], round * EXCLUSIVE_HOLDS as u64);
    assert_eq!(figures["shared_orphans"], round * SHARED_HOLDS as u64);
}

/// Asks for every lock that was not seen free yet, over and over; tells when there is none left.
fn watch_until_free(observer: &mut Client, all_free: &AtomicBool) -> Instant {
    let exclusive = (0..EXCLUSIVE_HOLDS).map(|number| format!("i {}\n", exclusive_name(number)));
    let shared = (0..SHARED_LOCKS).map(|number| format!("si {}\n", shared_name(number)));
    let mut held: Vec<String> = exclusive.chain(shared).collect();
    let mut writer = observer.twin();
    let start = Instant::now();
    while !held.is_empty() {
        assert!(start.elapsed() < DEADLINE, "{} locks are still not free", held.len());
        let requests = held.concat();
        std::thread::scope(|scope| {
            scope.spawn(|| writer.send(requests));
            held.retain(|_| !observer.line().starts_with("0 "));
        });
    }
    let free = Instant::now();
    all_free.store(true, Ordering::Release);
    free
}

/// The longest of at least a thousand single requests, and of all until `done`.
fn worst_latency(probe: &mut Client, done: &AtomicBool) -> Duration {
    let name = exclusive_name(EXCLUSIVE_HOLDS / 2);
    let mut worst = Duration::ZERO;
    let mut count = 0;
    while count < 1000 || !done.load(Ordering::Acquire) {
        let start = Instant::now();
        let reply = probe.ask(&format!("i {name}"));
        worst = worst.max(start.elapsed());
        assert!(reply.ends_with(&name), "{reply}");
        count += 1;
    }
    worst
}
