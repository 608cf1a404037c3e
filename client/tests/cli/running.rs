//! `run`: the command, its lock, its status, its signals.

use crate::daemon::{Daemon, elock};
use crate::proxy::Proxy;
use crate::{Deadline, Guarded, PATIENCE, poll, run, told};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;

/// Starts it, with its stdout in a pipe.
pub(crate) fn start(command: &mut Command) -> (Guarded, BufReader<ChildStdout>) {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (Guarded(child), stdout)
}

pub(crate) fn line(stdout: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn signal(to: &Guarded, signal: Signal) {
    kill(pid(to.0.id()), signal).unwrap();
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap())
}

/// Waits for the end: status and stderr.
pub(crate) fn end(guarded: Guarded) -> (i32, String) {
    // Its pipe of stderr is read to the end. Nobody but elock writes there.
    let mut guarded = guarded;
    let _deadline = Deadline::of(guarded.0.id());
    let mut stderr = guarded.0.stderr.take().unwrap();
    let (tell, told_by_thread) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        tell.send(text)
    });
    // It ends with the last process that has it.
    let text = told_by_thread.recv_timeout(2 * PATIENCE).expect("somebody is left who could write to stderr");
    let output =
        std::process::Output { status: guarded.0.wait().unwrap(), stdout: Vec::new(), stderr: text.into() };
    let (status, _, stderr) = told(output);
    (status, stderr)
}

/// A shell's line that says its process id, and then what it is told.
fn talking(rest: &str) -> String {
    format!("echo $$; {rest}")
}

#[test]
fn the_command_runs_under_the_lock_and_the_lock_is_free_afterwards() {
    let daemon = Daemon::start();
    let script = "echo \"$ELOCK_NAME $ELOCK_FENCE [$ELOCK_SLOT]\"; \"$0\" inspect \"$ELOCK_NAME\"; exit 7";
    let program = env!("CARGO_BIN_EXE_elock");
    let (status, out, err) = run(&mut daemon.elock(&["run", "a  b", "--", "sh", "-c", script, program]));
    assert_eq!((status, err.as_str()), (7, ""));
    let mut lines = out.lines();
    let words: Vec<&str> = lines.next().unwrap().split(' ').collect();
    assert_eq!((&words[..2], words[3]), (&["a", "b"][..], "[]"));
    assert!(words[2].parse::<u64>().unwrap() > 0);
    assert_eq!(lines.next(), Some("a b is held"));
    // At once: the daemon has been told, and has answered.
    assert_eq!(daemon.client().ask("i a b"), "0 Lock Not Locked: a b");
}

#[test]
fn the_status_is_that_of_the_command() {
    let daemon = Daemon::start();
    for (words, expected) in [
        (&["run", "a", "true"][..], 0),
        (&["run", "a", "--", "sh", "-c", "exit 255"], 255),
        (&["run", "a", "--", "sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["run", "a", "-c", "exit 3"], 3),
        (&["run", "a", "sh", "-c", "exit 4"], 4),
    ] {
        assert_eq!(run(&mut daemon.elock(words)), (expected, String::new(), String::new()), "{words:?}");
    }
}

#[test]
fn every_status_of_elocks_own_comes_with_a_line() {
    let mut daemon = Daemon::start();
    let mut holder = daemon.client();
    assert_eq!(holder.ask("iam alice"), "1 ok");
    holder.get("a");
    let file = daemon.folder().join("no-program");
    fs::write(&file, "").unwrap();
    let check = |command: &mut Command, expected: i32, text: &str| {
        let (status, out, err) = run(command);
        assert_eq!((status, out.as_str()), (expected, ""), "{err}");
        assert!(err.starts_with("elock: ") && err.lines().next().unwrap().contains(text), "{err}");
    };
    check(&mut daemon.elock(&["run", "-n", "a", "echo", "x"]), 75, "a: the lock is held by alice (");
    check(&mut daemon.elock(&["run", "-w", "0.01", "a", "echo", "x"]), 75, "a: ");
    check(&mut daemon.elock(&["run", "-n", "-E", "9", "a", "echo", "x"]), 9, "a: ");
    check(&mut daemon.elock(&["run", "b", "--", "/no/such/program"]), 127, "/no/such/program");
    check(&mut daemon.elock(&["run", "b", "--", file.to_str().unwrap()]), 126, "no-program");
    check(&mut daemon.elock(&["run", "b"]), 64, "no command");
    check(&mut daemon.elock(&["run", "b", "-c", "true", "true"]), 64, "-c");
    assert_eq!(
        daemon.client().ask("i b"),
        "0 Lock Not Locked: b",
        "a command that cannot run leaves no lock"
    );
    daemon.stop();
    check(&mut daemon.elock(&["run", "b", "true"]), 69, "no daemon can be reached");
    check(&mut elock(&["run", "b", "--server", "[::1", "true"]), 64, "[::1");
}

#[test]
fn each_kind_of_lock_is_had() {
    let daemon = Daemon::start();
    let mut other = daemon.client();
    assert_eq!(other.ask("sg s"), "1 Shared Lock Get Success: s");
    assert_eq!(other.ask("rg rw"), "1 Read Lock Get Success: rw");
    other.get("x");
    other.get("slots#0");
    for (words, expected) in [
        (&["run", "-n", "-s", "s", "true"][..], 0),
        (&["run", "-n", "-l", "2", "s", "true"], 0),
        (&["run", "-n", "-l", "1", "s", "true"], 75),
        (&["run", "-n", "-s", "x", "true"], 0),
        (&["run", "-n", "-x", "x", "true"], 75),
        (&["run", "-n", "--read", "rw", "true"], 0),
        (&["run", "-n", "--write", "rw", "true"], 75),
        (&["run", "-n", "--slots", "2", "slots", "-c", "exit $ELOCK_SLOT"], 1),
        (&["run", "-n", "-s", "--read", "s", "true"], 64),
    ] {
        assert_eq!(run(&mut daemon.elock(words)).0, expected, "{words:?}");
    }
}

#[test]
fn it_waits_in_line_and_shows_who_it_is() {
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    holder.get("a");
    let (waiting, mut stdout) =
        start(&mut daemon.elock(&["run", "a", "--as", "nightly job", "echo", "mine"]));
    daemon.until_waiters("a", 1);
    assert!(holder.ask_rows("ls a")[1].ends_with("a\tnightly job"));
    assert_eq!(holder.ask("r a"), "1 Lock Release Success: a");
    assert_eq!(line(&mut stdout), "mine");
    assert_eq!(end(waiting), (0, String::new()));
}

#[test]
fn signals_are_handed_on_to_the_command() {
    let daemon = Daemon::start();
    let script =
        talking("trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; while :; do sleep 0.01; done");
    let (running, mut stdout) = start(&mut daemon.elock(&["run", "a", "-c", &script]));
    line(&mut stdout);
    // The shell has set its traps once it has said its number and goes on; until then a signal would end it.
    poll("the traps to be set", || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.0.id())).unwrap();
        let child = children.split_whitespace().next()?.to_owned();
        let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        (caught & 1 << (Signal::SIGTERM as i32 - 1) != 0).then_some(())
    });
    signal(&running, Signal::SIGUSR1);
    assert_eq!(line(&mut stdout), "usr1");
    signal(&running, Signal::SIGTERM);
    assert_eq!(line(&mut stdout), "term");
    assert_eq!(end(running), (5, String::new()));
}

