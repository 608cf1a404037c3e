//! Goal: holds outlive their connection on request, on real sockets, and a key is a secret. Method: clients that break
//! and come back, an old connection that is still there, and a look at all that the daemon shows.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use std::collections::BTreeSet;
use support::{Client, Daemon, PATIENCE, get, poll};

/// Asks for grace. Returns the key.
fn linger(client: &mut Client, ms: u32) -> String {
    let answer = client.ask(&format!("linger {ms}"));
    let words: Vec<&str> = answer.split(' ').collect();
    assert_eq!((&words[..3], words[4]), (&["1", "Linger", "Success:"][..], &*ms.to_string()), "{answer}");
    assert!(
        words[3].len() == 32 && words[3].bytes().all(|byte| b"0123456789abcdef".contains(&byte)),
        "{answer}"
    );
    words[3].to_owned()
}

#[test]
fn a_client_that_broke_has_its_locks_again_and_they_were_never_free() {
    let daemon = Daemon::start(&[]);
    let (mut alice, mut bob) = (daemon.tcp(), daemon.tcp());
    let key = linger(&mut alice, 60_000);
    assert_eq!(alice.ask("g job"), "1 Lock Get Success: job");
    let address = alice.address();
    alice.reset();
    poll("the end of the connection", PATIENCE, || (bob.figure("lingering") == 1).then_some(()));
    assert_eq!(bob.ask("g job"), "0 Lock Get Failure: job");
    bob.send("d\n");
    assert_eq!(bob.lines(), [format!("job: ~{address}")]);
    let mut again = daemon.unix();
    assert_eq!(again.ask(&format!("resume {key}")), "1 Resume Success: 1");
    assert_eq!(again.ask("r job"), "1 Lock Release Success: job");
    let figures = bob.figures();
    assert_eq!((figures["lingering"], figures["resumed"], figures["orphans"]), (0, 1, 0));
}

#[test]
fn an_old_connection_that_is_still_there_ends_without_a_word() {
    let daemon = Daemon::start(&[]);
    for old_waits in [false, true] {
        let (mut old, mut holder) = (daemon.tcp(), daemon.tcp());
        let key = linger(&mut old, 60_000);
        assert_eq!(old.ask("sg pool"), "1 Shared Lock Get Success: pool");
        assert_eq!(holder.ask("g other"), "1 Lock Get Success: other");
        if old_waits {
            old.send("gw 60000 other\nping\n");
            poll("the wait", PATIENCE, || (holder.figure("waiters") == 1).then_some(()));
        }
        let mut new = daemon.tcp();
        assert_eq!(new.ask(&format!("resume {key}")), "1 Resume Success: 1");
        old.expect_end();
        assert_eq!(
            (new.ask("si pool"), holder.figure("waiters")),
            ("1 Shared Lock Is Locked: pool".to_owned(), 0)
        );
        assert_eq!(new.ask("quit; not"), "0 Unknown Command: quit;");
        new.send("quit\n");
        new.expect_end();
        poll("the release", PATIENCE, || (holder.figure("shared_holds") == 0).then_some(()));
        holder.send("quit\n");
        holder.expect_end();
    }
}

#[test]
fn what_nobody_resumes_is_orphaned_when_it_is_due() {
    let daemon = Daemon::start(&["--max-linger=2s"]);
    let (mut alice, mut bob) = (daemon.tcp(), daemon.tcp());
    assert_eq!(alice.ask("linger 2001"), "0 Linger Failure");
    let key = linger(&mut alice, 300);
    assert_eq!(alice.ask("g job"), "1 Lock Get Success: job");
    drop(alice);
    // Granted by the end of the session: the ticker wakes for it.
    assert_eq!(bob.ask("gw 60000 job"), "1 Lock Get Success: job");
    assert_eq!(
        (bob.figure("orphans"), bob.ask(&format!("resume {key}"))),
        (1, "0 Resume Failure".to_owned())
    );
}

#[test]
fn each_start_has_keys_of_its_own() {
    let keys: BTreeSet<String> = (0..3).map(|_| linger(&mut Daemon::start(&[]).tcp(), 10)).collect();
    assert_eq!(keys.len(), 3);
}

#[test]
fn a_key_is_shown_to_its_connection_alone() {
    let flags = ["--verbose", "--warn-held=1s", "--metrics-listen", "127.0.0.1:0"];
    let mut daemon = Daemon::start(&flags);
    let (mut alice, mut bob) = (daemon.tcp(), daemon.tcp());
    let key = linger(&mut alice, 60_000);
    assert_eq!(alice.ask("g job"), "1 Lock Get Success: job");
    assert_eq!(bob.ask("g other"), "1 Lock Get Success: other");
    assert_eq!(bob.ask(&format!("resume {key}")), "0 Resume Failure");
    assert_eq!(alice.ask(&format!("resume {key}")), "1 Resume Success: 1");
    drop(alice);
    poll("the end of the connection", PATIENCE, || (bob.figure("lingering") == 1).then_some(()));
    daemon.wait_for_log("has been held for");
    let mut shown = String::new();
    for request in ["ls", "d", "sd", "who", "q full", "help"] {
        bob.send(format!("{request}\n"));
        shown += &bob.lines().join("\n");
    }
    shown += &bob.ask("dump");
    shown += &get(daemon.metrics_address(), "/metrics").1;
    let mut new = daemon.tcp();
    assert_eq!(new.ask(&format!("resume {key}")), "1 Resume Success: 1");
    let mut newer = daemon.tcp();
    assert_eq!(newer.ask(&format!("resume {key}")), "1 Resume Success: 1");
    new.expect_end();
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.wait();
    assert!(status.success());
    for told in [
        "asked for its locks to linger for 60000 ms",
        " resumed",
        "failed to resume",
        "left behind lock \"job\"",
    ] {
        assert!(log.contains(told), "{told:?} is not in the log: {log}");
    }
    shown += &log;
    assert!(shown.contains("job") && !shown.contains(&key), "the key {key} is shown: {shown}");
}
