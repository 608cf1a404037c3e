//! Goal: when the network falls silent, a guard tells that its lock is lost seconds before the daemon can give the lock
//! to somebody else, with the real kernel's idea of silence on both sides. Method: two network namespaces joined by a
//! virtual cable, the daemon in one, a client in the other, each in a process of its own. Packets from the client are
//! made to vanish. An observer at the daemon's Unix socket, which no namespace separates, asks for the lock until it
//! gets it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_client::{Client, LOST_AFTER, PEER_TIMEOUT};
use elockd_server::listen::{TcpListener, TcpOptions, UnixListener};
use elockd_server::{Config, Server};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const DAEMON_IP: &str = "192.0.2.5";
const CLIENT_IP: &str = "192.0.2.6";
/// Where the other processes find the daemon's Unix socket.
const SOCKET: &str = "ELOCKD_TEST_MARGIN_SOCKET";

/// Two namespaces and the cable between them; gone when dropped, also when a test panics.
struct Network {
    daemon: String,
    client: String,
}

impl Network {
    /// Needs to be root, and iproute2. Else it says why it cannot be.
    fn build() -> Result<Self, String> {
        let name = |role| format!("elockd-margin-{}-{role}", std::process::id());
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
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.daemon, &self.client] {
            // Fails if it was never made, which has been reported.
            let _ = ip(&["netns", "delete", namespace]);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    let message = || format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    output.status.success().then_some(()).ok_or_else(message)
}

/// This program once more, in a namespace, doing nothing but one ignored test. Killed when dropped.
struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn start(namespace: &str, test: &str, socket: &str) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", test])
            .env(SOCKET, socket)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Reads up to the line that begins so, and returns the rest of it.
    fn says(&mut self, start: &str) -> String {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            // The harness writes the name of the test into the first line.
            if let Some((_, rest)) = line.split_once(start) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("it never said {start}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(text: &str) {
    std::io::stdout().write_all(format!("{text}\n").as_bytes()).unwrap();
}

#[tokio::test]
#[ignore = "no test, but the daemon of the other one"]
async fn the_daemon() {
    let Ok(socket) = std::env::var(SOCKET) else { return };
    let options = TcpOptions { peer_timeout: Some(PEER_TIMEOUT) };
    let server = Server::new(Config::default());
    server.listen(TcpListener::bind(format!("{DAEMON_IP}:9999").parse().unwrap(), options).unwrap());
    server.listen(UnixListener::bind(socket.as_ref(), 0o600).unwrap());
    say("margin: listening");
    server.run(std::future::pending()).await;
}

#[tokio::test]
#[ignore = "no test, but the client of the other one"]
async fn the_client() {
    if std::env::var_os(SOCKET).is_none() {
        return;
    }
    let client = Client::connect(DAEMON_IP).await.unwrap();
    let guard = client.lock("a").try_now().await.unwrap();
    say("margin: held");
    let lost = guard.lost().await;
    say(&format!("margin: lost {lost:?}"));
}

/// The daemon's silence begins with the last packet of the client, which is up to 2 s older than the cut.
#[test]
fn a_silent_loss_is_told_before_the_daemon_gives_the_lock_away() {
    let network = match Network::build() {
        Ok(network) => network,
        Err(reason) => return eprintln!("SKIPPED: no network namespaces: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("locks").to_str().unwrap().to_owned();
    let mut daemon = Process::start(&network.daemon, "the_daemon", &socket);
    daemon.says("margin: listening");
    let mut client = Process::start(&network.client, "the_client", &socket);
    client.says("margin: held");
    let (told, is_told) = std::sync::mpsc::channel();
    let teller = std::thread::spawn(move || {
        let lost = client.says("margin: lost ");
        told.send((Instant::now(), lost)).unwrap();
        client
    });

    ip(&["-n", &network.client, "route", "add", "blackhole", &format!("{DAEMON_IP}/32")]).unwrap();
    let cut = Instant::now();
    let observer = elockd_client::blocking::connect(&socket).unwrap();
    let guard = observer.lock("a").get().unwrap();
    let freed = Instant::now();
    let (lost_at, lost) = is_told.recv().unwrap();
    drop(teller.join().unwrap());
    let (lost_after, freed_after) = (lost_at - cut, freed - cut);
    eprintln!("margin: {lost} after {lost_after:.1?}, and the lock was free after {freed_after:.1?}");
    assert_eq!(lost, "Silent");
    assert!(lost_at < freed, "the guard tells first");
    assert!(freed_after + Duration::from_secs(2) >= PEER_TIMEOUT, "the daemon waits for as long as it says");
    assert!(lost_after + Duration::from_secs(2) >= LOST_AFTER, "it is not lost too early");
    guard.release().unwrap();
}
