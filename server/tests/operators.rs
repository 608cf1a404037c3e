//! Goal: whoever may open the administrative socket can look, kick and steal there at any time. Nobody else can.
//! The log tells what was done and by whom. Method: the daemon with all three kinds of listener, clients on each.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use support::{Client, Daemon, Transport, program};
use tempfile::TempDir;

/// A daemon with an administrative socket.
struct Operated {
    daemon: Daemon,
    socket: PathBuf,
    dir: TempDir,
}

impl Operated {
    fn start(flags: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), flags)
    }

    fn start_in(dir: TempDir, flags: &[&str]) -> Self {
        let socket = dir.path().join("admin.sock");
        let daemon = Daemon::start(&[&["--admin-unix", socket.to_str().unwrap()], flags].concat());
        daemon.wait_for_log(&format!("listening on unix {} for operators", socket.display()));
        Self { daemon, socket, dir }
    }

    fn operator(&self) -> Client {
        Client::unix(&self.socket)
    }
}

fn mode(path: &Path) -> u32 {
    let file = fs::metadata(path).unwrap();
    assert!(file.file_type().is_socket());
    file.permissions().mode() & 0o7777
}

#[test]
fn an_operator_kicks_a_client_whose_locks_are_orphaned() {
    for transport in Transport::BOTH {
        let operated = Operated::start(&[]);
        let mut client = operated.daemon.connect(transport);
        client.send("g a\nsg b\n");
        client.expect("1 Lock Get Success: a\n1 Shared Lock Get Success: b\n");
        let mut waiter = operated.daemon.connect(transport);
        let mut operator = operated.operator();
        waiter.send("gw 60000 a\n");
        let address = client.address();
        assert_eq!(operator.ask(&format!("kick {address}")), format!("1 Kick Success: {address}"));
        client.expect_end();
        assert_eq!(waiter.line(), "1 Lock Get Success: a");
        let figures = operator.figures();
        assert_eq!((figures["closed_kicked"], figures["shared_orphans"]), (1, 1));
        assert_eq!(operator.ask(&format!("kick {address}")), format!("0 Kick Failure: {address}"));
    }
}

#[test]
fn an_operator_steals_a_lock_and_its_holder_finds_out() {
    let operated = Operated::start(&[]);
    let (mut holder, mut waiter) = (operated.daemon.tcp(), operated.daemon.unix());
    let mut operator = operated.operator();
    holder.send("g a\nf a\n");
    assert_eq!(holder.line(), "1 Lock Get Success: a");
    let token = |line: String| line.strip_suffix(" Lock Fence: a").unwrap().parse::<u64>().unwrap();
    let of_holder = token(holder.line());
    assert_eq!(operator.ask("steal a"), "1 Lock Steal Success: a");
    assert_eq!(operator.ask("steal a"), "0 Lock Steal Failure: a");
    holder.send("r a\nf a\ni a\ng a\n");
    holder.expect("0 Lock Release Failure: a\n0 Lock Not Held: a\n0 Lock Not Locked: a\n");
    holder.expect("1 Lock Get Success: a\n");
    // With somebody in line it goes to them, with a greater token.
    waiter.send("gw 60000 a\n");
    support::poll("the waiter", support::PATIENCE, || (operator.figure("waiters") == 1).then_some(()));
    assert_eq!(operator.ask("steal a"), "1 Lock Steal Success: a");
    assert_eq!(waiter.line(), "1 Lock Get Success: a");
    assert!(token(waiter.ask("f a")) > of_holder);
    holder.send("r a\ng a\n");
    holder.expect("0 Lock Release Failure: a\n0 Lock Get Failure: a\n");
}

#[test]
fn an_operator_sees_who_holds_and_who_waits_also_where_listings_are_off() {
    let operated = Operated::start(&["--dump=false"]);
    let mut holder = operated.daemon.tcp();
    assert_eq!(holder.ask("g job"), "1 Lock Get Success: job");
    holder.send("ls\n");
    holder.expect("0 disabled\n\n");
    let mut operator = operated.operator();
    operator.send("ls jo\nls other\n");
    let lines = operator.lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let parts: Vec<&str> = line.split(' ').collect();
    assert_eq!((parts[0], parts[2], parts[3], parts[4]), ("x", "0", &*holder.address(), "job"));
    assert_eq!(operator.lines(), Vec::<String>::new());
    assert_eq!(holder.ask("iam nightly run"), "1 ok");
    operator.send("ls jo\n");
    let lines = operator.lines();
    assert!(lines.len() == 1 && lines[0].ends_with(" job\tnightly run"), "{lines:?}");
}

