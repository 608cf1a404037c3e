//! Goal: at a real cluster a command is gone before anybody else has its lock, whatever becomes of the node that elock
//! talks to, and with a grace it goes on. Method: three daemons, each a process of its own, are killed and stopped.
//! Somebody waits for the lock at the other nodes, and looks whether the command still runs when it has the lock. The
//! order of the two is what counts, so the test needs no clock.

use crate::check::{judge, words};
use crate::daemon::elock;
use crate::running::{end, line, start};
use crate::{Guarded, poll, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The program of the daemon, if it was built and can be a node.
pub(crate) fn elockd() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_elock")).with_file_name("elockd");
    let help = Command::new(&program).args(["cluster", "--help"]).output().ok()?;
    help.status.success().then_some(program)
}

/// Addresses that were free a moment ago. They are open together, so that none is there twice.
pub(crate) fn free_addresses() -> Vec<String> {
    let listeners: Vec<_> = (0..6).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect()
}

/// A node, by the address for clients, and how it is started.
struct Node {
    address: String,
    settings: Vec<String>,
    running: Option<Guarded>,
}

struct RealCluster {
    program: PathBuf,
    nodes: Vec<Node>,
    folder: TempDir,
}

impl RealCluster {
    fn start(program: PathBuf) -> Self {
        let mut cluster = Self { program, nodes: Vec::new(), folder: TempDir::new().unwrap() };
        let free = free_addresses();
        for at in 0..3 {
            let state = cluster.folder.path().join(format!("state-{at}"));
            fs::create_dir(&state).unwrap();
            let words = ["--listen", &free[at], "--cluster-listen", &free[3 + at], "--state-dir"];
            let mut settings: Vec<_> = words.map(str::to_owned).into();
            settings.push(state.to_str().unwrap().to_owned());
            cluster.nodes.push(Node { address: free[at].clone(), settings, running: None });
            if at == 0 {
                cluster.tool(at, &["init"]);
            } else {
                cluster.tool(at, &["join", &free[3]]);
            }
            cluster.run(at);
            if at > 0 {
                cluster.tool(0, &["promote", &(at + 1).to_string()]);
            }
        }
        cluster
    }

    /// A command of operators, with the settings of a node, again until it is done.
    fn tool(&self, at: usize, words: &[&str]) {
        poll(&format!("elockd cluster {words:?}"), || {
            let mut command = Command::new(&self.program);
            command.arg("cluster").args(words).arg("--").args(&self.nodes[at].settings);
            (run(&mut command).0 == 0).then_some(())
        });
    }

    /// Starts a node, and waits until it serves. What is left of it is ended first.
    fn run(&mut self, at: usize) {
        self.nodes[at].running = None;
        let log = File::create(self.folder.path().join(format!("log-{at}"))).unwrap();
        let mut command = Command::new(&self.program);
        command.args(&self.nodes[at].settings).stdout(log.try_clone().unwrap()).stderr(log);
        self.nodes[at].running = Some(Guarded(command.spawn().unwrap()));
        self.until_serves(at);
    }

    fn until_serves(&self, at: usize) {
        let address = &self.nodes[at].address;
        poll("a node to serve", || (run(&mut elock(&["ping", "--server", address])).0 == 0).then_some(()));
    }

