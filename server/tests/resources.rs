//! Goal: a connection that has ended leaves nothing behind: no memory, descriptor, thread, task or mailbox, whatever
//! its end was. Method: thousands of connections that end in each way, to one daemon; after each way the daemon's own
//! descriptors, threads and memory, as Linux counts them, are what they were before.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::path::PathBuf;
use std::time::Instant;
use support::{Client, Daemon, PATIENCE, get, poll, tell};
use tempfile::TempDir;

/// The most connections at a time. Each takes a descriptor here too, of which an ordinary user has 1,024.
const TOGETHER: usize = 250;
/// How much more memory there may be after a way to end. A leak of 64 bytes a connection is more than that, where there
/// are 20,000 connections.
const LITTLE_KIB: u64 = 1200;
/// The same after listings, which take a megabyte each while they last: the C library keeps some of their peak,
/// whatever their number was. A leak of all of them would be a hundred times that.
const MUCH_KIB: u64 = 40_000;

struct Resources {
    threads: usize,
    memory_kib: u64,
}

struct Server {
    daemon: Daemon,
    admin: PathBuf,
    /// Its descriptors when nobody but the holder is there.
    at_rest: usize,
    holder: Option<Client>,
    _dir: TempDir,
}

/// A client that holds locks throughout, for those that wait or list: more than a socket of this machine takes.
fn holder(daemon: &Daemon) -> Client {
    let mut client = daemon.unix();
    for at in 0..TOGETHER {
        client.send(format!("g held {at}\ng {at:03}{}\n", "x".repeat(4000)));
        (0..2).for_each(|_| drop(client.line_bytes()));
    }
    client
}

/// A way to end, for several connections at once.
type Way = fn(&Server, usize);

/// How many connections end in each way, how, and how much more memory there may be then.
const WAYS: [(&str, usize, Way, u64); 12] = [
    ("FIN", 20_000, fin, LITTLE_KIB),
    ("FIN with a hold", 20_000, fin_with_a_hold, LITTLE_KIB),
    ("half a line", 20_000, half_a_line, LITTLE_KIB),
    ("a half-close", 10_000, half_close, LITTLE_KIB),
    ("quit", 10_000, quit, LITTLE_KIB),
    ("refused", 5_000, refused, LITTLE_KIB),
    ("RST", 5_000, reset, LITTLE_KIB),
    ("kick", 3_000, kick, LITTLE_KIB),
    ("amid a wait", 5_000, amid_a_wait, LITTLE_KIB),
    ("RST amid a wait", 3_000, reset_amid_a_wait, LITTLE_KIB),
    ("amid a listing", 400, amid_a_listing, MUCH_KIB),
    ("stalled", 150, stalled, MUCH_KIB),
];