#[test]
fn a_signal_ends_the_wait() {
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    holder.get("a");
    let (waiting, _stdout) = start(&mut daemon.elock(&["run", "a", "true"]));
    daemon.until_waiters("a", 1);
    signal(&waiting, Signal::SIGTERM);
    assert_eq!(end(waiting), (1000 + 15, String::new()), "it died of the signal");
    daemon.until_waiters("a", 0);
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_so() {
    let daemon = Daemon::start();
    let mut holder = daemon.client();
    holder.get("a");
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" run a echo mine", env!("CARGO_BIN_EXE_elock")]);
    nohup.env("ELOCK_SERVER", daemon.address().to_string());
    let (waiting, mut stdout) = start(&mut nohup);
    daemon.until_waiters("a", 1);
    signal(&waiting, Signal::SIGHUP);
    assert_eq!(holder.ask("r a"), "1 Lock Release Success: a");
    assert_eq!(line(&mut stdout), "mine");
    assert_eq!(end(waiting).0, 0);
}

/// Goal: the lock is held as long as the command lives, also without elock. Method: elock is killed.
#[test]
fn a_command_outlives_elock_and_keeps_the_lock() {
    let daemon = Daemon::start();
    for flags in [&["--server", "tcp"][..], &["--server", "unix"], &["-o"]] {
        let socket = format!("unix:{}", daemon.socket().display());
        let flags: Vec<&str> = match flags {
            [flag, "unix"] => vec![flag, &socket],
            ["-o"] => vec!["-o"],
            _ => vec![],
        };
        let script = talking("exec sleep 1000");
        let words = [&["run"][..], &flags, &["a", "-c", &script]].concat();
        let (mut running, mut stdout) = start(&mut daemon.elock(&words));
        let command = pid(line(&mut stdout).parse().unwrap());
        daemon.until("a", true);
        running.0.kill().unwrap();
        running.0.wait().unwrap();
        if flags.contains(&"-o") {
            daemon.until("a", false);
            kill(command, Signal::SIGKILL).unwrap();
        } else {
            // If the end of elock were the end of the connection, the daemon would hear of it before this client.
            assert_eq!(daemon.client().ask("i a"), "1 Lock Is Locked: a");
            kill(command, Signal::SIGKILL).unwrap();
            daemon.until("a", false);
        }
    }
}

