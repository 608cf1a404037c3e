//! Goal: what the system refuses is no panic. A start for which there is no thread ends with status 1 and its reason.
//! A reader of the output who has gone, or a full disk, is no bug of the program. Method: a limit of processes, for a
//! user whom such limits hold; and outputs that nobody takes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::{Signal, getuid};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{PipeWriter, Read, pipe};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use support::{Client, Guard, PATIENCE, get, poll, program};
use tempfile::TempDir;

/// The first of some users with no processes, whom limits hold: none hold the superuser.
const NOBODY: u32 = 54_321;

/// The program in this folder as a process that can make no more threads than its first.
fn without_threads(dir: &Path, flags: &[&str]) -> Guard {
    with_processes(1, dir, flags)
}

/// The program in this folder as a process that has so many threads at the most, because its user can have no more
/// processes. Each has a user of its own, for tests run at the same time.
fn with_processes(processes: u32, dir: &Path, flags: &[&str]) -> Guard {
    static NEXT: AtomicU32 = AtomicU32::new(NOBODY);
    let nobody = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut command = Command::new("prlimit");
    let mut path = PathBuf::from(env!("CARGO_BIN_EXE_elockd"));
    if getuid().is_root() {
        fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
        // Where the program is built may be out of that user's reach.
        path = dir.join("elockd");
        fs::copy(env!("CARGO_BIN_EXE_elockd"), &path).unwrap();
        command.uid(nobody).gid(nobody);
    }
    command
        .arg(format!("--nproc={processes}"))
        .arg(path)
        .args(["--listen", "127.0.0.1:0"])
        .args(flags)
        .current_dir(dir);
    Guard::new(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Runs to the end, which has to come.
fn run(command: &mut Command) -> Output {
    ended(Guard::new(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()))
}

fn ended(mut process: Guard) -> Output {
    let status = process.wait(PATIENCE);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    process.0.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    if let Some(mut piped) = process.0.stdout.take() {
        piped.read_to_end(&mut stdout).unwrap();
    }
    Output { status, stdout, stderr }
}

#[test]
fn without_threads_it_does_not_start_and_says_why() {
    let dir = TempDir::new().unwrap();
    for threads in ["1", "4"] {
        let flags = ["--threads", threads, "--state-dir", "state", "--pidfile", "pid"];
        let output = ended(without_threads(dir.path(), &flags));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("elockd: cannot start the thread that writes the log: "), "{stderr}");
        assert!(stderr.contains("Resource temporarily unavailable"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "nothing but the reason: {stderr}");
        assert!(!dir.path().join("pid").exists(), "a start that failed leaves nothing behind");
    }
}

#[test]
fn each_thread_that_is_missing_is_named_on_stderr_and_in_the_log() {
    let cases = [("4", "cannot start the runtime: "), ("1", "cannot start the thread that opens files: ")];
    for (threads, reason) in cases {
        let dir = TempDir::new().unwrap();
        let flags = ["--threads", threads, "--pidfile", "pid", "--log-file", "log"];
        refused_a_thread(&ended(with_processes(2, dir.path(), &flags)), dir.path(), reason);
    }
    let dir = TempDir::new().unwrap();
    let flags = ["--threads", "1", "--state-dir", "state", "--pidfile", "pid", "--log-file", "log"];
    let reason = "cannot use the state directory: state: ";
    refused_a_thread(&ended(with_processes(3, dir.path(), &flags)), dir.path(), reason);
}

fn refused_a_thread(output: &Output, dir: &Path, reason: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with(&format!("elockd: {reason}")), "{stderr}");
    assert!(stderr.contains("Resource temporarily unavailable"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "nothing but the reason: {stderr}");
    assert!(fs::read_to_string(dir.join("log")).unwrap().contains(reason), "the log has it too");
    assert!(!dir.join("pid").exists(), "a start that failed leaves nothing behind");
}

#[test]
fn with_one_thread_and_no_state_directory_it_needs_two_more() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("elockd.sock");
    let flags = ["--threads", "1", "--unix", "elockd.sock", "--unix-mode", "666"];
    let mut daemon = with_processes(3, dir.path(), &flags);
    assert_eq!(client_of(&socket).ask("g a"), "1 Lock Get Success: a");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
}

/// Tokens that are drawn until the second range must have been reserved: more than half of the first.
const MORE_THAN_HALF_A_RANGE: u64 = (1 << 19) + 1000;

#[test]
fn a_running_daemon_whose_user_can_have_no_more_threads_goes_on() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("elockd.sock");
    let flags = ["--threads", "2", "--unix", "elockd.sock", "--unix-mode", "666", "--state-dir", "state"];
    let more = ["--metrics-listen", "127.0.0.1:0", "--log-file", "log"];
    let mut daemon = with_processes(100, dir.path(), &[&flags[..], &more].concat());
    let mut client = client_of(&socket);
    assert_eq!(client.ask("ping"), "1 pong", "its first tokens are reserved by now");
    let mut limiting = Command::new("prlimit");
    limiting.args(["--nproc=1", "--pid", &daemon.0.id().to_string()]);
    if getuid().is_root() {
        let user = fs::metadata(format!("/proc/{}", daemon.0.id())).unwrap();
        limiting.uid(user.uid()).gid(user.gid());
    }
    assert!(limiting.status().unwrap().success());
    let record = || fs::read(dir.path().join("state/tokens")).unwrap();
    let first_record = record();

    daemon.signal(Signal::HUP);
    let log = || fs::read_to_string(dir.path().join("log")).unwrap();
    poll("the reload", PATIENCE, || log().contains("reloaded on SIGHUP").then_some(()));
    let mut last = 0_u64;
    for _ in 0..MORE_THAN_HALF_A_RANGE / 1000 {
        client.send("g a\nf a\nr a\n".repeat(1000));
        for _ in 0..1000 {
            assert_eq!(client.line(), "1 Lock Get Success: a");
            let fence = client.line();
            let token: u64 = fence.split(' ').next().unwrap().parse().unwrap();
            assert!(token > last, "{fence} after {last}");
            last = token;
            assert_eq!(client.line(), "1 Lock Release Success: a");
        }
    }
    poll("the second range on disk", PATIENCE, || (record() != first_record).then_some(()));
    assert_eq!(client_of(&socket).ask("g b"), "1 Lock Get Success: b");
    let line = log();
    let address = line.lines().find_map(|line| line.split("listening on http ").nth(1)).unwrap();
    let (_, metrics) = get(address.parse().unwrap(), "/metrics");
    assert!(metrics.contains("elockd_connections_limit 10000"), "{metrics}");
    // A thread that a pool makes when it is needed would be there from the first record on, and be missed only after it
    // has gone. So none may be there at all.
    assert_eq!(threads_of_the_runtime(daemon.0.id()), 2, "as many as --threads says");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0), "{}", log());
}

