//! A node on its simulated host: the production server and the production node, over the simulated disk and network.
//! Each start of its process is a life of its own, on the same disk.

use super::common::ClusterCommon;
use super::dialogue::CLIENT_PORT;
use super::disk::{BootedDisk, SimDisk};
use super::node_name;
use super::replicas::WatchedReplica;
use super::wires::{ClientListener, SimNet};
use elockd_cluster::net::{Bounds, LinkEnd, Links, call, serve};
use elockd_cluster::raft::{EngineStore, Seeded};
use elockd_cluster::store::{DiskLog, Identity, Store, Writing};
use elockd_cluster::{
    Clock, ControlAnswer, ControlRequest, Fatal, Founding, Kit, LEVELS, Moment, Node, NodeConfig,
    NodeFigures, door,
};
use elockd_core::{Config as MachineConfig, Secret, Settings};
use elockd_server::gate::Replica;
use elockd_server::{Config, Server};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;
use turmoil::net::TcpListener;

/// Where nodes connect to each other.
const CLUSTER_PORT: u16 = 7000;
/// The cluster's timeout.
pub(super) const TIMEOUT_MS: u64 = 2_500;
/// Between two tries of what another node must do.
const AGAIN: Duration = Duration::from_millis(50);

/// What simulated nodes are made of.
pub(super) struct SimKit;

impl Kit for SimKit {
    type Served = WatchedReplica<Replica>;
    type Ask = Links<SimNet>;
    type Pace = Seeded;
}

/// How the process on a host is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum LifeState {
    #[default]
    Runs,
    /// It has shut down in order.
    Ended,
    /// It cannot go on, for this reason.
    Failed(String),
}

/// A node over all its lives.
pub(super) struct NodeHost {
    common: Rc<ClusterCommon>,
    number: u16,
    pub(super) disk: SimDisk,
    identity: Cell<Option<Identity>>,
    votes: Cell<bool>,
    lives: Cell<u64>,
    clock: Clock,
    /// Of the present life.
    state: RefCell<Arc<Mutex<LifeState>>>,
    node: RefCell<Option<Node<SimKit>>>,
    shutdown: RefCell<Rc<Notify>>,
}

impl NodeHost {
    pub(super) fn new(common: &Rc<ClusterCommon>, number: u16) -> Rc<Self> {
        Rc::new(Self {
            common: Rc::clone(common),
            number,
            disk: SimDisk::default(),
            identity: Cell::new(None),
            votes: Cell::new(false),
            lives: Cell::new(0),
            clock: clock(number, common.plan.rates[usize::from(number) - 1]),
            state: RefCell::default(),
            node: RefCell::default(),
            shutdown: RefCell::default(),
        })
    }

