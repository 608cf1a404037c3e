//! Goal: at most one daemon has a path, whatever the timing: a Unix socket, the administrative one, a pidfile, a state
//! directory. Each removes at its end what is its own and nothing else. Method: several daemons are started at one
//! moment for one path, which is free, in use, or left behind; then all but one must end and say why.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use std::fs::{self, File};
use std::io::{PipeWriter, Read, pipe};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Client, Guard, PATIENCE, poll, program};
use tempfile::TempDir;

/// Daemons of one start.
const TOGETHER: usize = 6;
/// Starts of each kind: without the lock of the path, one in fifteen went wrong.
const ROUNDS: usize = 24;

/// Processes that begin to be daemons when the gate is dropped, all at one moment.
fn at_a_gate(count: usize, flags: &[&str]) -> (Vec<Guard>, PipeWriter) {
    let (start, gate) = pipe().unwrap();
    let waiting = (0..count).map(|_| {
        let mut command = Command::new("sh");
        // The end of the input is the sign.
        command.args(["-c", "read -r sign; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_elockd"), "--port", "0"]);
        command.args(flags).stdin(start.try_clone().unwrap()).stdout(Stdio::null()).stderr(Stdio::piped());
        Guard::new(command.spawn().unwrap())
    });
    (waiting.collect(), gate)
}

/// Starts several daemons at one moment. Returns the one that lives, once all others have ended with status 1 and a
/// reason that contains this.
fn only_one(flags: &[&str], reason: &str) -> Guard {
    let (mut daemons, gate) = at_a_gate(TOGETHER, flags);
    drop(gate);
    let all_but_one = || {
        let ended = daemons.iter_mut().filter_map(|daemon| daemon.0.try_wait().unwrap()).count();
        (ended >= TOGETHER - 1).then_some(())
    };
    poll("all daemons but one to end", PATIENCE, all_but_one);
    let mut living = None;
    for mut daemon in daemons {
        if let Some(status) = daemon.0.try_wait().unwrap() {
            let mut log = String::new();
            daemon.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            assert_eq!(status.code(), Some(1), "{log}");
            assert!(log.contains(reason), "no {reason:?} in {log}");
        } else {
            living = Some(daemon);
        }
    }
    living.expect("one daemon lives")
}

/// A client of the only daemon there is, which must answer.
fn client_of(socket: &Path, daemon: &Guard) -> Client {
    let connects = || std::os::unix::net::UnixStream::connect(socket).is_ok().then(|| Client::unix(socket));
    let mut client = poll("the socket to answer", PATIENCE, connects);
    assert_eq!(client.figure("pid"), u64::from(daemon.0.id()));
    client
}

#[test]
fn of_daemons_started_together_on_one_socket_one_lives() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("elockd.sock");
    let path = socket.to_str().unwrap();
    for round in 0..ROUNDS {
        // In turn: no file; a file that a killed daemon left, and a lock with it; such a file without a lock.
        if round % 3 == 2 {
            let _ = fs::remove_file(&socket);
            fs::remove_file(dir.path().join("elockd.sock.lock")).unwrap();
            drop(UnixListener::bind(&socket).unwrap());
        }
        assert_eq!(socket.exists(), round % 3 > 0, "round {round}");
        let mut daemon = only_one(&["--unix", path], path);
        assert_eq!(client_of(&socket, &daemon).ask("g a"), "1 Lock Get Success: a");
        if round % 3 == 0 {
            daemon.signal(Signal::KILL);
            daemon.wait(PATIENCE);
        } else {
            daemon.signal(Signal::TERM);
            assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
            assert!(!socket.exists(), "its own file is removed");
            if round % 3 == 1 {
                drop(UnixListener::bind(&socket).unwrap());
            }
        }
    }
}

#[test]
fn of_daemons_started_while_another_ends_one_lives_at_the_most_and_has_its_socket() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("elockd.sock");
    let flags = ["--unix", socket.to_str().unwrap()];
    for round in 0..ROUNDS {
        let mut first = only_one(&flags, "");
        drop(client_of(&socket, &first));
        let (mut daemons, gate) = at_a_gate(TOGETHER, &flags);
        first.signal(if round % 4 == 3 { Signal::KILL } else { Signal::TERM });
        drop(gate);
        first.wait(PATIENCE);
        // All have ended, because the first had not yet, or one is left and answers at the path.
        let settled = || {
            daemons.retain_mut(|daemon| match daemon.0.try_wait().unwrap() {
                Some(status) => {
                    assert_eq!(status.code(), Some(1));
                    false
                }
                None => true,
            });
            let is_up = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
            (daemons.is_empty() || daemons.len() == 1 && is_up()).then_some(())
        };
        poll("one daemon at the most", PATIENCE, settled);
        for mut daemon in daemons {
            drop(client_of(&socket, &daemon));
            daemon.signal(Signal::TERM);
            assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
            assert!(!socket.exists(), "its own file is removed");
        }
    }
}

