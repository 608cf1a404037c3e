//! `elock run --on`: the command at the host is as one here, and does not outlive its lock.

use crate::daemon::Daemon;
use crate::running::{end, line, start};
use crate::ssh::host::{Host, WAYS};
use crate::{Guarded, poll, run, told};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

fn on(host: &Host, daemon: &Daemon, way: &[&str], flags: &[&str], words: &[&str]) -> Command {
    let (destination, key) = (host.destination(), host.path("key"));
    let there = ["--on", &destination, "--ssh-key", &key];
    host.elock(daemon, &[&["run"], way, &there[..], flags, words].concat())
}

fn signal(to: &Guarded, signal: Signal) {
    kill(Pid::from_raw(to.0.id().cast_signed()), signal).unwrap();
}

#[test]
fn the_status_is_that_of_the_command() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        for (words, expected) in [
            (&["a", "--", "true"][..], 0),
            (&["a", "--", "sh", "-c", "exit 254"], 254),
            (&["a", "--", "sh", "-c", "kill -TERM $$"], 128 + 15),
            (&["a", "--", "sh", "-c", "kill -KILL $$"], 128 + 9),
            (&["a", "-c", "exit 3"], 3),
            (&["a", "--", "/no/such/program"], 127),
            (&["a", "--", "/etc/passwd"], 126),
        ] {
            let (status, out, _) = run(&mut on(&host, &daemon, way, &[], words));
            assert_eq!((status, out.as_str()), (expected, ""), "{way:?} {words:?}");
        }
        // The program of OpenSSH has no other status for its own failures, so somebody must be told.
        let (status, _, err) = run(&mut on(&host, &daemon, way, &[], &["a", "-c", "exit 255"]));
        assert_eq!((status, err.is_empty()), (255, !way.is_empty()), "{err}");
    }
    daemon.until("a", false);
}

/// Goal: bytes come through as they are. Method: a megabyte of all kinds, both ways.
#[test]
fn stdin_stdout_and_stderr_come_through() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let bytes: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for way in WAYS {
        let words = ["a", "--", "sh", "-c", "tee /dev/stderr"];
        let mut command = on(&host, &daemon, way, &[], &words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _deadline = crate::Deadline::of(child.id());
        let mut stdin = child.stdin.take().unwrap();
        let written = bytes.clone();
        let writing = std::thread::spawn(move || stdin.write_all(&written).unwrap());
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        assert_eq!(output.status.code(), Some(0), "{way:?}");
        assert!(output.stdout == bytes, "{way:?}: {} bytes", output.stdout.len());
        assert!(output.stderr == bytes, "{way:?}: {} bytes", output.stderr.len());
    }
}

/// Goal: a reader that has seen enough ends the command. Method: an endless one.
#[test]
fn who_reads_no_more_ends_the_command() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let (running, mut stdout) = start(&mut on(&host, &daemon, way, &[], &["a", "--", "yes"]));
        assert_eq!(line(&mut stdout), "y");
        drop(stdout);
        let (status, _) = end(running);
        assert_eq!(status, 128 + 13, "{way:?}");
    }
}

/// Goal: no name breaks out. Method: a name with all that a shell obeys, which would make a file.
#[test]
fn a_name_is_only_a_name() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    fs::set_permissions(host.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let out = host.path("broken-out");
    let name = format!("a'; touch {out}; '$(touch {out})`touch {out}`\"\\ \u{e9} !{{}}* -n %s");
    let bytes = std::ffi::OsStr::from_bytes(b"\xff'\x01");
    for way in WAYS {
        let words =
            ["--", "sh", "-c", "printf '%s|' \"$ELOCK_NAME\" \"$@\"", "x", "", " y  z ", "'$HOME'\n!"];
        let mut command = on(&host, &daemon, way, &[&name], &words);
        let (status, text, err) = run(command.arg("last"));
        assert_eq!((status, err.as_str()), (0, ""));
        assert_eq!(text, format!("{name}|| y  z |'$HOME'\n!|last|"));
        let mut command = on(&host, &daemon, way, &["b"], &["--", "printf", "%s"]);
        command.arg(bytes).stdin(Stdio::null()).stdout(Stdio::piped());
        assert_eq!(command.spawn().unwrap().wait_with_output().unwrap().stdout, bytes.as_bytes());
    }
    assert!(!fs::exists(out).unwrap());
}

#[test]
fn signals_are_handed_on() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let script =
            "trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
        let (running, mut stdout) = start(&mut on(&host, &daemon, way, &[], &["a", "-c", script]));
        assert_eq!(line(&mut stdout), "ready");
        signal(&running, Signal::SIGUSR1);
        assert_eq!(line(&mut stdout), "usr1");
        signal(&running, Signal::SIGTERM);
        assert_eq!(line(&mut stdout), "term");
        assert_eq!(end(running).0, 5, "{way:?}");
        daemon.until("a", false);
    }
}

