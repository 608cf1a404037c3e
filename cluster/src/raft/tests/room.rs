//! A room: several engines and the links between them, which can be cut and slowed down. Time is tokio's, paused, and
//! numbers are drawn from a seed, so that a test takes no time and always takes the same course.

use crate::clock::{Clock, Moment};
use crate::net::{Ask, LinkError, Purpose};
use crate::raft::{
    Committed, Engine, EngineConfig, EngineStore, Proposal, ProposeError, Seeded, Standing, seed,
};
use crate::store::{DiskLog, Folder, Log, Store, Writing};
use crate::wire::{decode, encode};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What every node has applied: entries with their indexes.
pub(super) type Ledger = Vec<(u64, Vec<u8>)>;

struct LedgerState(Arc<Mutex<Ledger>>);

impl Committed for LedgerState {
    fn apply(&mut self, index: u64, entry: &[u8]) {
        let mut ledger = self.0.lock().unwrap();
        assert!(ledger.last().is_none_or(|(last, _)| *last < index), "applied twice, or out of order");
        ledger.push((index, entry.to_vec()));
    }

    fn copy(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
        let copy = self.0.lock().unwrap().clone();
        Box::new(move || encode(&copy))
    }

    fn install(&mut self, _index: u64, state: &[u8]) -> io::Result<()> {
        *self.0.lock().unwrap() = decode(state).map_err(io::Error::other)?;
        Ok(())
    }
}

/// A node, as long as it runs.
#[derive(Clone)]
pub(super) struct RoomNode {
    pub(super) engine: Engine<Seeded>,
    ledger: Arc<Mutex<Ledger>>,
}

/// The engines, and the links between them.
#[derive(Clone, Default)]
pub(super) struct Room(Arc<Mutex<Floor>>);

#[derive(Default)]
struct Floor {
    nodes: BTreeMap<u16, RoomNode>,
    /// From, to.
    cut: BTreeSet<(u16, u16)>,
    /// How long an answer takes.
    answers_after: Duration,
    /// Terms and leaders that a node heard of, and how many of them it had acknowledged by then.
    heard: BTreeMap<u16, Vec<(u64, u16)>>,
    answered: BTreeMap<u16, usize>,
    disks: BTreeMap<u16, Disk>,
}

/// What a node keeps when it stops.
#[derive(Clone)]
struct Disk {
    log: Arc<dyn Log>,
    folder: Arc<tempfile::TempDir>,
}

/// Runs a test on one thread, whose time passes only when everything waits.
pub(super) fn run<F: Future<Output = ()>>(test: impl FnOnce(Room) -> F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        seed(7);
        timeout(Duration::from_mins(10), test(Room::default())).await.expect("the test hangs");
    });
}

impl Room {
    /// Starts a node. It has what it had when it was stopped.
    pub(super) async fn start(&self, node: u16) {
        let disk = self.disk(node);
        let log = Arc::new(Store::open(disk.log, Writing::Inline).unwrap());
        self.start_on(node, log, disk.folder.path()).await;
    }

    pub(super) async fn start_on(&self, node: u16, log: Arc<Store>, folder: &Path) {
        let depot = Arc::new(Folder(folder.to_owned()));
        let ledger = Arc::default();
        let (room, began) = (self.clone(), Instant::now());
        let config = EngineConfig {
            node,
            // Far from zero, as the system's is.
            clock: Clock::of(move || Moment(1_000_000 + began.elapsed().as_millis() as u64)),
            on_leader_heard: Box::new(move |term, leader| {
                room.inside(|inside| inside.heard.entry(node).or_default().push((term, leader)));
            }),
        };
        let (state, ask) = (LedgerState(Arc::clone(&ledger)), RoomAsk { room: self.clone(), from: node });
        let engine = Engine::start(config, EngineStore { log, depot }, state, ask).await.unwrap();
        self.inside(|inside| inside.nodes.insert(node, RoomNode { engine, ledger }));
    }

    /// Starts a cluster of nodes, and waits for its leader.
    pub(super) async fn found(&self, nodes: &[u16]) -> u16 {
        for node in nodes {
            self.start(*node).await;
        }
        let members = nodes.iter().map(|node| (*node, address(*node))).collect();
        self.node(nodes[0]).engine.initialize(members).await.unwrap();
        self.leader(nodes).await.node
    }

    /// Stops a node, as a crash would: nobody is told.
    pub(super) async fn stop(&self, node: u16) {
        let stopped = self.inside(|inside| inside.nodes.remove(&node)).unwrap();
        stopped.engine.shutdown().await;
    }

