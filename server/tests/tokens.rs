//! Goal: fencing tokens ascend whatever becomes of the daemon, and locks go on when there are none. Method: start it on
//! a state directory again and again, after ends of every sort; spoil what is in there; and take its disk away by a
//! limit on the size of files, which holds for every user.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Client, Daemon, PATIENCE, poll, program};
use tempfile::TempDir;

/// A place for a state directory.
fn state() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("state");
    (parent, dir)
}

fn start(dir: &Path) -> Daemon {
    Daemon::start(&["--state-dir", dir.to_str().unwrap()])
}

/// The number in an answer to `f`.
fn number(answer: &str) -> u64 {
    let number = answer.strip_suffix(" Lock Fence: a").unwrap_or_else(|| panic!("{answer}"));
    number.parse().unwrap()
}

/// A new token.
fn token(client: &mut Client) -> u64 {
    client.send("g a\nf a\nr a\n");
    assert_eq!(client.line(), "1 Lock Get Success: a");
    let token = number(&client.line());
    assert_eq!(client.line(), "1 Lock Release Success: a");
    token
}

/// Starts it where it has to refuse to: the last line that it wrote.
fn refused(dir: &Path) -> String {
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(dir);
    let (status, log) = Daemon::spawn(command, TempDir::new().unwrap()).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    let line = log.lines().find(|line| line.starts_with("elockd: ")).unwrap_or_else(|| panic!("{log}"));
    line.to_owned()
}

#[test]
fn tokens_ascend_over_restarts_and_kills() {
    let (_parent, dir) = state();
    let mut last = 0;
    for round in 0..6 {
        let mut daemon = start(&dir);
        // The very first request may be for one.
        for _ in 0..3 {
            let token = token(&mut daemon.unix());
            assert!(token > last, "{token} after {last} in round {round}");
            last = token;
        }
        if round % 2 == 0 {
            daemon.kill();
        } else {
            daemon.stop();
        }
    }
    assert!(last < 1 << 53);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_token_costs_no_write() {
    let (_parent, dir) = state();
    let daemon = start(&dir);
    let mut client = daemon.unix();
    let first = token(&mut client);
    let before = fs::read_to_string(dir.join("tokens")).unwrap();
    for _ in 0..1000 {
        token(&mut client);
    }
    assert_eq!(token(&mut client), first + 1001, "and none is left out");
    assert_eq!(fs::read_to_string(dir.join("tokens")).unwrap(), before);
    let reserved = before.lines().find_map(|line| line.strip_prefix("reserved up to ")).unwrap();
    assert!(reserved.parse::<u64>().unwrap() > first + 1001, "{before}");
}

#[test]
fn without_a_state_directory_they_ascend_with_the_clock() {
    let mut last = 0;
    for _ in 0..3 {
        let daemon = Daemon::start(&[]);
        for _ in 0..2 {
            let token = token(&mut daemon.unix());
            assert!(token > last, "{token} after {last}");
            last = token;
        }
        daemon.kill();
    }
}

#[test]
fn they_go_on_ascending_when_a_state_directory_comes_and_when_an_old_one_comes_back() {
    let (_parent, dir) = state();
    let old = token(&mut start(&dir).unix());
    let without = token(&mut Daemon::start(&[]).unix());
    // The record is older than what was given out without it.
    let with = token(&mut start(&dir).unix());
    assert!(old < without && without < with, "{old}, {without}, {with}");
    let (_parent, dir) = state();
    let with_another = token(&mut start(&dir).unix());
    assert!(without < with_another, "{without}, {with_another}");
}

#[test]
fn a_state_directory_is_one_daemons_alone() {
    let (_parent, dir) = state();
    let first = start(&dir);
    let refusal = refused(&dir);
    assert!(refusal.contains("is locked by another daemon: stop that one first"), "{refusal}");
    let mut client = first.unix();
    let token_of_first = token(&mut client);
    first.kill();
    assert!(token(&mut start(&dir).unix()) > token_of_first);
}

#[test]
fn a_record_that_is_not_whole_or_not_ours_is_refused_and_left_as_it_is() {
    let (_parent, dir) = state();
    token(&mut start(&dir).unix());
    let path = dir.join("tokens");
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    changed[40] ^= 1;
    let table: [(&[u8], &str); 6] = [
        (&whole[..whole.len() / 2], "is damaged, and is left as it is: look for what harmed it"),
        (b"", "is damaged"),
        (&changed, "is damaged"),
        (b"#!/bin/sh\n", "is not what elockd writes there, and is left as it is: give --state-dir another"),
        (&b"x".repeat(100_000), "is not what elockd writes there"),
        (b"elockd fencing tokens\nformat 2\n", "has format 2, of a newer elockd, and is left as it is"),
    ];
    for (bytes, reason) in table {
        fs::write(&path, bytes).unwrap();
        let refusal = refused(&dir);
        assert!(refusal.contains(reason) && refusal.contains(path.to_str().unwrap()), "{refusal}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    // As the message says: moved away, the clock has to do.
    fs::remove_file(&path).unwrap();
    token(&mut start(&dir).unix());
    fs::write(&path, &whole).unwrap();
    token(&mut start(&dir).unix());
}

#[test]
fn a_directory_that_cannot_be_had_is_refused() {
    let (parent, dir) = state();
    let refusal = refused(&dir.join("below"));
    assert!(refusal.contains("cannot use the state directory: ") && refusal.contains("below"), "{refusal}");
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refused(&file).contains("cannot use the state directory: "));
}

#[test]
fn with_a_full_disk_locks_go_on_and_tokens_when_there_is_room_again() {
    let (_parent, dir) = state();
    // No file may have a byte, and whoever writes one is told so instead of being killed.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_elockd")]);
    let flags = ["--state-dir", dir.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
    let daemon = Daemon::start_by(command, &flags);
    let mut client = daemon.unix();
    client.send("g a\nf a\n");
    client.expect("1 Lock Get Success: a\n0 No Tokens\n");
    let line = daemon.wait_for_log("cannot reserve fencing tokens, trying again every second");
    assert!(line.contains("WARN"), "{line}");
    let failures = || {
        let (_, metrics) = support::get(daemon.metrics_address(), "/metrics");
        let count =
            metrics.lines().find_map(|line| line.strip_prefix("elockd_token_reservations_failed_total "));
        count.unwrap().parse::<u64>().unwrap()
    };
    poll("it to try again", PATIENCE, || (failures() >= 2).then_some(()));
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap());
    let room = Rlimit { current: None, maximum: None };
    prlimit(pid, Resource::Fsize, room).unwrap();
    daemon.wait_for_log("reserving fencing tokens works again");
    // The hold that was there all the time gets its token too.
    let given = number(&client.ask("f a"));
    assert_eq!(daemon.log().matches("cannot reserve fencing tokens").count(), 1, "{}", daemon.log());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing is left over of the failures");
    daemon.kill();
    assert!(token(&mut start(&dir).unix()) > given);
}