fn figure(server: &Server, series: &str) -> u64 {
    let (_, metrics) = get(server.daemon.metrics_address(), "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}

fn unix(server: &Server, count: usize) -> Vec<Client> {
    (0..count).map(|_| server.daemon.unix()).collect()
}

fn tcp(server: &Server, count: usize) -> Vec<Client> {
    (0..count).map(|_| server.daemon.tcp()).collect()
}

fn all_say(clients: &mut [Client], requests: &str) {
    for client in clients {
        client.send(requests);
    }
}

/// Each hears this many lines.
fn all_hear(clients: &mut [Client], lines: usize) {
    for client in clients {
        (0..lines).for_each(|_| drop(client.line_bytes()));
    }
}

fn ping(clients: &mut [Client]) {
    all_say(clients, "ping\n");
    all_hear(clients, 1);
}

fn fin(server: &Server, count: usize) {
    ping(&mut unix(server, count));
}

fn fin_with_a_hold(server: &Server, count: usize) {
    let mut clients = unix(server, count);
    for (client, at) in clients.iter_mut().zip(0..) {
        client.send(format!("g own {at}\nsg all\niam somebody\nf own {at}\n"));
    }
    all_hear(&mut clients, 4);
}

fn half_a_line(server: &Server, count: usize) {
    all_say(&mut unix(server, count), "ping\ng half a li");
}

fn half_close(server: &Server, count: usize) {
    let mut clients = unix(server, count);
    for client in &mut clients {
        client.send("sg all\n");
        client.half_close();
    }
    clients.iter_mut().for_each(Client::wait_for_end);
}

fn quit(server: &Server, count: usize) {
    let mut clients = unix(server, count);
    all_say(&mut clients, "sg all\nquit\nping\n");
    clients.iter_mut().for_each(Client::wait_for_end);
}

fn refused(server: &Server, count: usize) {
    // All places are taken meanwhile.
    let mut fillers = unix(server, TOGETHER);
    ping(&mut fillers);
    for client in &mut unix(server, count) {
        client.expect("0 Too Many Connections\n");
    }
}

fn reset(server: &Server, count: usize) {
    let mut clients = tcp(server, count);
    ping(&mut clients);
    clients.into_iter().for_each(Client::reset);
}

fn kick(server: &Server, count: usize) {
    let mut clients = unix(server, count);
    all_say(&mut clients, "iam victim\nsg all\n");
    all_hear(&mut clients, 2);
    let mut operator = Client::unix(&server.admin);
    assert_eq!(operator.ask("kick victim"), format!("{count} Kick Success: victim"));
    clients.iter_mut().for_each(Client::wait_for_end);
}

fn wait(clients: &mut [Client]) {
    for (client, at) in clients.iter_mut().zip(0..) {
        client.send(format!("gw 60000 held {at}\n"));
    }
}

fn amid_a_wait(server: &Server, count: usize) {
    let mut clients = unix(server, count);
    wait(&mut clients);
    let waiters = || figure(server, "elockd_waiters{kind=\"exclusive\"}");
    poll("the waits", PATIENCE, || (waiters() == count as u64).then_some(()));
}

fn reset_amid_a_wait(server: &Server, count: usize) {
    let mut clients = tcp(server, count);
    wait(&mut clients);
    let waiters = || figure(server, "elockd_waiters{kind=\"exclusive\"}");
    poll("the waits", PATIENCE, || (waiters() == count as u64).then_some(()));
    clients.into_iter().for_each(Client::reset);
}

/// A listing is longer than what a socket takes.
fn amid_a_listing(server: &Server, count: usize) {
    for some in (0..count).step_by(25) {
        let mut clients = unix(server, 25.min(count - some));
        all_say(&mut clients, "d\n");
        all_hear(&mut clients, 1);
    }
}

fn idle(server: &Server, count: usize) {
    let mut clients = unix(server, count);
    all_say(&mut clients, "sg all\n");
    clients.iter_mut().for_each(Client::wait_for_end);
}

fn stalled(server: &Server, count: usize) {
    for some in (0..count).step_by(50) {
        let mut clients = unix(server, 50.min(count - some));
        let before = figure(server, "elockd_connections_closed_total{cause=\"stalled\"}");
        all_say(&mut clients, "sg all\nd\n");
        let all = before + clients.len() as u64;
        poll("the stalled clients to be closed", PATIENCE, || {
            (figure(server, "elockd_connections_closed_total{cause=\"stalled\"}") == all).then_some(())
        });
    }
}

impl Server {
    fn start(flags: &[&str], holder: Option<fn(&Daemon) -> Client>) -> Self {
        let dir = TempDir::new().unwrap();
        let admin = dir.path().join("admin.sock");
        let most = (TOGETHER + 1).to_string();
        let own = [
            "--max-connections",
            &most,
            "--metrics-listen=127.0.0.1:0",
            "--admin-unix",
            admin.to_str().unwrap(),
        ];
        let daemon = Daemon::start(&[flags, &own].concat());
        daemon.wait_for_log("for operators");
        let holder = holder.map(|start| start(&daemon));
        let at_rest = daemon.descriptors();
        Self { daemon, admin, at_rest, holder, _dir: dir }
    }

    /// Waits until all but the holder are gone.
    fn settle(&self) {
        let stays = u64::from(self.holder.is_some());
        poll("the connections to be gone", PATIENCE, || {
            let is_settled =
                figure(self, "elockd_connections") == stays && figure(self, "elockd_dead_holds") == 0;
            is_settled.then_some(())
        });
    }

    /// The same with their sockets, some of which linger for a second. What the daemon has then.
    fn at_rest(&self) -> Resources {
        self.settle();
        poll(&format!("{} descriptors", self.at_rest), PATIENCE, || {
            (self.daemon.descriptors() == self.at_rest).then_some(())
        });
        let threads = format!("/proc/{}/task", self.daemon.pid());
        Resources {
            threads: std::fs::read_dir(threads).unwrap().count(),
            memory_kib: self.daemon.memory_kib(),
        }
    }
}

/// Has connections end in these ways, and looks at what is left of them.
fn judge(server: &Server, ways: &[(&str, usize, Way, u64)]) {
    // What is made once and kept, such as room for tables, is made here.
    for (_, _, end, _) in ways {
        end(server, TOGETHER.min(100));
        server.at_rest();
    }
    for (way, count, end, most) in ways {
        let before = server.at_rest();
        let begun = Instant::now();
        for some in (0..*count).step_by(TOGETHER) {
            end(server, TOGETHER.min(count - some));
            server.settle();
        }
        let took = begun.elapsed();
        let after = server.at_rest();
        tell(format!(
            "{count} ends by {way}: {took:.1?}, {} to {} KiB, {} threads",
            before.memory_kib, after.memory_kib, after.threads
        ));
        assert_eq!(after.threads, before.threads, "threads after {count} ends by {way}");
        let more = after.memory_kib.saturating_sub(before.memory_kib);
        assert!(more <= *most, "{more} KiB more after {count} ends by {way}");
    }
}

#[test]
fn nothing_is_left_of_connections_however_they_end() {
    judge(&Server::start(&["--write-timeout=100ms"], Some(holder)), &WAYS);
}

/// On a daemon of its own, where nobody has to stay.
#[test]
fn nothing_is_left_of_connections_that_were_idle() {
    judge(&Server::start(&["--idle-timeout=400ms"], None), &[("idleness", 1250, idle, LITTLE_KIB)]);
}
