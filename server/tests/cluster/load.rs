//! Clients at all nodes that get and release a few locks, and write down what they were told and when.

use crate::judge::{Deed, Done, History, Line};
use crate::nodes::{Cluster, LONG};
use crate::support::poll;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Clients of each node.
const EACH: usize = 3;
/// The locks that all of them want.
const NAMES: u8 = 4;

/// What the clients share.
struct Shared {
    begin: Instant,
    over: AtomicBool,
    lines: AtomicU32,
}

/// A load that runs.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Done>>>,
    /// The gets and releases that were answered, of all clients of a node.
    answered: Vec<Arc<AtomicU64>>,
}

impl Load {
    /// Begins it at all nodes that are there now.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let shared = Shared { begin: Instant::now(), over: AtomicBool::new(false), lines: AtomicU32::new(0) };
        let mut load = Self { shared: Arc::new(shared), clients: Vec::new(), answered: Vec::new() };
        for node in &cluster.nodes {
            let answered = Arc::new(AtomicU64::new(0));
            for number in 0..EACH {
                let (shared, answered) = (Arc::clone(&load.shared), Arc::clone(&answered));
                let address = node.address;
                let seed = (load.clients.len() + number) as u64 + 1;
                load.clients.push(thread::spawn(move || live(&shared, address, &answered, seed)));
            }
            load.answered.push(answered);
        }
        load
    }

    /// Waits until the clients of these nodes got some more answers.
    pub(crate) fn goes_on(&self, nodes: impl IntoIterator<Item = usize>) {
        for at in nodes {
            let answered = || self.answered[at].load(Ordering::Relaxed);
            let before = answered();
            poll(&format!("clients of node {at} to be answered"), LONG, || {
                (answered() > before + 50).then_some(())
            });
        }
    }

    /// Ends it, and returns what was written down.
    pub(crate) fn end(self) -> History {
        self.shared.over.store(true, Ordering::Relaxed);
        History(self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect())
    }
}

/// A client's life: it connects again until the load is over.
fn live(shared: &Shared, address: SocketAddr, answered: &AtomicU64, seed: u64) -> Vec<Done> {
    let mut done = Vec::new();
    let mut random = seed;
    while !shared.over.load(Ordering::Relaxed) {
        let Ok(stream) = TcpStream::connect_timeout(&address, LONG) else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let number = shared.lines.fetch_add(1, Ordering::Relaxed);
        let mut speaking = Speaking {
            shared,
            number,
            stream: BufReader::new(stream),
            done: &mut done,
            touched: BTreeSet::new(),
        };
        let alive = shared.now();
        let ended = speaking.speak(answered, &mut random);
        if let Some(last) = ended {
            let (touched, heard) = (speaking.touched, shared.now());
            let end = |name| Done { line: number, name, deed: Deed::End, sent: last.max(alive), heard };
            done.extend(touched.into_iter().map(end));
            thread::sleep(Duration::from_millis(20));
        }
    }
    done
}

impl Shared {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }
}

/// One connection.
struct Speaking<'a> {
    shared: &'a Shared,
    number: Line,
    stream: BufReader<TcpStream>,
    done: &'a mut Vec<Done>,
    /// The locks that it has asked for.
    touched: BTreeSet<u8>,
}

impl Speaking<'_> {
    /// Gets and releases until the load is over, or the connection is. Then it returns when it was last known to live.
    fn speak(&mut self, answered: &AtomicU64, random: &mut u64) -> Option<u64> {
        let mut alive = 0;
        while !self.shared.over.load(Ordering::Relaxed) {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = (*random >> 33) as u8 % NAMES;
            let verb = if (*random >> 40).is_multiple_of(2) { "g" } else { "gw 300" };
            let got = self.ask(&format!("{verb} {name}"), name, Deed::Get);
            let Some(got) = got else { return Some(alive) };
            alive = self.shared.now();
            answered.fetch_add(1, Ordering::Relaxed);
            // So that a busy machine has time for the nodes.
            thread::sleep(Duration::from_millis(3));
            if got {
                if self.ask(&format!("r {name}"), name, Deed::Release).is_none() {
                    return Some(alive);
                }
                answered.fetch_add(1, Ordering::Relaxed);
                alive = self.shared.now();
            }
        }
        None
    }

    /// A request and its answer. `None` at the end of the connection.
    fn ask(&mut self, request: &str, name: u8, deed: fn(Option<bool>) -> Deed) -> Option<bool> {
        self.touched.insert(name);
        let sent = self.shared.now();
        let answer = self.exchange(request);
        let heard = self.shared.now();
        self.done.push(Done { line: self.number, name, deed: deed(answer), sent, heard });
        answer
    }

    fn exchange(&mut self, request: &str) -> Option<bool> {
        let mut line = String::new();
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).ok()?;
        match self.stream.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') && line.starts_with("1 ") => Some(true),
            Ok(_) if line.ends_with('\n') && (line.contains("Failure: ") || line.contains("Timeout: ")) => {
                Some(false)
            }
            Ok(_) if line.is_empty() || line == "0 No Quorum\n" || line == "0 Shutting Down\n" => None,
            Ok(_) => panic!("{request:?} was answered {line:?}"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("{request:?} was never answered")
            }
            Err(_) => None,
        }
    }
}
