//! `get`, `lead`, `rate`, `hold`, `release` and `status`.

use crate::daemon::Daemon;
use crate::running::{end, line, start};
use crate::{poll, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::process::Stdio;

#[test]
fn get_holds_until_its_pipe_ends() {
    let daemon = Daemon::start();
    let mut command = daemon.elock(&["get", "a"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    assert!(line(&mut stdout).parse::<u64>().unwrap() > 0, "the token");
    assert_eq!(daemon.client().ask("i a"), "1 Lock Is Locked: a");
    assert_eq!(run(&mut daemon.elock(&["get", "-n", "a"])).0, 75);
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(daemon.client().ask("i a"), "0 Lock Not Locked: a");
}

#[test]
fn get_holds_until_a_signal_or_the_loss() {
    let daemon = Daemon::start();
    let (holding, mut stdout) = start(&mut daemon.elock(&["get", "a", "--slots", "2", "--json"]));
    let json: Value = serde_json::from_str(&line(&mut stdout)).unwrap();
    assert_eq!((&json["name"], &json["slot"]), (&"a".into(), &0.into()));
    kill(Pid::from_raw(holding.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(end(holding), (0, String::new()));
    assert_eq!(daemon.client().ask("si a"), "0 Shared Lock Not Locked: a");

    let (holding, mut stdout) = start(&mut daemon.elock(&["get", "a"]));
    line(&mut stdout);
    assert_eq!(run(&mut daemon.elock(&["steal", "a"])).0, 0);
    assert_eq!(end(holding), (79, "elock: a was lost: an operator took it away\n".to_owned()));
}

/// Goal: one of two leads; the other one leads when the first has lost the lock, and the first waits again.
#[test]
fn lead_goes_on_with_another_and_comes_back() {
    let daemon = Daemon::start();
    let script = "echo \"$ELOCK_FENCE\"; exec sleep 1000";
    let (first, mut said_first) = start(&mut daemon.elock(&["lead", "a", "--as", "first", "-c", script]));
    let token: u64 = line(&mut said_first).parse().unwrap();
    let (second, mut said_second) = start(&mut daemon.elock(&["lead", "a", "--as", "second", "-c", script]));
    daemon.until_waiters("a", 1);
    assert_eq!(run(&mut daemon.elock(&["steal", "a"])).0, 0);
    assert!(line(&mut said_second).parse::<u64>().unwrap() > token);
    daemon.until_waiters("a", 1);
    assert_eq!(run(&mut daemon.elock(&["kick", "second"])).0, 0);
    assert!(line(&mut said_first).parse::<u64>().unwrap() > token);
    // The second one waits again, too.
    daemon.until_waiters("a", 1);
    for process in [first, second] {
        kill(Pid::from_raw(process.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let (status, err) = end(process);
        assert!(status == 128 + 15 || status == 1000 + 15, "{status} {err}");
        assert!(err.contains("elock: a was lost: ") && err.contains("elock: waiting for a again\n"), "{err}");
    }
}

#[test]
fn lead_ends_with_its_command_and_waits_for_a_daemon() {
    let daemon = Daemon::start();
    assert_eq!(run(&mut daemon.elock(&["lead", "a", "-c", "exit 3"])), (3, String::new(), String::new()));
    daemon.until("a", false);
    // Nobody listens there yet.
    let socket = daemon.folder().join("later.sock");
    let server = format!("unix:{}", socket.display());
    let (leading, _stdout) = start(&mut daemon.elock(&["lead", "a", "--server", &server, "-c", "exit 4"]));
    std::thread::sleep(std::time::Duration::from_millis(50));
    std::os::unix::fs::symlink(daemon.socket(), &socket).unwrap();
    assert_eq!(end(leading).0, 4);
}

#[test]
fn a_rate_lets_so_many_through_on_all_machines_together() {
    let daemon = Daemon::start();
    let rate = |words: &[&str]| run(&mut daemon.elock(&[&["rate"][..], words].concat()));
    assert_eq!(rate(&["-n", "api", "2/min", "echo", "1"]).1, "1\n");
    assert_eq!(rate(&["-n", "api", "2/min", "-c", "echo 2; exit 5"]), (5, "2\n".to_owned(), String::new()));
    let (status, out, err) = rate(&["-n", "api", "2/min", "echo", "3"]);
    assert_eq!((status, out.as_str()), (75, ""), "{err}");
    assert_eq!(rate(&["-n", "-E", "0", "api", "2/min", "echo", "3"]).0, 0);
    assert_eq!(rate(&["soon", "1/10ms", "true"]).0, 0);
    assert_eq!(rate(&["soon", "1/10ms", "true"]).0, 0, "it waits");
    assert_eq!(rate(&["free", "2/min", "--", "/no/such/program"]).0, 127);
    for wrong in [&["api", "2", "true"][..], &["api", "2/s"], &["api", "0/s", "true"]] {
        assert_eq!(rate(wrong).0, 64, "{wrong:?}");
    }
    let (status, _, err) = rate(&["long", "1/1h", "true"]);
    assert!(status == 64 && err.contains("--max-linger"), "{err}");
}

#[test]
fn a_person_holds_a_lock_over_several_commands() {
    let daemon = Daemon::start();
    let elock = |words: &[&str]| run(&mut daemon.elock(words));
    assert_eq!(elock(&["status", "deploy"]).0, 1);
    let (status, out, err) = elock(&["hold", "deploy", "--as", "alice: v17"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.starts_with("deploy is held, token ") && out.ends_with("elock release 'deploy'\n"), "{out}");
    assert!(daemon.client().ask_rows("d deploy")[0].ends_with("deploy: alice: v17"));
    assert_eq!(elock(&["hold", "-n", "deploy"]).0, 75, "it is held, though by this user");

    let (status, out, _) = elock(&["status", "deploy"]);
    assert!(status == 0 && out.starts_with("deploy is held for "), "{out}");
    let json: Value = serde_json::from_str(&elock(&["status", "--json"]).1).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["lost"]), (&"deploy".into(), &Value::Null));
    let pid = json[0]["pid"].as_i64().unwrap();
    assert_eq!(
        elock(&["status", "deploy", "--server", "127.0.0.1:1"]).0,
        1,
        "that would be another daemon's lock"
    );

    assert_eq!(elock(&["release", "deploy"]), (0, String::new(), String::new()));
    assert_eq!(daemon.client().ask("i deploy"), "0 Lock Not Locked: deploy");
    assert_eq!(elock(&["release", "deploy"]).0, 1);
    poll("the steward to end", || (!fs::exists(format!("/proc/{pid}/fd/0")).unwrap()).then_some(()));
    assert_eq!(fs::read_dir(daemon.folder().join("elock")).unwrap().count(), 0);
}

#[test]
fn a_hold_that_was_lost_says_so_until_it_is_released() {
    let daemon = Daemon::start();
    let elock = |words: &[&str]| run(&mut daemon.elock(words));
    assert_eq!(elock(&["hold", "a"]).0, 0);
    assert_eq!(elock(&["steal", "a"]).0, 0);
    poll("the loss to be noticed", || (elock(&["status", "a"]).0 == 1).then_some(()));
    assert_eq!(elock(&["status", "a"]).1, "a was lost: an operator took it away\n");
    let (status, _, err) = elock(&["release", "a"]);
    assert_eq!(
        (status, err.as_str()),
        (79, "elock: a was lost before it was released: an operator took it away\n")
    );
    assert_eq!(elock(&["release", "a"]).0, 1);
}

#[test]
fn a_hold_ends_by_itself_and_leaves_nothing_if_it_is_killed() {
    let daemon = Daemon::start();
    let elock = |words: &[&str]| run(&mut daemon.elock(words));
    assert_eq!(elock(&["hold", "a", "--for", "0.05"]).0, 0);
    daemon.until("a", false);

    assert_eq!(elock(&["hold", "b"]).0, 0);
    let json: Value = serde_json::from_str(&elock(&["status", "b", "--json"]).1).unwrap();
    let pid = json[0]["pid"].as_i64().unwrap();
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
    daemon.until("b", false);
    assert_eq!(elock(&["status", "b"]).0, 1);
    assert_eq!(fs::read_dir(daemon.folder().join("elock")).unwrap().count(), 0, "the old socket was removed");
}
