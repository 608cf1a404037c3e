//! Two network namespaces joined by a virtual cable, the daemon in one, a client in the other. Packets from the client
//! can be made to vanish.

// Each test uses its own part of this.
#![allow(dead_code)]

use elockd_client::PEER_TIMEOUT;
use elockd_server::listen::{TcpListener, TcpOptions, UnixListener};
use elockd_server::{Config, Server};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

pub(crate) const DAEMON_IP: &str = "192.0.2.5";
const CLIENT_IP: &str = "192.0.2.6";
/// Where the other processes find the daemon's Unix socket.
pub(crate) const SOCKET: &str = "ELOCKD_TEST_MARGIN_SOCKET";

/// Two namespaces and the cable between them; gone when dropped, also when a test panics.
pub(crate) struct Network {
    pub(crate) daemon: String,
    pub(crate) client: String,
}

impl Network {
    /// Needs to be root, and iproute2. Else it says why it cannot be.
    pub(crate) fn build() -> Result<Self, String> {
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

    /// From now on no packet of the client reaches the daemon.
    pub(crate) fn cut(&self) {
        ip(&["-n", &self.client, "route", "add", "blackhole", &format!("{DAEMON_IP}/32")]).unwrap();
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
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(namespace: &str, test: &str, socket: &str) -> Self {
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
    pub(crate) fn says(&mut self, start: &str) -> String {
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

pub(crate) fn say(text: &str) {
    std::io::stdout().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Serves for ever, if this is the process that shall.
pub(crate) async fn serve() {
    let Ok(socket) = std::env::var(SOCKET) else { return };
    let options = TcpOptions { peer_timeout: Some(PEER_TIMEOUT) };
    let server = Server::new(Config::default());
    server.listen(TcpListener::bind(format!("{DAEMON_IP}:9999").parse().unwrap(), options).unwrap());
    server.listen(UnixListener::bind(socket.as_ref(), 0o600).unwrap());
    say("margin: listening");
    server.run(std::future::pending()).await;
}
