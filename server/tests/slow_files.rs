//! Goal: no file holds up a client or a signal, whatever is at its path. Method: logs that nobody takes, pipes in place
//! of files, and opening that takes for ever; meanwhile a client is answered, and SIGTERM ends the daemon.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Client, Daemon, Guard, PATIENCE, get, has_tools, poll, program};
use tempfile::TempDir;

/// What a pipe holds on Linux.
const PIPE: usize = 1 << 16;

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// The program with a stderr that takes nothing, until its other end is read from.
fn with_a_full_stderr(flags: &[&str]) -> (Guard, PipeReader) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&vec![b'\n'; PIPE]).unwrap();
    let mut command = program();
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
    (Guard::new(command.spawn().unwrap()), reader)
}

fn client_of(socket: &Path) -> Client {
    let connects = || std::os::unix::net::UnixStream::connect(socket).is_ok().then(|| Client::unix(socket));
    poll("the socket to answer", PATIENCE, connects)
}

/// Gets and releases of names that the log writes in far more than its buffer holds.
fn fill_the_log(client: &mut Client) {
    let name = "\u{1}".repeat(4000);
    for _ in 0..600 {
        assert!(client.ask(&format!("g {name}")).starts_with("1 "));
        assert!(client.ask(&format!("r {name}")).starts_with("1 "));
    }
}

#[test]
fn a_stderr_that_nobody_takes_holds_up_nobody() {
    for threads in ["1", "2"] {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("s");
        let address = support::own_address().to_string();
        let flags = ["--port", "0", "--verbose", "--threads", threads, "--unix", socket.to_str().unwrap()];
        let flags = [&flags[..], &["--metrics-listen", &address]].concat();
        let (mut daemon, mut reader) = with_a_full_stderr(&flags);
        let mut client = client_of(&socket);
        fill_the_log(&mut client);
        daemon.signal(Signal::HUP);
        assert_eq!(client.ask("ping"), "1 pong");
        let (_, metrics) = get(address.parse().unwrap(), "/metrics");
        let dropped = metrics.lines().find_map(|line| line.strip_prefix("elockd_log_lines_dropped_total "));
        let dropped: u64 = dropped.unwrap().parse().unwrap();
        assert!((1..1200).contains(&dropped), "{dropped} of 1,200 lines");
        // Once it is read from, it says what is missing, and goes on.
        reader.read_exact(&mut vec![0; PIPE]).unwrap();
        let mut log = BufReader::new(reader).lines().map(Result::unwrap);
        let told = log.find(|line| line.contains("lines of the log were dropped")).unwrap();
        assert!(told.contains("ERROR") && told.contains(": "), "{told}");
        client.ask("g after");
        log.find(|line| line.contains("got lock \"after\"")).unwrap();
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
        log.find(|line| line.contains("shut down")).unwrap();
    }
}

#[test]
fn a_stderr_that_nobody_takes_does_not_keep_it_from_ending() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("s");
    let (mut daemon, _reader) = with_a_full_stderr(&["--port", "0", "--unix", socket.to_str().unwrap()]);
    client_of(&socket);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
    // Nor does a start that fails wait for a reader.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (mut daemon, _reader) = with_a_full_stderr(&["--listen", &taken]);
    assert_eq!(daemon.wait(PATIENCE).code(), Some(1));
}

#[test]
fn a_log_that_is_a_pipe_needs_no_reader() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    make_pipe(&path);
    let mut daemon =
        Daemon::spawn(with_socket(dir.path(), &["--verbose", "--log-file", path.to_str().unwrap()]), dir);
    let mut client = client_of(&daemon.socket_path());
    daemon.signal(Signal::HUP);
    fill_the_log(&mut client);
    assert_eq!(client.ask("ping"), "1 pong");
    // A reader who comes now finds the first line, too.
    let mut log = BufReader::new(fs::File::open(&path).unwrap()).lines().map(Result::unwrap);
    assert!(log.next().unwrap().contains("is process"));
    log.find(|line| line.contains("reloaded on SIGHUP")).unwrap();
    log.find(|line| line.contains("lines of the log were dropped")).unwrap();
    drop(log);
    fill_the_log(&mut client);
    daemon.stop();
}

fn with_socket(dir: &Path, flags: &[&str]) -> Command {
    let mut command = program();
    command.args(["--port", "0", "--unix"]).arg(dir.join("elockd.sock")).args(flags);
    command
}

#[test]
fn settings_that_have_become_a_pipe_are_refused_and_change_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("elockd.toml");
    fs::write(&path, "max-listing-bytes = 0\n").unwrap();
    let mut daemon = Daemon::spawn(with_socket(dir.path(), &["--config", path.to_str().unwrap()]), dir);
    let mut client = client_of(&daemon.socket_path());
    fs::remove_file(&path).unwrap();
    make_pipe(&path);
    daemon.signal(Signal::HUP);
    let line = daemon.wait_for_log("reloaded nothing");
    assert!(line.contains("elockd.toml: it is not a regular file"), "{line}");
    assert_eq!(client.ask("ping"), "1 pong");
    // What a shell makes of `<(…)` was read at the start, and is empty by now.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "max-listing-bytes = 7\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("changed max-listing-bytes from 0 to 7");
    daemon.stop();
}

/// Makes opening this file take two minutes, for the daemon's thread that opens files.
fn hang(daemon: &Daemon, path: &Path) -> Guard {
    let tasks = format!("/proc/{}/task", daemon.pid());
    let mut tasks = fs::read_dir(tasks).unwrap().map(|task| task.unwrap().path());
    let named = |task: &PathBuf| fs::read_to_string(task.join("comm")).unwrap() == "files\n";
    let task = tasks.find(named).expect("such a thread");
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", "inject=openat:delay_enter=120s", "-P"]).arg(path);
    let tracer = Guard::new(command.arg("-p").arg(task.file_name().unwrap()).spawn().unwrap());
    let is_traced = || {
        let status = fs::read_to_string(task.join("status")).unwrap();
        status.lines().any(|line| line == format!("TracerPid:\t{}", tracer.0.id())).then_some(())
    };
    poll("the thread to be traced", PATIENCE, is_traced);
    tracer
}

#[test]
fn a_file_that_hangs_on_sighup_holds_up_no_client_and_no_signal() {
    if !has_tools(&["strace"]) {
        return;
    }
    for flag in ["--config", "--log-file"] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let pidfile = dir.path().join("pid");
        let flags = [flag, path.to_str().unwrap(), "--pidfile", pidfile.to_str().unwrap()];
        let mut daemon = Daemon::spawn(with_socket(dir.path(), &flags), dir);
        let mut client = client_of(&daemon.socket_path());
        let tracer = hang(&daemon, &path);
        for _ in 0..3 {
            daemon.signal(Signal::HUP);
            assert_eq!(client.ask("ping"), "1 pong");
        }
        let has_said_so = || {
            assert_eq!(client.ask("ping"), "1 pong");
            let log = daemon.log() + &fs::read_to_string(&path).unwrap();
            assert!(!log.contains("reloaded"), "{log}");
            log.contains("a file hangs").then_some(())
        };
        poll("the daemon to say that a file hangs", PATIENCE, has_said_so);
        daemon.signal(Signal::TERM);
        let does_not_wait = || {
            let log = daemon.log() + &fs::read_to_string(&path).unwrap();
            log.contains("the pidfile may be left behind").then_some(())
        };
        poll("the daemon to end without the file", PATIENCE, does_not_wait);
        // It holds back the end of the thread, which no file system does.
        drop(tracer);
        daemon.wait_for_success();
    }
}
