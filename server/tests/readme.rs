//! Goal: the shell lines of the README do what it says of them. Method: they are cut out of the page and run by bash,
//! against a daemon with the lock free, with the lock held, one that never answers, and none.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use support::Daemon;

/// Runs the lines against a daemon at this address, with `job` in place of the job and a second of patience.
fn run_against(address: SocketAddr, job: &str) -> Output {
    let page = include_str!("../../README.md");
    let (_, rest) = page.split_once("```bash\n").expect("the README has shell lines");
    let (lines, _) = rest.split_once("```").expect("they end");
    let lines = [
        ("127.0.0.1/9999", format!("{}/{}", address.ip(), address.port())),
        ("run-the-job", format!("bash -c '{job}'")),
        ("-t 10", "-t 1".to_owned()),
    ]
    .into_iter()
    .fold(lines.to_owned(), |lines, (what, with)| {
        assert_eq!(lines.matches(what).count(), 1, "{what} stands in the lines once");
        lines.replace(what, &with)
    });
    Command::new("bash").arg("-c").arg(lines).output().unwrap()
}

#[test]
fn the_job_runs_under_the_lock_and_the_lock_is_free_afterwards() {
    let daemon = Daemon::start(&[]);
    let address = daemon.tcp_address();
    // The job sees that the lock is held, and that it has not got the connection.
    let job = format!(
        "exec 4<>/dev/tcp/{}/{}; echo i cron.daily >&4; read -r said <&4; echo \"$said\"; \
         if [ -L /proc/$$/fd/3 ]; then echo inherited; fi",
        address.ip(),
        address.port()
    );
    let output = run_against(address, &job);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 Lock Is Locked: cron.daily\n");
    assert!(output.status.success(), "{output:?}");
    let mut client = daemon.tcp();
    client.send("gw 10000 cron.daily\n");
    client.expect("1 Lock Get Success: cron.daily\n");
}

#[test]
fn a_held_lock_and_a_daemon_that_is_away_are_told_apart() {
    let daemon = Daemon::start(&[]);
    let mut holder = daemon.tcp();
    holder.send("g cron.daily\n");
    holder.expect("1 Lock Get Success: cron.daily\n");
    let output = run_against(daemon.tcp_address(), "echo ran");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "no lock: 0 Lock Get Failure: cron.daily\n");
    assert_eq!(output.status.code(), Some(1));

    // Nobody accepts there, but the kernel does.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    assert_eq!(run_against(silent_address, "echo ran").status.code(), Some(75));
    drop(silent);
    let output = run_against(silent_address, "echo ran");
    assert_eq!((output.status.code(), output.stdout), (Some(75), Vec::new()));
}