/// How many threads of a process serve clients, or were made by the runtime for work that blocks.
fn threads_of_the_runtime(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    names.filter(|name| name.starts_with("tokio")).count()
}

fn client_of(socket: &Path) -> Client {
    let connects = || std::os::unix::net::UnixStream::connect(socket).is_ok().then(|| Client::unix(socket));
    poll("the socket to answer", PATIENCE, connects)
}

/// A pipe that nobody reads from any more.
fn without_reader() -> PipeWriter {
    pipe().unwrap().1
}

/// What prints something and ends.
const PRINTING: [&[&str]; 6] = [
    &["--check-config"],
    &["--help"],
    &["--version"],
    &["munin", "config"],
    &["munin", "autoconf", "--connect", "unix:/nowhere"],
    &["munin", "--connect", "unix:/nowhere"],
];

#[test]
fn a_reader_that_has_gone_ends_what_prints_in_order() {
    for args in PRINTING {
        let output = run(program().args(args).stdout(without_reader()));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("cannot write"), "{args:?}: {stderr}");
    }
}

#[test]
fn what_cannot_be_printed_is_told() {
    for args in [&["--check-config"][..], &["munin", "config"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(program().args(args).stdout(full));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains("cannot write to stdout: No space left on device"), "{args:?}: {stderr}");
    }
}

#[test]
fn nobody_at_stderr_changes_no_status() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], i32); 5] = [
        (&["--listen", "nonsense"], 2),
        (&["--port", "0"], 2),
        (&["--listen", &taken], 1),
        (&["--state-dir", "/nowhere/at/all"], 1),
        (&["--check-config"], 0),
    ];
    for (args, status) in cases {
        let mut command = program();
        command.args(args).env("ELOCKD_NONSENSE", "1").stdout(Stdio::null()).stderr(without_reader());
        let mut process = Guard::new(command.spawn().unwrap());
        assert_eq!(process.wait(PATIENCE).code(), Some(status), "{args:?}");
    }
}

#[test]
fn a_daemon_whose_log_nobody_takes_goes_on() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("elockd.sock");
    let mut command = program();
    command.args(["--port", "0", "--verbose", "--unix"]).arg(&socket).stderr(without_reader());
    let mut daemon = Guard::new(command.spawn().unwrap());
    let mut client = client_of(&socket);
    assert_eq!(client.ask("g a"), "1 Lock Get Success: a");
    daemon.signal(Signal::HUP);
    assert_eq!(client.ask("i a"), "1 Lock Is Locked: a");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
}