    fn signal(&self, at: usize, signal: Signal) {
        let node = self.nodes[at].running.as_ref().unwrap();
        kill(Pid::from_raw(node.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// The program, told of all nodes, this one first.
    fn elock(&self, first: usize, words: &[&str]) -> Command {
        let servers: Vec<_> = (0..3).map(|at| self.nodes[(first + at) % 3].address.as_str()).collect();
        let mut command = elock(words);
        command.env("ELOCK_SERVER", servers.join(",")).env("ELOCK_CLUSTER", "1");
        command.env("XDG_RUNTIME_DIR", self.folder.path());
        command
    }

    /// Waits until somebody waits for the lock.
    fn until_waits(&self, at: usize) {
        poll("somebody to wait", || run(&mut self.elock(at, &["ls", "a"])).1.contains("waits").then_some(()));
    }

    /// A command loses its node in this way, and the next one gets the lock.
    fn loses(&self, at: usize, by: Signal) {
        let script = "trap '' TERM; echo $$; while :; do sleep 0.01; done";
        let (running, mut stdout) = start(&mut self.elock(at, &["run", "a", "-c", script]));
        let pid = line(&mut stdout);
        let look = format!("test -e /proc/{pid} && echo both || echo alone");
        let other = (at + 1) % 3;
        let (next, mut told) = start(&mut self.elock(other, &["run", "a", "-c", &look]));
        self.until_waits(other);
        self.signal(at, by);
        assert_eq!(line(&mut told), "alone", "node {at}, {by}");
        assert_eq!(end(next).0, 0);
        let (status, err) = end(running);
        assert_eq!(status, 79, "{err}");
        assert!(err.starts_with("elock: a was lost: "), "{err}");
    }

    /// A command whose lock lingers loses its node in this way, and does not notice.
    fn keeps(&self, at: usize, by: Signal) {
        let go = self.folder.path().join("go");
        let script = format!("echo; while ! test -e {}; do sleep 0.01; done; exit 3", go.display());
        let words = ["run", "a", "--linger", "60s", "-c", &script];
        let (running, mut stdout) = start(&mut self.elock(at, &words));
        line(&mut stdout);
        let resumed = || run(&mut self.elock((at + 1) % 3, &["stats", "--full", "resumed"])).1;
        let before = resumed();
        self.signal(at, by);
        poll("the lock to be resumed", || (resumed() != before).then_some(()));
        fs::write(&go, "").unwrap();
        assert_eq!(end(running), (3, String::new()), "node {at}, {by}");
        fs::remove_file(go).unwrap();
    }

    /// Clients lock and unlock while this node is killed. No lock is held twice, and clients of the node go on.
    fn checks(&self, at: usize) {
        let history = self.folder.path().join("history");
        let (running, mut stdout) = start(&mut self.elock(0, &words(&history, &["--for", "1h"])));
        let count = || fs::read_to_string(&history).unwrap_or_default().lines().count();
        poll("holds before", || (count() > 100).then_some(()));
        self.signal(at, Signal::SIGKILL);
        let mut said = String::new();
        let address = format!("on to {}", self.nodes[(at + 1) % 3].address);
        while !said.contains(&address) {
            let line = line(&mut stdout);
            assert!(!line.is_empty(), "it has ended: {said}");
            said.push_str(&line);
        }
        let before = count();
        poll("holds after", || (count() > before + 100).then_some(()));
        kill(Pid::from_raw(running.0.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
        assert_eq!(end(running), (0, String::new()), "{said}{rest}");
        assert!(rest.contains("; no lock was held twice; "), "{rest}");
        assert_eq!(judge(&history).1, 0, "node {at}");
    }
}

#[test]
fn a_command_survives_no_node_that_it_should_not() {
    let Some(program) = elockd() else {
        return eprintln!("SKIPPED: there is no elockd beside elock that can be a node of a cluster");
    };
    let mut cluster = RealCluster::start(program);
    cluster.loses(2, Signal::SIGKILL);
    cluster.run(2);
    // A node that was stopped for so long ends itself when it goes on, and is started again by who looks after it.
    cluster.loses(1, Signal::SIGSTOP);
    cluster.run(1);
    cluster.keeps(2, Signal::SIGKILL);
    cluster.run(2);
    cluster.keeps(1, Signal::SIGSTOP);
    cluster.run(1);
    // The first one has founded the cluster, so it leads, unless a pause of this machine made an election.
    cluster.loses(0, Signal::SIGKILL);
}

#[test]
fn a_check_sees_no_lock_held_twice_when_a_node_is_killed() {
    let Some(program) = elockd() else {
        return eprintln!("SKIPPED: there is no elockd beside elock that can be a node of a cluster");
    };
    let cluster = RealCluster::start(program);
    // It has founded the cluster, so it leads, unless a pause of this machine made an election.
    cluster.checks(0);
}
