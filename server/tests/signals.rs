//! Goal: no signal ends the daemon but those that should, from the first thing it does to the last; and a SIGHUP is
//! never lost. Method: signals while the daemon reads its settings, which a pipe in place of their file holds up for as
//! long as the test likes; then the same signals while a lock is held.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;
use support::{Daemon, PATIENCE, poll, program};
use tempfile::TempDir;

/// Signals that end a process by default and have no meaning for the daemon, as `kill` takes them: by name, and
/// real-time signals by number.
const WITHOUT_MEANING: [&str; 12] =
    ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "PIPE", "XFSZ", "34", "64"];

fn send(daemon: &Daemon, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &daemon.pid().to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {signal}");
}

/// A daemon that reads its settings and does not get on, because they come out of a pipe. Writing to the file lets it.
fn held_up_at_its_settings(threads: &str) -> (Daemon, fs::File) {
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("elockd.toml");
    mknodat(CWD, &config, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut command = Command::new("env");
    // A shell has its background jobs ignore SIGINT. If it is one that runs the tests, the daemon must not.
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_elockd")]);
    command.args(["--listen", "127.0.0.1:0", "--threads", threads, "--config"]).arg(&config);
    let daemon = Daemon::spawn(command, dir);
    // It opens once the daemon opens it too, and not before.
    let opened = OpenOptions::new().write(true).open(&config).unwrap();
    (daemon, opened)
}

#[test]
fn signals_before_the_settings_are_read_neither_end_it_nor_are_lost() {
    for threads in ["1", "2"] {
        let (mut daemon, mut config) = held_up_at_its_settings(threads);
        daemon.signal(Signal::HUP);
        for signal in WITHOUT_MEANING {
            send(&daemon, signal);
        }
        daemon.signal(Signal::HUP);
        // What it reads on SIGHUP.
        let path = daemon.folder().join("elockd.toml");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "max-listing-bytes = 2000\n").unwrap();
        config.write_all(b"max-listing-bytes = 1000\n").unwrap();
        drop(config);
        daemon.wait_for_log("reloaded on SIGHUP, 1 settings changed");
        assert_eq!(daemon.tcp().ask("ping"), "1 pong");
        daemon.stop();
    }
}

#[test]
fn signals_that_end_it_do_so_before_the_settings_are_read_too() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut daemon, config) = held_up_at_its_settings("1");
        daemon.signal(signal);
        let (status, log) = daemon.wait();
        assert!(!status.success(), "{log}");
        drop(config);
    }
}

#[test]
fn signals_without_a_meaning_leave_a_held_lock_alone() {
    let mut daemon = Daemon::start(&[]);
    let mut client = daemon.tcp();
    assert_eq!(client.ask("g a"), "1 Lock Get Success: a");
    for _ in 0..3 {
        for signal in WITHOUT_MEANING {
            send(&daemon, signal);
            assert_eq!(client.ask("ping"), "1 pong", "after {signal}");
        }
    }
    assert_eq!(client.ask("i a"), "1 Lock Is Locked: a");
    assert!(!daemon.log().contains("reloaded"), "{}", daemon.log());
    daemon.stop();
}

#[test]
fn a_hangup_at_any_moment_of_a_start_does_not_end_it() {
    for _ in 0..20 {
        let mut command = program();
        command.args(["--listen", "127.0.0.1:0"]);
        let daemon = Daemon::spawn(command, TempDir::new().unwrap());
        // By then it has done the first thing it does. Before that it is not the daemon yet, but the system's loader.
        let is_ready = || catches(daemon.pid(), Signal::HUP).then_some(());
        poll("the daemon to begin", PATIENCE, is_ready);
        hang_up_until_it_reloads(&daemon);
    }
}

#[test]
fn a_hangup_does_not_even_end_the_loader_if_it_is_ignored_there() {
    for _ in 0..20 {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "trap '' HUP; echo ignored >&2; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_elockd"),
        ]);
        command.args(["--listen", "127.0.0.1:0"]);
        let daemon = Daemon::spawn(command, TempDir::new().unwrap());
        daemon.wait_for_log("ignored");
        hang_up_until_it_reloads(&daemon);
    }
}

/// Sends one SIGHUP after the other, until it has read its settings again: some come at each moment of its start.
fn hang_up_until_it_reloads(daemon: &Daemon) {
    let reloads = || {
        daemon.signal(Signal::HUP);
        daemon.log().contains("reloaded on SIGHUP").then_some(())
    };
    poll("the daemon to reload", PATIENCE, reloads);
    assert_eq!(daemon.tcp().ask("ping"), "1 pong");
}

/// Whether a process has said what to do on a signal.
fn catches(process: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    caught & (1 << (signal.as_raw() - 1)) != 0
}
