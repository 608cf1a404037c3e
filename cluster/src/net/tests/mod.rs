//! Tests of links as a whole, over loopback sockets and over pipes. What is in this file is what they share: a node
//! that answers as its requests say, and a network of pipes.

mod asking;
mod breaking;
mod refusing;
mod tls;

use super::{Answer, Bounds, LinkEnd, LinkError, LinkListener, Links, Net, Purpose, Serving, Tcp, serve};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{Semaphore, mpsc, watch};

/// The cluster of the tests' nodes.
const CLUSTER: u128 = 0xc1;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_mins(1);

/// The bounds of tests on a clock that runs: a machine that is busy must not break their links.
fn patient() -> Bounds {
    Bounds { greeting: LONG, silence: LONG, ..Bounds::default() }
}

/// A kind of request that is answered at once, with its payload.
const ECHO: u8 = 1;
/// One that is answered with its payload when the test says so.
const HELD: u8 = 2;
/// One that closes the link.
const STRANGE: u8 = 3;

const fn node(node: u16) -> LinkEnd {
    LinkEnd { cluster: CLUSTER, node }
}

/// What answers the requests of a test's node. Its copies are one.
#[derive(Clone)]
struct Answerer {
    /// What came, in the order in which answers began.
    begun: Arc<watch::Sender<Vec<Begun>>>,
    /// Held requests by the first byte of the payload: how many of them may be answered.
    free: Arc<Vec<Semaphore>>,
    /// Who is not admitted.
    removed: Arc<AtomicU64>,
    running: Arc<AtomicUsize>,
    most_running: Arc<AtomicUsize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Begun {
    from: u16,
    purpose: Purpose,
    kind: u8,
    payload: Vec<u8>,
}

impl Answerer {
    fn new() -> Self {
        Self {
            begun: Arc::new(watch::Sender::default()),
            free: Arc::new((0..256).map(|_| Semaphore::new(0)).collect()),
            removed: Arc::default(),
            running: Arc::default(),
            most_running: Arc::default(),
        }
    }

    /// Returns when so many answers have begun.
    async fn begun(&self, count: usize) {
        self.begun.subscribe().wait_for(|begun| begun.len() >= count).await.unwrap();
    }

    fn admit(&self) -> impl Fn(u16, Purpose) -> Result<(), String> + Send + Sync + 'static {
        let removed = Arc::clone(&self.removed);
        move |from, _| {
            if from == 0 || u64::from(from) != removed.load(Ordering::SeqCst) {
                return Ok(());
            }
            Err(format!("node {from} was removed"))
        }
    }
}

impl Answer for Answerer {
    async fn answer(&self, from: u16, purpose: Purpose, kind: u8, payload: Vec<u8>) -> Option<Vec<u8>> {
        /// Counts down also where the future is dropped.
        struct Running<'a>(&'a AtomicUsize);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(&self.running);
        self.most_running.fetch_max(running, Ordering::SeqCst);
        let noted = payload[..payload.len().min(8)].to_vec();
        self.begun.send_modify(|begun| begun.push(Begun { from, purpose, kind, payload: noted }));
        match kind {
            ECHO => Some(payload),
            HELD => {
                let permit = self.free[usize::from(payload[0])].acquire().await.unwrap();
                permit.forget();
                Some(payload)
            }
            _ => None,
        }
    }
}

/// A node that answers, over plain TCP.
struct PlainNode {
    answerer: Answerer,
    serving: Serving,
    address: String,
}

impl PlainNode {
    async fn new(number: u16) -> Self {
        Self::with(number, patient()).await
    }

    async fn with(number: u16, bounds: Bounds) -> Self {
        Self::at("127.0.0.1:0", number, bounds).await
    }

    async fn at(address: &str, number: u16, bounds: Bounds) -> Self {
        let listener = Tcp::plain().listen(address).await.unwrap();
        let address = listener.address().unwrap().to_string();
        let answerer = Answerer::new();
        let serving = serve(Tcp::plain(), listener, node(number), bounds, answerer.admit(), answerer.clone());
        Self { answerer, serving, address }
    }

    /// Links of node `from` to this node alone, which is known as `to`.
    fn links(&self, from: LinkEnd, to: u16) -> Links<Tcp> {
        links_to(Tcp::plain(), from, patient(), to, &self.address)
    }
}

fn links_to<N: Net>(net: N, from: LinkEnd, bounds: Bounds, to: u16, address: &str) -> Links<N> {
    let links = Links::new(net, from, bounds);
    links.set_members(BTreeMap::from([(to, address.to_owned())]));
    links
}

async fn echo<N: Net>(links: &Links<N>, to: u16, payload: &[u8]) -> Result<Vec<u8>, LinkError> {
    links.ask(to, Purpose::Beats, ECHO, payload.to_vec(), LONG).await
}

/// The reason of a link that is down.
fn reason<T: std::fmt::Debug>(result: Result<T, LinkError>) -> String {
    match result {
        Err(LinkError::Down { reason, .. }) => reason,
        other => panic!("not down: {other:?}"),
    }
}

/// Returns when the runtime has no task but the test's own.
async fn no_task_is_left() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let ended = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    // Time may stand still here, so the bound is on the rounds of a clock that does not.
    tokio::select! {
        () = ended => {}
        () = async { for _ in 0..1_000_000 { tokio::task::yield_now().await } } => {
            panic!("{} tasks are left", metrics.num_alive_tasks());
        }
    }
}

/// A network of pipes with one listener. Its other end may be the test itself.
#[derive(Clone)]
struct Pipes {
    connected: mpsc::UnboundedSender<DuplexStream>,
    made: Arc<AtomicUsize>,
}

impl Pipes {
    fn new() -> (Self, mpsc::UnboundedReceiver<DuplexStream>) {
        let (connected, listener) = mpsc::unbounded_channel();
        (Self { connected, made: Arc::default() }, listener)
    }
}

impl Net for Pipes {
    type Stream = DuplexStream;
    type Accepted = DuplexStream;
    type Listener = mpsc::UnboundedReceiver<DuplexStream>;

    async fn connect(&self, _: &str) -> io::Result<DuplexStream> {
        let (here, there) = duplex(64 << 10);
        self.made.fetch_add(1, Ordering::SeqCst);
        self.connected.send(there).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(here)
    }

    async fn accept(&self, listener: &mut Self::Listener) -> io::Result<(DuplexStream, SocketAddr)> {
        match listener.recv().await {
            Some(stream) => Ok((stream, SocketAddr::from(([127, 0, 0, 1], 1)))),
            None => std::future::pending().await,
        }
    }

    async fn begin(&self, accepted: DuplexStream) -> io::Result<DuplexStream> {
        Ok(accepted)
    }
}

/// Listens with a free port of plain TCP.
async fn listen() -> LinkListener {
    Tcp::plain().listen("127.0.0.1:0").await.unwrap()
}