#[test]
fn of_daemons_started_together_on_one_administrative_socket_one_lives() {
    let dir = TempDir::new().unwrap();
    let admin = dir.path().join("admin.sock");
    for round in 0..ROUNDS / 2 {
        if round % 2 == 1 {
            drop(UnixListener::bind(&admin).unwrap());
        }
        let path = admin.to_str().unwrap();
        let mut daemon = only_one(&["--listen", "127.0.0.1:0", "--admin-unix", path], path);
        assert_eq!(client_of(&admin, &daemon).ask("kick 1.2.3.4:5").get(..1), Some("0"));
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
        assert!(!admin.exists());
    }
}

#[test]
fn of_daemons_started_together_on_one_pidfile_or_state_directory_one_lives() {
    let dir = TempDir::new().unwrap();
    let (pidfile, state) = (dir.path().join("pid"), dir.path().join("state"));
    for (flag, path) in [("--pidfile", &pidfile), ("--state-dir", &state)] {
        for round in 0..ROUNDS / 2 {
            let path = path.to_str().unwrap();
            let mut daemon = only_one(&["--listen", "127.0.0.1:0", flag, path], path);
            daemon.signal(if round % 2 == 0 { Signal::KILL } else { Signal::TERM });
            daemon.wait(PATIENCE);
            assert_eq!(pidfile.exists(), flag == "--pidfile" && round % 2 == 0);
        }
    }
}

#[test]
fn a_stopped_daemon_and_one_whose_backlog_is_full_keep_their_socket() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("elockd.sock");
    let path = socket.to_str().unwrap();
    let mut daemon = only_one(&["--unix", path], path);
    let mut client = client_of(&socket, &daemon);
    daemon.signal(Signal::STOP);
    let reason = refused(path);
    assert!(reason.contains("elockd.sock.lock"), "{reason}");
    // Somebody has removed the lock: then the socket itself says that it is in use.
    fs::remove_file(dir.path().join("elockd.sock.lock")).unwrap();
    let reason = refused(path);
    assert!(reason.contains("another process listens there already"), "{reason}");
    daemon.signal(Signal::CONT);
    assert_eq!(client.ask("ping"), "1 pong");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0));

    // Of a program that knows of no lock, which takes one connection and accepts none.
    let full = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    full.bind(&socket2::SockAddr::unix(&socket).unwrap()).unwrap();
    full.listen(0).unwrap();
    let _waiting = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let reason = refused(path);
    assert!(reason.contains("another process listens there already"), "{reason}");
    assert!(socket.exists());
}

#[test]
fn a_locked_path_is_refused_even_if_nobody_listens_there_yet() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("elockd.sock");
    // A daemon that has the lock and is about to listen.
    let lock = File::create(dir.path().join("elockd.sock.lock")).unwrap();
    lock.lock().unwrap();
    let stale = UnixListener::bind(&socket).unwrap();
    drop(stale);
    for flag in ["--unix", "--admin-unix"] {
        let reason = refused_with(&["--listen", "127.0.0.1:0", flag, socket.to_str().unwrap()]);
        assert!(reason.contains("another daemon has locked"), "{reason}");
        assert!(socket.exists(), "and what is there is left alone");
    }
}

#[test]
fn what_is_no_file_beside_the_path_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let (socket, target) = (dir.path().join("elockd.sock"), dir.path().join("target"));
    std::os::unix::fs::symlink(&target, dir.path().join("elockd.sock.lock")).unwrap();
    let reason = refused(socket.to_str().unwrap());
    assert!(reason.contains("elockd.sock.lock: it exists and is not a file"), "{reason}");
    assert!(!target.exists() && !socket.exists());
}

/// Why one more daemon does not start on this socket.
fn refused(path: &str) -> String {
    refused_with(&["--port", "0", "--unix", path])
}

fn refused_with(flags: &[&str]) -> String {
    let mut command = program();
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut daemon = Guard::new(command.spawn().unwrap());
    let status = daemon.wait(PATIENCE);
    let mut log = String::new();
    daemon.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    log
}