    /// Waits until one of these nodes leads, the others of them know it, and it has applied its first entry.
    pub(super) async fn leader(&self, among: &[u16]) -> Standing {
        self.until("they agree on a leader", || {
            let standings: Vec<_> = among.iter().map(|node| self.node(*node).engine.standing()).collect();
            let leader = standings.iter().find(|it| it.leads() && it.is_caught_up)?;
            let agrees = |it: &Standing| (it.term, it.leader) == (leader.term, Some(leader.node));
            standings.iter().all(agrees).then(|| leader.clone())
        })
        .await
    }

    /// Has an entry applied by whichever of these nodes leads. A leader whose quorum is not fresh refuses, also right
    /// after its election.
    pub(super) async fn say(&self, among: &[u16], entry: &str) -> u16 {
        loop {
            let leader = self.leader(among).await.node;
            match self.node(leader).propose(entry).await.await {
                Ok(_) => return leader,
                Err(ProposeError::NotLeader { .. }) => sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits for something.
    pub(super) async fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        for _ in 0..10_000 {
            if let Some(found) = found() {
                return found;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not happen that {what}");
    }

    /// Waits until these nodes have applied these entries, and nothing else.
    pub(super) async fn applied(&self, nodes: &[u16], entries: &[&str]) {
        self.until(&format!("{nodes:?} apply {entries:?}"), || {
            nodes.iter().all(|node| self.node(*node).entries() == entries).then_some(())
        })
        .await;
    }

    pub(super) fn node(&self, node: u16) -> RoomNode {
        self.inside(|inside| inside.nodes[&node].clone())
    }

    /// Cuts the links between a node and all others, or mends them.
    pub(super) fn isolate(&self, node: u16, is_cut: bool) {
        for other in 0..16 {
            self.cut(node, other, is_cut);
            self.cut(other, node, is_cut);
        }
    }

    /// Cuts what one node sends to another, or mends it.
    pub(super) fn cut(&self, from: u16, to: u16, is_cut: bool) {
        self.inside(
            |inside| if is_cut { inside.cut.insert((from, to)) } else { inside.cut.remove(&(from, to)) },
        );
    }

    pub(super) fn answers_after(&self, after: Duration) {
        self.inside(|inside| inside.answers_after = after);
    }

    /// What a node heard of leaders, and how many requests of leaders it has answered.
    pub(super) fn heard(&self, node: u16) -> (Vec<(u64, u16)>, usize) {
        self.inside(|inside| {
            (
                inside.heard.get(&node).cloned().unwrap_or_default(),
                inside.answered.get(&node).copied().unwrap_or_default(),
            )
        })
    }

    fn disk(&self, node: u16) -> Disk {
        self.inside(|inside| {
            let new = || Disk {
                log: Arc::new(DiskLog::in_memory().unwrap()),
                folder: Arc::new(tempfile::tempdir().unwrap()),
            };
            inside.disks.entry(node).or_insert_with(new).clone()
        })
    }

    fn inside<T>(&self, with: impl FnOnce(&mut Floor) -> T) -> T {
        with(&mut self.0.lock().unwrap())
    }
}

impl RoomNode {
    /// What it has applied.
    pub(super) fn entries(&self) -> Vec<String> {
        let text = |(_, entry): &(u64, Vec<u8>)| String::from_utf8(entry.clone()).unwrap();
        self.ledger.lock().unwrap().iter().map(text).collect()
    }

    /// Proposes an entry, in the term that the node knows of.
    pub(super) async fn propose(&self, entry: &str) -> Proposal<Seeded> {
        let term = self.engine.standing().term;
        self.engine.propose(term, entry.as_bytes().into()).await.unwrap()
    }
}

/// A node's links.
#[derive(Clone)]
struct RoomAsk {
    room: Room,
    from: u16,
}

impl Ask for RoomAsk {
    async fn ask(
        &self,
        to: u16,
        purpose: Purpose,
        kind: u8,
        payload: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, LinkError> {
        let from = self.from;
        let down = || LinkError::Down { to, reason: "nobody is there".to_owned() };
        let is_cut = |from, to| self.room.inside(|inside| inside.cut.contains(&(from, to)));
        let answer = async {
            if is_cut(from, to) {
                std::future::pending::<()>().await;
            }
            let node = self.room.inside(|inside| inside.nodes.get(&to).cloned()).ok_or_else(down)?;
            let answer = node.engine.answer(from, kind, &payload).await.ok_or_else(down)?;
            if matches!(purpose, Purpose::Appends) || kind == crate::raft::message::APPEND {
                self.room.inside(|inside| *inside.answered.entry(to).or_default() += 1);
            }
            sleep(self.room.inside(|inside| inside.answers_after)).await;
            if is_cut(to, from) {
                std::future::pending::<()>().await;
            }
            Ok(answer)
        };
        timeout(within, answer).await.unwrap_or(Err(LinkError::Late(to)))
    }
}

pub(super) fn address(node: u16) -> String {
    format!("node-{node}:7000")
}