/// Goal: a lost lock ends the command and what it started. Method: it is stolen, and neither listens to TERM.
#[test]
fn a_lost_lock_stops_the_command() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let script =
            "trap '' TERM; (while :; do sleep 0.05; done) & echo ready; while :; do sleep 0.05; done";
        let flags = ["--on-lost", "term,0.3,kill"];
        let (running, mut stdout) = start(&mut on(&host, &daemon, way, &flags, &["a", "-c", script]));
        assert_eq!(line(&mut stdout), "ready");
        assert_eq!(run(&mut daemon.elock(&["steal", "a"])).0, 0);
        let (status, err) = end(running);
        assert_eq!(status, 79);
        let told = "elock: a was lost: an operator took it away; stopping the command\n";
        assert!(err.starts_with(told), "{way:?}: {err}");
        assert_eq!(host.commands(), Vec::<String>::new(), "{way:?}");
    }
}

/// Goal: the command does not outlive elock, which cannot say a word when it is killed. Method: it is killed.
#[test]
fn a_killed_elock_stops_the_command() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let (mut running, mut stdout) = start(&mut on(
            &host,
            &daemon,
            way,
            &["--on-lost", "kill"],
            &["a", "-c", "echo ready; exec sleep 1000"],
        ));
        assert_eq!(line(&mut stdout), "ready");
        assert!(!host.commands().is_empty());
        running.0.kill().unwrap();
        running.0.wait().unwrap();
        poll("the command to be stopped", || host.commands().is_empty().then_some(()));
    }
}

/// Goal: a host that cannot be reached stops the command by itself, and the lock is held until then. Method: elock is
/// stopped, which the guard cannot tell from a network that is cut.
#[test]
fn a_guard_that_hears_nothing_stops_the_command() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let all = WAYS.map(|way| {
        let name = if way.is_empty() { "a" } else { "b" };
        let script = "echo ready; exec sleep 1000";
        let (running, mut stdout) =
            start(&mut on(&host, &daemon, way, &["--on-lost", "kill"], &[name, "-c", script]));
        assert_eq!(line(&mut stdout), "ready");
        signal(&running, Signal::SIGSTOP);
        (name, running)
    });
    assert!(!host.commands().is_empty());
    poll("the commands to be stopped", || host.commands().is_empty().then_some(()));
    for (name, running) in all {
        assert_eq!(daemon.client().ask(format!("i {name}")), format!("1 Lock Is Locked: {name}"));
        signal(&running, Signal::SIGCONT);
        let (status, _) = end(running);
        assert!([255, 128 + 9, 79].contains(&status), "{status}");
    }
}

/// Goal: when the connection breaks, nobody gets the lock before the command is gone. Method: the sessions are killed,
/// and a waiter looks for the command when it gets the lock.
#[test]
fn the_lock_is_held_until_the_command_is_gone() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let script = "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done";
        let flags = ["--on-lost", "term,1s,kill"];
        let (running, mut stdout) = start(&mut on(&host, &daemon, way, &flags, &["a", "-c", script]));
        assert_eq!(line(&mut stdout), "ready");
        host.signal_sessions(Signal::SIGKILL);
        let mut waiter = daemon.client();
        assert_eq!(waiter.ask("gw 60000 a"), "1 Lock Get Success: a");
        assert_eq!(host.commands(), Vec::<String>::new(), "{way:?}");
        let (status, err) = end(running);
        assert!([69, 255].contains(&status) && err.contains("holding a until"), "{status} {err}");
    }
}

#[test]
fn what_a_command_leaves_behind_is_left_alone() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let script = "sleep 1000 >/dev/null 2>&1 </dev/null & echo $!";
        let (status, out, err) = run(&mut on(&host, &daemon, way, &[], &["a", "-c", script]));
        assert_eq!((status, err.as_str()), (0, ""), "{way:?}");
        daemon.until("a", false);
        kill(Pid::from_raw(out.trim().parse().unwrap()), Signal::SIGKILL).expect("it is still there");
    }
}

/// Goal: both at once: a daemon behind the host, and a command at it. Method: one destination for both.
#[test]
fn the_daemon_may_be_behind_the_same_host() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    for way in WAYS {
        let destination = host.destination();
        let script = "echo \"$ELOCK_NAME\" by \"$LOGNAME\"";
        let output =
            on(&host, &daemon, way, &["--ssh", &destination], &["a", "-c", script]).output().unwrap();
        assert_eq!(told(output), (0, format!("a by {}\n", host.user()), String::new()));
    }
}

#[test]
fn a_leader_may_lead_there() {
    let Some(host) = Host::start() else { return };
    let daemon = Daemon::start();
    let (destination, key) = (host.destination(), host.path("key"));
    let words = ["lead", "a", "--on", &destination, "--ssh-key", &key, "-c", "echo leading; exit 6"];
    let (status, out, _) = run(&mut host.elock(&daemon, &words));
    assert_eq!((status, out.as_str()), (6, "leading\n"));
}