#[test]
fn what_a_command_leaves_behind_does_not_keep_the_lock() {
    let daemon = Daemon::start();
    let script = "sleep 1000 >/dev/null 2>&1 & echo $!";
    let (status, out, err) = run(&mut daemon.elock(&["run", "a", "-c", script]));
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(daemon.client().ask("i a"), "0 Lock Not Locked: a");
    kill(pid(out.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
}

#[test]
fn a_lost_lock_stops_the_command_and_all_that_it_started() {
    let daemon = Daemon::start();
    for by in ["steal", "kick"] {
        // Neither of them goes by itself, and the inner one has lost its parent by then.
        let script = "(trap '' TERM; echo $$; while :; do sleep 0.01; done) & trap 'exit 3' TERM; echo $$; while :; do sleep 0.01; done";
        let words = ["run", "a", "--as", "job", "--on-lost", "term,0.3,kill", "-c", script];
        let (running, mut stdout) = start(&mut daemon.elock(&words));
        let _ = (line(&mut stdout), line(&mut stdout));
        let what = if by == "steal" { "a" } else { "job" };
        assert_eq!(run(&mut daemon.elock(&[by, what])).0, 0);
        let (status, err) = end(running);
        assert_eq!(status, 79);
        let reason =
            if by == "steal" { "an operator took it away" } else { "the daemon closed the connection" };
        // The shell may say more of those that it had started.
        assert!(err.starts_with(&format!("elock: a was lost: {reason}; stopping the command\n")), "{err}");
        // The pipe has ended, so nobody is left who could write to it.
        assert_eq!(line(&mut stdout), "");
    }
}

#[test]
fn a_lost_lock_may_be_none_of_the_commands_business() {
    let daemon = Daemon::start();
    let words = [
        "run",
        "a",
        "--on-lost",
        "none",
        "--",
        "sh",
        "-c",
        "\"$0\" steal a; exit 3",
        env!("CARGO_BIN_EXE_elock"),
    ];
    let (status, out, err) = run(&mut daemon.elock(&words));
    assert_eq!((status, out.as_str()), (79, "took a from its holder\n"));
    assert!(err.starts_with("elock: a was lost: an operator took it away; the command"), "{err}");
}

/// Goal: a daemon that does not answer is noticed, and the command is stopped. Method: the network becomes silent. That
/// it happens early enough is a matter of constants, which `silence.rs` compares.
#[test]
fn a_silent_daemon_is_noticed() {
    let daemon = Daemon::start();
    let proxy = Proxy::to(daemon.address());
    let mut command = daemon.elock(&["run", "a", "-c", &talking("exec sleep 1000")]);
    let (running, mut stdout) = start(command.env("ELOCK_SERVER", proxy.address().to_string()));
    line(&mut stdout);
    proxy.be_silent();
    let (status, err) = end(running);
    assert_eq!(status, 79);
    assert!(err.starts_with("elock: a was lost: the daemon has not answered for too long"), "{err}");
    assert_eq!(daemon.client().ask("i a"), "1 Lock Is Locked: a", "the daemon has not given it away yet");
}

#[test]
fn with_linger_a_broken_connection_is_resumed() {
    let daemon = Daemon::start();
    let proxy = Proxy::to(daemon.address());
    let go = daemon.folder().join("go");
    let script = talking(&format!("while ! test -e {}; do sleep 0.01; done; exit 3", go.display()));
    let mut command = daemon.elock(&["run", "a", "--linger", "30s", "-c", &script]);
    let (running, mut stdout) = start(command.env("ELOCK_SERVER", proxy.address().to_string()));
    line(&mut stdout);
    proxy.cut();
    let mut watcher = daemon.client();
    poll("the lock to be resumed", || {
        watcher.ask_rows("q full").contains(&"resumed: 1".to_owned()).then_some(())
    });
    fs::write(go, "").unwrap();
    assert_eq!(end(running), (3, String::new()));
    daemon.until("a", false);
}

#[test]
fn at_least_holds_on_after_a_quick_command() {
    let daemon = Daemon::start();
    let ended = daemon.folder().join("ended");
    let touch = format!("touch {}; exit 4", ended.display());
    let (running, _stdout) = start(&mut daemon.elock(&["run", "a", "--at-least", "1h", "-c", &touch]));
    poll("the command to run", || Path::exists(&ended).then_some(()));
    let children = format!("/proc/{0}/task/{0}/children", running.0.id());
    poll("the command to end", || fs::read_to_string(&children).unwrap().is_empty().then_some(()));
    assert_eq!(daemon.client().ask("i a"), "1 Lock Is Locked: a");
    signal(&running, Signal::SIGTERM);
    assert_eq!(end(running), (4, String::new()));
    assert_eq!(daemon.client().ask("i a"), "0 Lock Not Locked: a");
    assert_eq!(run(&mut daemon.elock(&["run", "a", "--at-least", "0.01", "true"])).0, 0, "it has an end");

    // A lock that is lost then was held while the command ran.
    let words = ["run", "b", "--at-least", "1h", "-c", &talking("exit 5")];
    let (running, mut stdout) = start(&mut daemon.elock(&words));
    line(&mut stdout);
    let children = format!("/proc/{0}/task/{0}/children", running.0.id());
    poll("the command to end", || fs::read_to_string(&children).unwrap().is_empty().then_some(()));
    assert_eq!(run(&mut daemon.elock(&["steal", "b"])).0, 0);
    let (status, err) = end(running);
    assert_eq!(status, 5);
    assert_eq!(err, "elock: b was lost: an operator took it away; the command had ended before\n");
}
