//! `--cluster`: the way to another node, and what becomes of the command. The nodes are two ways to one daemon,
//! because a cluster has one set of locks. A way that is cut or silent is a node that is dead or cut off.

use crate::daemon::Daemon;
use crate::proxy::Proxy;
use crate::running::{end, line, start};
use crate::{poll, run};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

/// Two nodes.
struct Cluster {
    daemon: Daemon,
    nodes: [Proxy; 2],
}

impl Cluster {
    fn start() -> Self {
        let daemon = Daemon::start();
        let nodes = [Proxy::to(daemon.address()), Proxy::to(daemon.address())];
        Self { daemon, nodes }
    }

    /// The program, told of both nodes.
    fn elock(&self, words: &[&str]) -> Command {
        let servers = format!("{},{}", self.nodes[0].address(), self.nodes[1].address());
        let mut command = self.daemon.elock(words);
        command.env("ELOCK_SERVER", servers).env("ELOCK_CLUSTER", "1");
        command
    }

    /// A figure of the daemon.
    fn until_figure(&self, line: &str) {
        let mut watcher = self.daemon.client();
        poll(line, || watcher.ask_rows("q full").contains(&line.to_owned()).then_some(()));
    }
}

/// A command that says its number, and goes on until it is killed.
const STUBBORN: &str = "trap '' TERM; echo $$; while :; do sleep 0.01; done";

#[test]
fn without_a_grace_the_death_of_the_node_ends_the_command() {
    for is_silent in [false, true] {
        let cluster = Cluster::start();
        let (running, mut stdout) = start(&mut cluster.elock(&["run", "a", "-c", STUBBORN]));
        let pid = line(&mut stdout);
        if is_silent {
            cluster.nodes[0].be_silent();
        } else {
            cluster.nodes[0].cut();
        }
        let (status, err) = end(running);
        assert_eq!(status, 79);
        let reason = if is_silent { "the daemon has not answered for too long" } else { "the daemon closed" };
        assert!(err.starts_with(&format!("elock: a was lost: {reason}")), "{err}");
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "it does not listen to TERM");
    }
}

#[test]
fn with_a_grace_the_lock_is_resumed_at_another_node() {
    for is_silent in [false, true] {
        let cluster = Cluster::start();
        let go = cluster.daemon.folder().join("go");
        let script = format!("echo $$; while ! test -e {}; do sleep 0.01; done; exit 3", go.display());
        let words = ["run", "a", "--linger", "60s", "-c", &script];
        let (running, mut stdout) = start(&mut cluster.elock(&words));
        line(&mut stdout);
        if is_silent {
            cluster.nodes[0].be_silent();
        } else {
            cluster.nodes[0].cut();
        }
        cluster.until_figure("resumed: 1");
        fs::write(go, "").unwrap();
        assert_eq!(end(running), (3, String::new()));
        cluster.daemon.until("a", false);
    }
}

#[test]
fn a_wait_begins_anew_at_another_node() {
    let cluster = Cluster::start();
    let mut holder = cluster.daemon.client();
    holder.get("a");
    let (running, mut stdout) = start(&mut cluster.elock(&["run", "a", "--", "echo", "mine"]));
    cluster.daemon.until_waiters("a", 1);
    cluster.nodes[0].cut();
    cluster.until_figure("waits: 2");
    cluster.daemon.until_waiters("a", 1);
    assert_eq!(holder.ask("r a"), "1 Lock Release Success: a");
    assert_eq!(line(&mut stdout), "mine");
    assert_eq!(end(running), (0, String::new()));
}

#[test]
fn who_leads_does_so_again_by_way_of_another_node() {
    let cluster = Cluster::start();
    let (running, mut stdout) = start(&mut cluster.elock(&["lead", "a", "-c", STUBBORN]));
    let first = line(&mut stdout);
    cluster.nodes[0].cut();
    assert_ne!(line(&mut stdout), first);
    assert!(!fs::exists(format!("/proc/{first}")).unwrap(), "the first one is gone");
    drop(running);
}

/// A node that has no quorum, as long as the test lasts. Returns its address.
fn node_without_quorum() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            // What was sent is read, so that the words are not lost by a reset. Who has gone has heard them.
            let _ = stream.write_all(b"0 No Quorum\n");
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

/// Every command that asks goes on to a node that serves.
#[test]
fn questions_go_to_a_node_that_serves() {
    let daemon = Daemon::start();
    daemon.client().get("a");
    let lost = node_without_quorum();
    let asks = |words: &[&str], servers: &str| {
        run(daemon.elock(words).env("ELOCK_SERVER", servers).env("ELOCK_CLUSTER", "1"))
    };
    for servers in [format!("{lost},{}", daemon.address()), format!("{},{lost}", daemon.address())] {
        for (words, status) in [(&["ping"][..], 0), (&["ls"], 0), (&["inspect", "b"], 1), (&["wait", "b"], 0)]
        {
            let (found, out, err) = asks(words, &servers);
            assert_eq!(found, status, "{words:?}: {out}{err}");
        }
    }
    let (status, _, err) = asks(&["ls"], &format!("{lost},{lost}"));
    assert_eq!(status, 69);
    assert_eq!(err.matches("it has no quorum").count(), 2, "{err}");
}