#[test]
fn an_operator_kicks_all_clients_of_one_name() {
    let operated = Operated::start(&[]);
    let mut workers = Transport::BOTH.map(|transport| operated.daemon.connect(transport));
    for worker in &mut workers {
        assert_eq!(worker.ask("iam worker"), "1 ok");
    }
    let mut other = operated.daemon.tcp();
    assert_eq!(other.ask("iam worker 2"), "1 ok");
    let mut operator = operated.operator();
    assert_eq!(operator.ask("kick worker"), "2 Kick Success: worker");
    workers.iter_mut().for_each(Client::expect_end);
    assert_eq!(other.ask("ping"), "1 pong");
    assert_eq!(operator.ask("kick worker"), "0 Kick Failure: worker");
    assert_eq!(operator.figure("closed_kicked"), 2);
}

#[test]
fn nobody_else_may() {
    let operated = Operated::start(&[]);
    let mut holder = operated.daemon.unix();
    assert_eq!(holder.ask("g a"), "1 Lock Get Success: a");
    let address = holder.address();
    for transport in Transport::BOTH {
        let mut client = operated.daemon.connect(transport);
        client.send(format!("steal a\nkick {address}\nkick nobody\n"));
        client.expect("0 Not Allowed: steal\n0 Not Allowed: kick\n0 Not Allowed: kick\n");
    }
    assert_eq!(holder.ask("r a"), "1 Lock Release Success: a");
    assert!(!operated.daemon.log().contains("operator unix"), "{}", operated.daemon.log());
}

#[test]
fn operators_get_in_when_no_more_connections_are_allowed() {
    let operated = Operated::start(&["--max-connections", "2"]);
    let mut clients = [operated.daemon.tcp(), operated.daemon.unix()];
    let address = clients[0].address();
    for client in &mut clients {
        assert_eq!(client.ask("ping"), "1 pong");
    }
    assert_eq!(operated.daemon.tcp().line(), "0 Too Many Connections");
    // More of them than there may be clients.
    let mut operators = [operated.operator(), operated.operator(), operated.operator()];
    for operator in &mut operators {
        assert_eq!(operator.ask("ping"), "1 pong");
    }
    // They take no client's place either, and make room for one.
    assert_eq!(operated.daemon.tcp().line(), "0 Too Many Connections");
    assert_eq!(operators[0].ask(&format!("kick {address}")), format!("1 Kick Success: {address}"));
    assert_eq!(operated.daemon.tcp().ask("ping"), "1 pong");
}

#[test]
fn what_an_operator_does_to_others_is_logged_with_who_it_was() {
    for verbosity in ["--verbose=false", "--verbose"] {
        let operated = Operated::start(&[verbosity]);
        let mut holder = operated.daemon.tcp();
        assert_eq!(holder.ask("g a\u{1b}b"), "1 Lock Get Success: a\u{1b}b");
        let address = holder.address();
        let mut operator = operated.operator();
        let who = format!("{} (user {}, process {})", operator.address(), user(), std::process::id());
        operator.send(format!("steal a\u{1b}b\nsteal a\nkick {address}\nkick {address}\nls\n"));
        (0..4).for_each(|_| drop(operator.line()));
        let expected = [
            "stole lock \"a\\x1bb\"".to_owned(),
            "wanted to steal lock \"a\": nobody holds it".to_owned(),
            format!("closed \"{address}\""),
            format!("wanted to close \"{address}\": no such connection"),
        ];
        operated.daemon.wait_for_log("wanted to close");
        let log = operated.daemon.log();
        let mut told = log.lines().filter_map(|line| line.split_once(&format!("operator {who} ")));
        for what in expected {
            let (head, tail) = told.next().unwrap_or_else(|| panic!("{what} is not in {log}"));
            assert!(head.contains("WARN") && tail == what, "{head} {tail}");
        }
        assert_eq!(told.count(), 0, "{log}");
        // What it does for itself is told of only where everybody's is.
        assert_eq!(
            log.contains(&format!("{who} connected as an operator")),
            verbosity == "--verbose",
            "{log}"
        );
    }
}

fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

#[test]
fn the_socket_is_its_owners_alone_unless_told_otherwise_and_is_removed() {
    for (flags, expected) in [(&[][..], 0o600), (&["--admin-unix-mode", "660"], 0o660)] {
        let mut operated = Operated::start(flags);
        assert_eq!(mode(&operated.socket), expected);
        operated.daemon.stop();
        assert!(!operated.socket.exists());
    }
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_taken_over_and_one_in_use_is_not() {
    let Operated { daemon, socket, dir } = Operated::start(&[]);
    daemon.kill();
    assert!(socket.exists());
    let again = Operated::start_in(dir, &[]);
    assert_eq!(again.operator().ask("ping"), "1 pong");
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--admin-unix"]).arg(&again.socket);
    let (status, log) = Daemon::spawn(command, TempDir::new().unwrap()).wait();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains(&format!("cannot listen on unix {}", again.socket.display())), "{log}");
    assert_eq!(again.operator().ask("ping"), "1 pong");
}

#[test]
fn an_operator_that_kicks_itself_gets_its_answer_first() {
    let operated = Operated::start(&[]);
    let mut operator = operated.operator();
    let own = operator.address();
    operator.send(format!("kick {own}\nping\n"));
    operator.expect(format!("1 Kick Success: {own}\n"));
    operator.expect_end();
}
