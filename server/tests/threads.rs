//! Goal: several threads that serve connections keep every promise. Method: the built daemon with four of them, and
//! clients that hold locks against each other; what a holder finds is what nobody else may touch meanwhile.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use support::{Daemon, tell};

const CLIENTS: usize = 16;
const TURNS: usize = 200;

fn start() -> Daemon {
    let daemon = Daemon::start(&["--threads", "4"]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count();
    assert!(tasks >= 4, "{tasks} threads");
    daemon
}

#[test]
fn a_lock_has_one_holder_whoever_waits_polls_or_dies() {
    let daemon = start();
    let is_held = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicU64::new(0));
    let clients = (0..CLIENTS).map(|number| {
        let mut client = daemon.tcp();
        let (is_held, turns) = (Arc::clone(&is_held), Arc::clone(&turns));
        let address = daemon.tcp_address();
        thread::spawn(move || {
            for turn in 0..TURNS {
                // Some wait in line, some ask until they get it.
                while client.ask(if number % 4 == 0 { "g x" } else { "gw 60000 x" })
                    != "1 Lock Get Success: x"
                {}
                assert!(!is_held.swap(true, Ordering::SeqCst), "two holders");
                turns.fetch_add(1, Ordering::SeqCst);
                assert!(is_held.swap(false, Ordering::SeqCst));
                if turn % 16 == 15 {
                    // The end of the connection releases it.
                    client = support::Client::tcp(address);
                } else {
                    assert_eq!(client.ask("r x"), "1 Lock Release Success: x");
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(turns.load(Ordering::SeqCst), (CLIENTS * TURNS) as u64);
    tell(format!("{} turns on four threads", CLIENTS * TURNS));
}

#[test]
fn everything_is_free_and_counted_after_all_have_died_at_once() {
    let daemon = start();
    let mut clients: Vec<_> = (0..100).map(|_| daemon.tcp()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let gets: Vec<_> = (0..50).map(|name| format!("g {number}.{name}\nsg {name}\n")).collect();
        client.send(gets.concat());
    }
    for client in &mut clients {
        (0..100).for_each(|_| assert!(!client.line().starts_with('0')));
    }
    let mut observer = daemon.unix();
    assert_eq!((observer.figure("locks"), observer.figure("shared_locks")), (5000, 50));
    drop(clients);
    while observer.figure("connections") > 1 {}
    for (key, expected) in [("locks", 0), ("shared_locks", 0), ("orphans", 5000), ("shared_orphans", 5000)] {
        assert_eq!(observer.figure(key), expected, "{key}");
    }
}
