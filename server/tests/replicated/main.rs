//! Goal: servers behind an agreed log are one daemon for their clients, and let go of them in time when their lease is
//! over. Method: production servers in this process, over streams in memory and a paused clock. There is no cluster:
//! the log is taken from their doors and applied on all of them, and the tests say who has a lease.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::format_collect, reason = "these texts are short")]
#![allow(clippy::redundant_closure_for_method_calls, reason = "the method is generic")]

mod half_a_reply;
mod lapse;
mod log;
mod loopback;
mod nodes;
#[cfg(feature = "tls")]
mod over_tls;
mod shutdown;
mod under_way;

use elockd_cluster::{Inside, Moment, Service};
use elockd_server::gate::{Replica, Replicated};
use elockd_server::listen::{Handshake, Listener, Peer};
use elockd_server::{Config, Monitor, Server};
use loopback::{Loopback, Member, hinged, set};
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, yield_now};

/// When the leases of most tests end.
const LEASE: Moment = Moment(1000);

/// Accepts what it is handed.
struct Handed(UnboundedReceiver<(DuplexStream, Peer)>);

impl fmt::Display for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Listener for Handed {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(handed) => Ok(handed),
            None => pending().await,
        }
    }
}

/// A node that runs, and the way to it.
struct Node {
    connect: UnboundedSender<(DuplexStream, Peer)>,
    inside: Arc<Inside>,
    replica: Arc<Replica>,
    /// Its clock of leases.
    hand: Arc<AtomicU64>,
    monitor: Monitor<Replicated>,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<()>,
}

impl Node {
    fn start(number: u16, config: Config, listen: impl FnOnce(&Server<Replicated>, Handed)) -> Self {
        let (door, inside, hand) = hinged(number);
        let server = Server::clustered(config, door);
        let replica = server.replica();
        let (connect, handed) = unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        listen(&server, Handed(handed));
        let monitor = server.monitor();
        let done = tokio::spawn(server.run(async { drop(stopped.await) }));
        Self { connect, inside, replica, hand, monitor, stop: Some(stop), done }
    }

    /// A connection whose two buffers hold this many bytes.
    fn connect_with(&self, buffer: usize) -> DuplexStream {
        let (near, far) = duplex(buffer);
        self.connect.send((far, Peer::Unix)).unwrap();
        near
    }

    fn connect(&self) -> DuplexStream {
        self.connect_with(1 << 20)
    }

    /// Has it serve its next epoch.
    fn serve(&self, epoch: u64, until: Moment) {
        self.inside.serve(epoch, until);
    }

    /// What a log knows of it.
    fn member(&self) -> Member<Replica> {
        Member { inside: Arc::clone(&self.inside), replica: Arc::clone(&self.replica) }
    }

    fn service(&self) -> Service {
        *self.inside.service().borrow()
    }
}

/// Nodes 1 to N that serve epoch 1 behind one log.
struct World {
    nodes: Vec<Node>,
    hold: watch::Sender<bool>,
}

impl World {
    fn new(nodes: u16, change: impl Fn(&mut Config)) -> Self {
        Self::listening(nodes, change, |server, handed| server.listen(handed))
    }

    /// The same with sockets that need a handshake.
    fn through<H: Handshake<elockd_server::gate::Leased<DuplexStream>> + Clone>(handshake: &H) -> Self {
        Self::listening(1, |_| {}, |server, handed| server.listen_through(handed, handshake.clone()))
    }

    fn listening(
        nodes: u16,
        change: impl Fn(&mut Config),
        listen: impl Fn(&Server<Replicated>, Handed),
    ) -> Self {
        let mut config = Config { write_timeout: None, ..Config::default() };
        change(&mut config);
        let nodes: Vec<_> = (1..=nodes).map(|number| Node::start(number, config.clone(), &listen)).collect();
        let (log, hold) = Loopback::new(nodes.iter().map(Node::member).collect());
        tokio::spawn(log.run());
        for node in &nodes {
            node.serve(1, LEASE);
        }
        Self { nodes, hold }
    }

    /// Holds the log: what is handed in from now on stays under way.
    fn hold(&self) {
        self.hold.send_replace(true);
    }

    /// Lets it go on.
    fn go_on(&self) {
        self.hold.send_replace(false);
    }

    fn connect(&self, node: usize) -> DuplexStream {
        self.nodes[node - 1].connect()
    }
}

/// Lets everybody run until nothing is left to be done at this time.
async fn settle() {
    for _ in 0..400 {
        yield_now().await;
    }
}

async fn say(stream: &mut DuplexStream, request: &str) {
    stream.write_all(request.as_bytes()).await.unwrap();
    settle().await;
}

async fn ask(stream: &mut DuplexStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    line(stream).await
}

async fn line(stream: &mut DuplexStream) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stream.read_u8().await.expect("a whole line"));
    }
    String::from_utf8(line).unwrap()
}

async fn rest(stream: &mut DuplexStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    rest
}

/// What is there to be read now, and whether that is all there will ever be.
async fn heard(stream: &mut DuplexStream) -> (String, bool) {
    settle().await;
    let (mut all, mut bytes) = (String::new(), vec![0; 1 << 20]);
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
        all += std::str::from_utf8(buffer.filled()).unwrap();
        match read {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
            Poll::Ready(read) => return (all, read.is_ok()),
            Poll::Pending => return (all, false),
        }
    }
}

fn over(text: &str) -> (String, bool) {
    (text.to_owned(), true)
}

fn silence() -> (String, bool) {
    (String::new(), false)
}

fn figure(node: &Node, wanted: &str) -> u64 {
    let mut found = None;
    node.monitor.figures(|figures| {
        figures.each(true, &mut |key, figure| {
            if let (true, elockd_core::Figure::Number(number)) = (key == wanted, figure) {
                found = Some(number);
            }
        });
    });
    found.expect("a figure of that name")
}
