//! Three nodes of a cluster, played by a test, and an account of which of them a client has tried, and when.

use crate::line::Line;
use elockd_client::{Builder, Client, Server, Transport};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout};

/// The hosts of the nodes, in the order in which a client is told of them.
pub(crate) const ALL: [&str; 3] = ["n1", "n2", "n3"];

/// The ways to the nodes.
#[derive(Clone)]
pub(crate) struct Wires {
    connect: UnboundedSender<(String, DuplexStream)>,
    down: Arc<Mutex<BTreeSet<String>>>,
    attempts: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Transport for Wires {
    type Stream = DuplexStream;

    async fn connect(&self, server: &Server) -> io::Result<DuplexStream> {
        let Server::Tcp { host, .. } = server else { panic!("{server}") };
        self.attempts.lock().unwrap().push((Instant::now(), host.clone()));
        if self.down.lock().unwrap().contains(host) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = duplex(4096);
        self.connect.send((host.clone(), far)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(near)
    }
}

/// The connections that come to the nodes.
pub(crate) struct Nodes {
    wires: Wires,
    connected: UnboundedReceiver<(String, DuplexStream)>,
}

impl Nodes {
    pub(crate) fn start() -> Self {
        let (connect, connected) = unbounded_channel();
        Self { wires: Wires { connect, down: Arc::default(), attempts: Arc::default() }, connected }
    }

    /// A client of all of them, which does not know that they are a cluster.
    pub(crate) fn builder(&self) -> Builder<Wires> {
        let builder =
            ALL.iter().fold(Client::builder(), |builder, node| builder.server(node.parse().unwrap()));
        builder.seed(7).transport(self.wires.clone())
    }

    /// A client of the cluster.
    pub(crate) fn client(&self) -> Client<Wires> {
        self.builder().cluster().build().unwrap()
    }

    /// The next connection, and the node to which it came.
    pub(crate) async fn accept_any(&mut self) -> (String, Line) {
        let next = timeout(Duration::from_hours(2), self.connected.recv()).await;
        let (host, stream) = next.expect("somebody connects").unwrap();
        (host, Line(stream))
    }

    /// The next connection, which must come to this node.
    pub(crate) async fn accept(&mut self, node: &str) -> Line {
        let (host, line) = self.accept_any().await;
        assert_eq!(host, node);
        line
    }

    /// The same, at a node that says something other than the client wants to hear, and ends the connection.
    pub(crate) async fn refuse(&mut self, node: &str, words: &str) {
        let mut line = self.accept(node).await;
        line.says(words).await;
    }

    /// Whether these nodes, and no others, refuse connections.
    pub(crate) fn down(&self, nodes: &[&str]) {
        *self.wires.down.lock().unwrap() = nodes.iter().map(|node| (*node).to_owned()).collect();
    }

    /// Which nodes were tried since the last call, in their order, and when.
    pub(crate) fn attempts(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.wires.attempts.lock().unwrap())
    }

    /// Which nodes were tried since the last call, in their order.
    pub(crate) fn tried(&self) -> Vec<String> {
        self.attempts().into_iter().map(|(_, node)| node).collect()
    }
}
