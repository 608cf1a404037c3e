//! Goal: clients never take the file descriptors that the daemon, its operators and its monitoring need. A socket whose
//! connection has ended does not stay for long, and not beside any number of others. Method: the daemon under small
//! limits of open files, with more clients than it has room for; descriptors are counted in /proc.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit, setrlimit};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use support::{Client, Daemon, PATIENCE, Transport, get, poll};
use tempfile::TempDir;

/// Kept for operators, for clients of metrics, and for the daemon itself.
const KEPT: usize = 64;
/// Of these, for operators, and as many for clients of metrics.
const OPERATORS: usize = 16;
const TOO_MANY: &str = "0 Too Many Connections";

/// A daemon with an administrative socket and metrics.
struct Watched {
    daemon: Daemon,
    dir: TempDir,
}

impl Watched {
    /// With this limit of open files.
    fn start(files: usize, flags: &[&str]) -> Self {
        // This process has one end of each connection.
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        let dir = TempDir::new().unwrap();
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={files}")).arg(env!("CARGO_BIN_EXE_elockd"));
        let socket = dir.path().join("admin.sock");
        let own = ["--admin-unix", socket.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
        let daemon = Daemon::start_by(command, &[&own, flags].concat());
        daemon.wait_for_log("for operators");
        Self { daemon, dir }
    }

    fn admin_socket(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    fn operator(&self) -> Client {
        Client::unix(&self.admin_socket())
    }

    /// Operators and monitoring are served.
    fn assert_is_served(&self) {
        assert_eq!(self.operator().ask("ping"), "1 pong");
        let (status, body) = get(self.daemon.metrics_address(), "/healthz");
        assert!(status.starts_with("HTTP/1.1 200") && body == "ok\n", "{status}");
    }

    /// One number of the metrics.
    fn metric(&self, name: &str) -> usize {
        let (_, body) = get(self.daemon.metrics_address(), "/metrics");
        let line = body.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {body}")).parse().unwrap()
    }

    /// Waits until so many descriptors or fewer are open. A second is enough for what has ended.
    fn wait_for_descriptors(&self, most: usize) {
        let is_so = || (self.daemon.descriptors() <= most).then_some(());
        poll(&format!("no more than {most} descriptors"), PATIENCE, is_so);
    }
}

#[test]
fn refused_clients_keep_neither_operators_nor_monitoring_out() {
    let watched = Watched::start(164, &["--max-connections", "100"]);
    let daemon = &watched.daemon;
    let mut clients: Vec<Client> = (0..100).map(|_| daemon.tcp()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("ping"), "1 pong", "there is room for as many as are allowed");
    }
    let mut refused = Vec::new();
    for round in 0..20 {
        // Half of them talk first. None closes.
        for i in 0..15 {
            let mut client = daemon.connect(Transport::BOTH[i % 2]);
            if i % 4 < 2 {
                // It may be refused by now.
                let _ = client.try_send("g a\n");
            }
            refused.push(client);
        }
        watched.assert_is_served();
        let most = 164 - 2 * OPERATORS;
        assert!(daemon.descriptors() <= most, "{} descriptors in round {round}", daemon.descriptors());
    }
    for client in &mut refused {
        assert_eq!(client.line(), TOO_MANY);
        client.wait_for_end();
    }
    for client in &mut clients {
        assert_eq!(client.ask("ping"), "1 pong");
    }
    assert_eq!(watched.operator().figure("connections_refused"), 300);
    assert!(!daemon.log().contains("cannot accept"), "{}", daemon.log());
}

#[test]
fn with_few_files_for_many_clients_everything_else_works() {
    let dir = TempDir::new().unwrap();
    let [log, state, pidfile] = ["log", "state", "pid"].map(|name| dir.path().join(name));
    let flags = [("--log-file", &log), ("--state-dir", &state), ("--pidfile", &pidfile)];
    let flags: Vec<&str> = flags.iter().flat_map(|(flag, path)| [flag, path.to_str().unwrap()]).collect();
    let [admin, socket] = ["admin", "clients"].map(|name| dir.path().join(name));
    let mut command = Command::new("prlimit");
    command.arg("--nofile=128").arg(env!("CARGO_BIN_EXE_elockd"));
    command.args(["--port", "0", "--unix"]).arg(&socket).arg("--admin-unix").arg(&admin).args(flags);
    let mut daemon = Daemon::spawn(command, TempDir::new().unwrap());
    poll("the administrative socket", PATIENCE, || {
        std::os::unix::net::UnixStream::connect(&admin).ok().map(drop)
    });

    let mut clients: Vec<Client> = (0..200).map(|_| Client::unix(&socket)).collect();
    let answers = clients.iter_mut().map(|client| {
        let _ = client.try_send("ping\n");
        client.line()
    });
    let answers: Vec<String> = answers.collect();
    assert!(answers[..64].iter().all(|answer| answer == "1 pong"), "{answers:?}");
    assert!(answers[64..].iter().all(|answer| answer == TOO_MANY), "{answers:?}");

    let mut operator = Client::unix(&admin);
    assert_eq!(operator.figure("limit_connections"), 64);
    assert_eq!(operator.ask("g a"), "1 Lock Get Success: a");
    assert!(operator.ask("f a").ends_with(" Lock Fence: a"));
    let moved = dir.path().join("moved");
    std::fs::rename(&log, &moved).unwrap();
    daemon.signal(Signal::HUP);
    poll("the log to be opened anew", PATIENCE, || log.exists().then_some(()));
    let text = std::fs::read_to_string(&moved).unwrap();
    assert!(text.contains("the limit of 128 open files leaves room for 64 sockets"), "{text}");
    drop(clients);
    drop(operator);
    daemon.stop();
}

/// Bytes of a reply of which some, but not many, are unsent when no more fits into a socket: with so many unsent the
/// daemon still reads, and finds the FIN.
const REPLY: usize = 40_000;

/// A client that has ended its side, and does not take what it is still owed.
fn ended_with_replies(watched: &Watched, observer: &mut Client) -> Client {
    let before = observer.figure("connections");
    let mut client = watched.daemon.unix();
    assert_eq!(client.ask(&format!("iam {}", "n".repeat(REPLY))), "1 ok");
    let reply = client.ask("me").len() + 1;
    for replies in 1.. {
        let asked = observer.figure("command_me");
        client.send("me\n");
        poll("the reply to be made", PATIENCE, || (observer.figure("command_me") > asked).then_some(()));
        // There is one thread. So what could be sent at once is sent by now.
        let there = rustix::io::ioctl_fionread(&client).unwrap();
        if there < (replies * reply) as u64 {
            break;
        }
    }
    client.half_close();
    let mut is_in = || observer.figure("connections") > before;
    poll("the daemon to find the end", PATIENCE, || (!is_in()).then_some(()));
    client
}

#[test]
fn replies_that_nobody_takes_after_a_fin_have_a_bound() {
    const CLOSING: usize = 6;
    let limits = ["--max-connections", "4", "--max-closing", "6", "--threads", "1"];
    let watched = Watched::start(
        1000,
        &[&limits[..], &["--max-name-bytes", "40000", "--max-line-bytes", "50000"]].concat(),
    );
    watched.assert_is_served();
    let mut observer = watched.operator();
    let is_alone = || (observer.figure("connections") == 1).then_some(());
    poll("the other operator to be gone", PATIENCE, is_alone);
    let before = watched.daemon.descriptors();
    let mut clients: Vec<Client> = (0..20).map(|_| ended_with_replies(&watched, &mut observer)).collect();
    watched.wait_for_descriptors(before + CLOSING);
    watched.assert_is_served();
    assert_eq!(watched.metric("elockd_closing_sockets"), CLOSING);
    assert_eq!(watched.metric("elockd_closing_sockets_dropped_total"), clients.len() - CLOSING);
    // The last ones get all they are owed.
    let replies = clients.split_off(clients.len() - CLOSING).into_iter().map(|mut client| client.rest());
    assert!(replies.into_iter().all(|replies| replies.ends_with(b"n\n")), "they end as `me` does");
    let is_over = || (watched.metric("elockd_closing_sockets") == 0).then_some(());
    poll("all to be closed", PATIENCE, is_over);
}

#[test]
fn a_kicked_client_that_does_not_read_is_gone_with_its_socket() {
    let watched = Watched::start(1000, &["--write-timeout", "1h"]);
    let mut operator = watched.operator();
    assert_eq!(operator.ask("ping"), "1 pong");
    let before = watched.daemon.descriptors();
    let mut stuck = Transport::BOTH.map(|transport| {
        let mut client = watched.daemon.connect(transport);
        assert_eq!(client.ask("iam stuck"), "1 ok");
        client.set_write_timeout(Duration::from_millis(50));
        while client.try_send("help\n".repeat(1000)).is_ok() {}
        client
    });
    assert_eq!(watched.daemon.descriptors(), before + 2);
    assert_eq!(operator.ask("kick stuck"), "2 Kick Success: stuck");
    watched.wait_for_descriptors(before);
    stuck.iter_mut().for_each(Client::wait_for_end);
}

#[test]
fn one_more_operator_than_there_may_be_is_told_so() {
    let watched = Watched::start(1000, &[]);
    let mut operators: Vec<Client> = (0..OPERATORS).map(|_| watched.operator()).collect();
    for operator in &mut operators {
        assert_eq!(operator.ask("ping"), "1 pong");
    }
    for _ in 0..3 {
        let mut refused = watched.operator();
        assert_eq!(refused.line(), TOO_MANY);
        refused.wait_for_end();
    }
    assert_eq!(watched.daemon.tcp().ask("ping"), "1 pong", "clients have places of their own");
    // One that ends makes room at once, even if it does not close.
    let mut ending = operators.pop().unwrap();
    ending.send("quit\n");
    ending.expect_end();
    assert_eq!(watched.operator().ask("ping"), "1 pong");
}

#[test]
fn without_file_descriptors_it_serves_those_it_has_and_later_the_others() {
    const ROOM: usize = 20;
    let watched = Watched::start(1000, &[]);
    let daemon = &watched.daemon;
    watched.assert_is_served();
    // Only from outside can the daemon be brought to this.
    let limit = (daemon.descriptors() + ROOM) as u64;
    let pid = Pid::from_raw(daemon.pid().cast_signed()).unwrap();
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
    let mut clients: Vec<Client> = (0..ROOM + 10).map(|_| daemon.tcp()).collect();
    for client in &mut clients {
        client.send("ping\n");
    }

    // Accepted are as many as get an answer, once no more of them do.
    let mut served = Vec::new();
    let mut quiet = 0;
    let settle = || {
        let before = served.len();
        served.extend(clients.extract_if(.., Client::has_reply));
        quiet = if served.len() > before { 0 } else { quiet + 1 };
        (quiet == 100).then_some(())
    };
    poll("no more clients to be accepted", PATIENCE, settle);
    // A few more than descriptors are counted: those that the daemon was started with may have high numbers.
    assert!((10..=ROOM + 5).contains(&served.len()), "{} are served in a room for {ROOM}", served.len());
    daemon.wait_for_log("cannot accept on tcp");

    let before = daemon.processor_ticks();
    std::thread::sleep(Duration::from_secs(1));
    let ticks = daemon.processor_ticks() - before;
    assert!(ticks < 20, "a daemon with nothing to do used {ticks} ticks of processor time in a second");
    for client in &mut served {
        client.expect("1 pong\n");
        assert_eq!(client.ask("ping"), "1 pong");
    }
    // One after the other goes, and another comes.
    for client in clients.iter_mut().take(5) {
        drop(served.pop());
        client.expect("1 pong\n");
    }
    drop(served);
    for client in &mut clients[5..] {
        client.expect("1 pong\n");
        client.send("ping\n");
        client.expect("1 pong\n");
    }
    let connections = clients.pop().unwrap().figure("connections");
    assert_eq!(connections, clients.len() as u64 + 1);
    let log = daemon.log();
    assert_eq!(log.matches("cannot accept").count(), 1, "{log}");
    assert!(log.matches("accepting again").count() <= 1, "{log}");
}

#[test]
fn a_connection_ends_in_every_way_and_no_descriptor_is_left() {
    let watched = Watched::start(KEPT + 200, &[]);
    let mut observer = watched.operator();
    assert_eq!(observer.ask("ping"), "1 pong");
    let before = watched.daemon.descriptors();
    for round in 0..50 {
        for transport in Transport::BOTH {
            let mut client = watched.daemon.connect(transport);
            assert_eq!(client.ask("g a"), "1 Lock Get Success: a");
            match round % 5 {
                0 => client.send("quit\n"),
                1 => client.half_close(),
                2 if transport == Transport::Tcp => client.reset(),
                3 => {
                    let address = client.address();
                    assert!(observer.ask(&format!("kick {address}")).starts_with("1 Kick Success"));
                }
                _ => drop(client),
            }
            let is_free = || (observer.figure("locks") == 0).then_some(());
            poll("the end of the client to be noticed", PATIENCE, is_free);
        }
    }
    watched.wait_for_descriptors(before);
    assert_eq!(watched.metric("elockd_closing_sockets_dropped_total"), 0);
}