    /// The process that runs on the host.
    pub(super) fn start(self: &Rc<Self>) -> impl Future<Output = turmoil::Result> + use<> {
        self.lives.set(self.lives.get() + 1);
        let state = Arc::default();
        *self.state.borrow_mut() = Arc::clone(&state);
        *self.shutdown.borrow_mut() = Rc::default();
        let host = Rc::clone(self);
        let seed = self.common.plan.seed.wrapping_mul(1009) + u64::from(self.number) * 101 + self.lives.get();
        async move {
            let ended = match host.live(seed, &state).await {
                Ok(()) => LifeState::Ended,
                Err(reason) => LifeState::Failed(reason),
            };
            // A process that could not go on has its reason already.
            let end = |state: &mut LifeState| {
                if *state == LifeState::Runs {
                    *state = ended;
                }
            };
            end(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
            // The process ends here, and the world removes what is left of it.
            std::future::pending().await
        }
    }

    async fn live(self: &Rc<Self>, seed: u64, state: &Arc<Mutex<LifeState>>) -> Result<(), String> {
        let disk = self.disk.boot();
        let wires = self.common.wires.clone();
        let identity = self.identity(seed).await;
        let (door, inside) = door(self.number, self.clock.clone());
        let settings = settings();
        let machine = MachineConfig::smallest_storage();
        let server = Server::clustered(Config { machine: machine.clone(), ..Config::default() }, door);
        let watched = Arc::new(WatchedReplica::new(server.replica(), self.number, &self.common.replicas));
        let store = open(&disk).map_err(|error| format!("its log does not open: {error}"))?;
        let me = LinkEnd { cluster: identity.cluster, node: self.number };
        let links = Links::new(SimNet(wires.clone()), me, Bounds::default());
        let fatal = Arc::clone(state);
        let founding = (self.number == 1).then_some(Founding { settings, tokens: (1, 1 << 40) });
        let config = NodeConfig {
            identity,
            advertise: address(self.number),
            founding,
            machine,
            nonce: seed << 16,
            on_fatal: Box::new(move |reason: &Fatal| {
                let mut state = fatal.lock().unwrap_or_else(PoisonError::into_inner);
                *state = LifeState::Failed(reason.to_string());
            }),
        };
        let started = Node::start(config, store, watched, inside, links).await;
        let node: Node<SimKit> = started.map_err(|error| format!("it does not start: {error}"))?;
        let listener = bind(CLUSTER_PORT).await?;
        let admitting = node.clone();
        let admit = move |from, purpose| admitting.admit(from, purpose);
        let serving = serve(SimNet(wires.clone()), listener, me, Bounds::default(), admit, node.clone());
        let listener = bind(CLIENT_PORT).await?;
        server.listen(ClientListener { listener, wires });
        *self.node.borrow_mut() = Some(node.clone());
        let shutdown = Rc::clone(&self.shutdown.borrow());
        let running = server.run(async move { shutdown.notified().await });
        tokio::join!(running, self.promote());
        node.stop().await;
        serving.shutdown().await;
        Ok(())
    }

    /// Who it is. A node that is new joins the cluster first; they do so one after the other.
    async fn identity(&self, seed: u64) -> Identity {
        let found = Identity { cluster: 7, node: 1, timeout_ms: TIMEOUT_MS };
        while self.identity.get().is_none() {
            if self.number == 1 {
                self.identity.set(Some(found));
                self.votes.set(true);
                self.common.joined.set(1);
                break;
            }
            if self.common.joined.get() + 1 < self.number {
                sleep(AGAIN).await;
                continue;
            }
            let request = ControlRequest::Join { nonce: seed, address: address(self.number), levels: LEVELS };
            if let Some(ControlAnswer::Joined { node, cluster, timeout_ms, .. }) =
                self.order(1, &request).await
            {
                assert_eq!(node, self.number, "nodes join in the order of their numbers");
                self.identity.set(Some(Identity { cluster, node, timeout_ms }));
            } else {
                sleep(AGAIN).await;
            }
        }
        self.identity.get().expect("the loop ends with one")
    }

    /// Has it vote, once it has caught up.
    async fn promote(&self) {
        while !self.votes.get() {
            let answer = self.order(1, &ControlRequest::Promote(self.number)).await;
            if answer == Some(ControlAnswer::Done) {
                self.votes.set(true);
                self.common.joined.set(self.number);
                break;
            }
            sleep(AGAIN).await;
        }
    }

    /// Gives a command to a node, as an operator does.
    async fn order(&self, to: u16, request: &ControlRequest) -> Option<ControlAnswer> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let net = SimNet(self.common.wires.clone());
        let payload = request.to_bytes();
        let called = call(&net, &address(to), ControlRequest::KIND, payload, PATIENCE, &Bounds::default())
            .await
            .ok()?;
        ControlAnswer::from_bytes(&called.answer).ok()
    }

    /// Whether it has joined, and votes.
    pub(super) fn is_in(&self) -> bool {
        self.votes.get()
    }

    /// The figures of the process. `None` while there is none.
    pub(super) fn figures(&self) -> Option<NodeFigures> {
        self.node.borrow().as_ref().map(Node::figures)
    }

    /// How the process is.
    pub(super) fn state(&self) -> LifeState {
        self.state.borrow().lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the process to shut down in order.
    pub(super) fn shut_down(&self) {
        self.shutdown.borrow().notify_one();
    }

    /// Has the process write a snapshot.
    pub(super) fn take_snapshot(&self) {
        if let Some(node) = &*self.node.borrow() {
            node.take_snapshot();
        }
    }

    /// The process is about to be killed.
    pub(super) fn dies(&self) {
        *self.node.borrow_mut() = None;
    }
}

fn open(disk: &BootedDisk) -> std::io::Result<EngineStore> {
    let log = Store::open(Arc::new(DiskLog::open(disk.log())?), Writing::Inline)?;
    Ok(EngineStore { log: Arc::new(log), depot: Arc::new(disk.clone()) })
}

async fn bind(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind(("0.0.0.0", port)).await.map_err(|error| format!("it cannot listen: {error}"))
}

fn address(number: u16) -> String {
    format!("{}:{CLUSTER_PORT}", node_name(number))
}

/// What the cluster is founded with.
fn settings() -> Settings {
    let MachineConfig { limits, features, .. } = MachineConfig::smallest_storage();
    Settings { limits, features, secret: Secret(*b"a cluster's key."), accounts: Arc::default() }
}

/// A node's clock of leases, at its rate. It goes on while its process does not run.
fn clock(number: u16, rate: u32) -> Clock {
    // Far from each other: times of two nodes say nothing of each other.
    let begin = u64::from(number) * 1_000_000_007;
    let last = AtomicU64::new(0);
    Clock::of(move || {
        // Without a host, who looks is the world, between two steps.
        let now = turmoil::sim_elapsed().map_or(0, |now| now.as_micros() as u64);
        let now = last.fetch_max(now, Ordering::SeqCst).max(now);
        Moment(begin + now * u64::from(rate) / 1_000_000)
    })
}
