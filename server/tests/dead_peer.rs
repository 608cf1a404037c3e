//! Goal: a peer that is gone without a word, by power cut or a pulled cable, loses its locks within
//! the time that `--peer-timeout` says. Method: two network namespaces joined by a virtual cable; the
//! daemon in one, a client in the other. Packets from the client to the daemon are made to vanish,
//! then the client is killed: neither its FIN nor any reset ever arrives. An observer at the daemon's
//! Unix socket, which no namespace separates, asks for the lock until it gets it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use support::{Daemon, PATIENCE, poll, tell, victim};

const DAEMON_IP: &str = "192.0.2.1";
const CLIENT_IP: &str = "192.0.2.2";

/// Two namespaces and the cable between them; gone when dropped, also when a test panics.
struct Network {
    daemon: String,
    client: String,
}

impl Network {
    /// Needs to be root, and the tools of iproute2; else it says why it cannot be.
    fn build() -> Result<Self, String> {
        static BUILT: AtomicU32 = AtomicU32::new(0);
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let name = |role| format!("elockd-test-{}-{number}-{role}", std::process::id());
        // Before the first namespace is made, so that dropping it undoes what was done until an error.
        let network = Self { daemon: name("daemon"), client: name("client") };
        let Self { daemon, client } = &network;
        for namespace in [daemon, client] {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        let cable = ["link", "add", "name", "cable", "netns", daemon, "type", "veth"];
        ip(&[&cable[..], &["peer", "name", "cable", "netns", client]].concat())?;
        for (namespace, address) in [(daemon, DAEMON_IP), (client, CLIENT_IP)] {
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", "cable"])?;
            ip(&["-n", namespace, "link", "set", "cable", "up"])?;
        }
        Ok(network)
    }

    /// A command that becomes `program`, in one of the namespaces.
    fn command_in(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    /// From now on no packet of the client reaches the daemon.
    fn cut(&self) {
        ip(&["-n", &self.client, "route", "add", "blackhole", &format!("{DAEMON_IP}/32")]).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.daemon, &self.client] {
            // Fails when it was never made, which has been reported.
            let _ = ip(&["netns", "delete", namespace]);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    let message = || format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(message)
}

#[test]
#[ignore = "no test, but the process that the others kill"]
fn the_process_to_be_killed() {
    victim::live();
}

/// Bytes that the daemon has sent to the client, or wants to, and that were not acknowledged.
fn unacknowledged(daemon: &Daemon) -> u64 {
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", daemon.pid())).unwrap();
    // Columns: number, local address, remote address, state (01 is established), queues as TX:RX.
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let queues: Vec<u64> = rows
        .filter(|row| row[3] == "01")
        .map(|row| u64::from_str_radix(row[4].split(':').next().unwrap(), 16).unwrap())
        .collect();
    assert_eq!(queues.len(), 1, "one client over TCP:\n{table}");
    queues[0]
}

/// Lets a client vanish, and says how long its lock outlives it.
fn vanish(network: &Network, flags: &[&str], chats: bool, patience: Duration) -> Duration {
    let program = Network::command_in(&network.daemon, env!("CARGO_BIN_EXE_elockd"));
    let daemon = Daemon::start_by(program, &[&["--listen", DAEMON_IP], flags].concat());
    let address = daemon.address_of(&format!("tcp {DAEMON_IP}:")).to_string();
    assert!(address.ends_with(":9999"), "{address} should have the usual port");

    let this = Network::command_in(&network.client, std::env::current_exe().unwrap());
    let mut client = victim::spawn(this, "the_process_to_be_killed", &address, chats);
    let mut observer = daemon.unix();
    let is_held = || observer.ask("i a").starts_with('1').then_some(());
    poll("the client to get its lock", PATIENCE, is_held);
    if chats {
        let is_chatting = || (observer.figures().get("command_help") > Some(&1000)).then_some(());
        poll("the client to chat", PATIENCE, is_chatting);
    }

    network.cut();
    client.signal(Signal::KILL);
    client.wait(PATIENCE);
    let start = Instant::now();
    assert_eq!(observer.ask("g a"), "0 Lock Get Failure: a", "it is not known to be gone yet");
    assert_eq!(unacknowledged(&daemon) > 0, chats, "what is in flight");
    poll("the lock to be free", patience, || observer.ask("g a").starts_with('1').then_some(()));
    let outlived = start.elapsed();
    assert!(outlived > Duration::from_millis(500), "so soon? Its FIN came through");
    let figures = observer.figures();
    assert_eq!((figures["orphans"], figures["connections"]), (1, 1));
    assert_eq!(figures["closed_error"], 1);
    outlived
}

#[test]
fn a_silent_peer_that_vanishes_loses_its_locks_in_time() {
    let network = match Network::build() {
        Ok(network) => network,
        Err(reason) => return tell(format!("SKIPPED: no network namespaces: {reason}")),
    };
    let outlived = vanish(&network, &[], false, Duration::from_secs(25));
    tell(format!("dead peer: the lock of a silent one was free after {outlived:.1?}, by default"));
}

#[test]
fn a_peer_that_vanishes_amid_answers_loses_its_locks_in_time() {
    let network = match Network::build() {
        Ok(network) => network,
        Err(reason) => return tell(format!("SKIPPED: no network namespaces: {reason}")),
    };
    let outlived = vanish(&network, &["--peer-timeout", "3s"], true, Duration::from_secs(10));
    tell(format!("dead peer: the lock of a busy one was free after {outlived:.1?}, with --peer-timeout 3s"));
}
