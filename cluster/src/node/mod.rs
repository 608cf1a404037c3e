//! A node: one actor that owns what this process decides in the cluster. It sends what connections said, keeps the
//! lease, and leads if it is elected.
//!
//! ```text
//!   server --door--> actor --batches--> leader's actor --entries--> engine --applied--> machine --mail--> server
//!                     ^  \---beats----> leader's actor --answers--.
//!                     +-------------------------------------------+
//! ```

mod actor;
mod control;
mod figures;
mod founding;
mod leading;
mod leaving;
mod serving;

pub use figures::NodeFigures;
pub use founding::Founding;

use crate::apply::{Applier, Progress};
use crate::clock::{Clock, Moment};
use crate::door::Inside;
use crate::latest::Latest;
use crate::lease::{LastWord, LeaderLease, LeaderTime, Times};
use crate::message::kind;
use crate::net::{Answer, Ask, LinkError, Links, Net, Purpose};
use crate::raft::{Engine, EngineConfig, EngineError, EngineStore, MemberError, Pace};
use crate::served::Served;
use crate::store::{DiskError, Identity};
use actor::{Actor, Event};
use elockd_core::Config;
use elockd_core::replica::{LEVEL, LEVEL_BEFORE, UnknownLevel};
use figures::Kept;
use leaving::Membership;
use serving::OwnEpochs;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The levels that this release knows: what counts as the same inputs giving the same outputs.
pub const LEVELS: (u16, u16) = (LEVEL_BEFORE, LEVEL);

/// What a node is made of, apart from this crate: in production, and in simulations.
pub trait Kit: Send + Sync + 'static {
    /// The machine that entries are applied to.
    type Served: Served;
    /// The way to other nodes.
    type Ask: Ask + Addresses;
    /// What the engine runs on.
    type Pace: Pace;
}

/// Is told where the members are.
pub trait Addresses {
    /// These are all members, with the address of each.
    fn set_members(&self, members: BTreeMap<u16, String>);
}

impl<N: Net> Addresses for Links<N> {
    fn set_members(&self, members: BTreeMap<u16, String>) {
        Links::set_members(self, members);
    }
}

/// What a node is started with.
pub struct NodeConfig {
    /// Who it is.
    pub identity: Identity,
    /// Where other nodes reach it: host and port.
    pub advertise: String,
    /// What it founds the cluster with, if its log is empty and it is to.
    pub founding: Option<Founding>,
    /// What a machine is made with that comes from a snapshot.
    pub machine: Config,
    /// A random number: no other process of the cluster may have it, or one of the next few.
    pub nonce: u64,
    /// Is called once if the node cannot go on. The process must end.
    pub on_fatal: Box<dyn Fn(&Fatal) + Send + Sync>,
}

/// Why a node cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fatal {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The engine stopped by itself.
    #[error("the cluster's engine has stopped: {0}")]
    Engine(String),
    /// The cluster has a level that this release does not know.
    #[error(transparent)]
    Level(#[from] UnknownLevel),
    /// It is no member any more.
    #[error("it was removed from its cluster; empty its state directory before it joins one")]
    Removed,
    /// Its state is not that of the others.
    #[error(
        "its state differs from the others' at entry {index}; remove it from the cluster, empty its state directory, \
         and join again"
    )]
    Diverged {
        /// The entry.
        index: u64,
    },
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine did not.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The cluster has a level that this release does not know.
    #[error(transparent)]
    Level(#[from] UnknownLevel),
    /// The cluster could not be founded.
    #[error("the cluster cannot be founded: {0}")]
    Founding(#[from] MemberError),
}

/// What the parts of a node share.
struct NodeParts<K: Kit> {
    identity: Identity,
    times: Times,
    founding: Option<Founding>,
    release: String,
    membership: Latest<Membership>,
    clock: Clock,
    engine: Engine<K::Pace>,
    ask: K::Ask,
    served: Arc<K::Served>,
    progress: Arc<Progress>,
    word: Arc<Mutex<LastWord>>,
    events: mpsc::UnboundedSender<Event>,
    kept: Mutex<Kept>,
    on_fatal: Box<dyn Fn(&Fatal) + Send + Sync>,
}

impl<K: Kit> NodeParts<K> {
    fn me(&self) -> u16 {
        self.identity.node
    }

    fn with_word<R>(&self, with: impl FnOnce(&mut LastWord) -> R) -> R {
        with(&mut self.word.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_kept<R>(&self, with: impl FnOnce(&mut Kept) -> R) -> R {
        with(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the actor.
    fn tell(&self, event: Event) {
        // It fails if the actor is over, and then nobody needs to know.
        let _ = self.events.send(event);
    }

    /// Asks a node, which may be this one.
    fn ask(
        self: &Arc<Self>,
        to: u16,
        purpose: Purpose,
        kind: u8,
        payload: Vec<u8>,
        within: Duration,
    ) -> impl Future<Output = Result<Vec<u8>, LinkError>> + Send + use<K> {
        let shared = Arc::clone(self);
        // Begun here, so that what is asked first comes first.
        let mine = (to == self.me()).then(|| self.ask_actor(to, kind, payload.clone()));
        async move {
            let Some(mine) = mine else { return shared.ask.ask(to, purpose, kind, payload, within).await };
            let answer = timeout(within, mine).await.map_err(|_| LinkError::Late(to))?;
            let stopped = || LinkError::Down { to, reason: "the node has stopped".to_owned() };
            answer.ok().flatten().ok_or_else(stopped)
        }
    }

    /// Asks the actor of this node.
    fn ask_actor(&self, from: u16, kind: u8, payload: Vec<u8>) -> oneshot::Receiver<Option<Vec<u8>>> {
        let (answer, answered) = oneshot::channel();
        self.tell(Event::Asked { from, kind, payload, answer });
        answered
    }
}

/// A node that runs. All clones are one.
pub struct Node<K: Kit>(Arc<NodeParts<K>>);

impl<K: Kit> Clone for Node<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kit> Node<K> {
    /// Starts a node: what is on the disk is applied to the machine before this returns. It serves as soon as the
    /// cluster lets it.
    ///
    /// # Errors
    ///
    /// If the disk fails, or what is on it is damaged, or of a level that this release does not know.
    pub async fn start(
        config: NodeConfig,
        store: EngineStore,
        served: Arc<K::Served>,
        inside: Inside,
        ask: K::Ask,
    ) -> Result<Self, StartError> {
        let NodeConfig { identity, advertise, founding, machine, nonce, on_fatal } = config;
        let clock = inside.clock().clone();
        let progress = Progress::new();
        let word = Arc::new(Mutex::new(LastWord::new(clock.now())));
        let heard = (Arc::clone(&word), clock.clone());
        let engine_config = EngineConfig {
            node: identity.node,
            clock: clock.clone(),
            on_leader_heard: Box::new(move |term, _| {
                let (word, clock) = &heard;
                word.lock().unwrap_or_else(PoisonError::into_inner).heard(term, clock.now());
            }),
        };
        let release = machine.identity.version.clone();
        let applier = Applier::new(Arc::clone(&served), Arc::clone(&progress), machine);
        // Looked at here: a while after its start the engine still tells of no entry.
        let is_empty = store.log.head().last.is_none();
        let engine = Engine::start(engine_config, store, applier, ask.clone()).await?;
        if let Some(unknown) = progress.with(|applied| applied.unknown_level) {
            engine.shutdown().await;
            return Err(unknown.into());
        }
        if founding.is_some() && is_empty {
            engine.initialize(BTreeMap::from([(identity.node, advertise)])).await?;
        }
        let (events, heard) = mpsc::unbounded_channel();
        let times = Times::new(identity.timeout_ms);
        let shared = Arc::new(NodeParts {
            identity,
            times,
            founding,
            release,
            membership: Latest::new(Membership::Stays),
            clock,
            engine,
            ask,
            served,
            progress,
            word,
            events,
            kept: Mutex::default(),
            on_fatal,
        });
        let actor = Actor::new(Arc::clone(&shared), inside, heard, OwnEpochs::new(times, nonce));
        tokio::spawn(actor.run());
        Ok(Self(shared))
    }

    /// Whether a node may make links to this one. Before the members are known here, every node of the cluster may. One
    /// that was removed may ask whether it was.
    ///
    /// # Errors
    ///
    /// If it is no member.
    pub fn admit(&self, from: u16, purpose: Purpose) -> Result<(), String> {
        let members = self.0.engine.standing().members.addresses;
        if purpose == Purpose::Control || members.is_empty() || members.contains_key(&from) {
            return Ok(());
        }
        Err(format!("node {from} is no member"))
    }

    /// Has the node write a snapshot soon, however short its log is.
    pub fn take_snapshot(&self) {
        self.0.tell(Event::TakeSnapshot);
    }

    /// Ends this node's epoch, whose connections have ended in order, hands leadership over, and stops. What takes too
    /// long is left out: the others find out by themselves.
    pub async fn stop(&self) {
        self.say_farewell().await;
        self.hand_over().await;
        self.0.engine.shutdown().await;
        self.0.tell(Event::Over);
    }

    /// Ends this node's epoch, whose connections have ended in order.
    async fn say_farewell(&self) {
        let (done, is_done) = oneshot::channel();
        self.0.tell(Event::Stop { done });
        // Without a quorum this never comes.
        let _ = timeout(STOPPING, is_done).await;
    }

    async fn hand_over(&self) {
        let mut changes = self.0.engine.changes();
        let standing = changes.now();
        let me = self.0.me();
        let voters: BTreeSet<u16> = standing.members.voters.iter().flatten().copied().collect();
        let ready = voters.into_iter().filter(|voter| *voter != me);
        let Some(heir) = ready.max_by_key(|voter| standing.matched.get(voter).copied().flatten()) else {
            return;
        };
        if !standing.leads() {
            return;
        }
        self.0.engine.transfer_leadership(heir).await;
        let taken = async {
            while changes
                .next()
                .await
                .is_some_and(|standing| standing.leader.is_none_or(|leader| leader == me))
            {}
        };
        let _ = timeout(HANDING_OVER, taken).await;
    }
}

/// How long the end of this node's epoch may take.
const STOPPING: Duration = Duration::from_secs(2);
/// How long another may take to be elected when this node hands over.
const HANDING_OVER: Duration = Duration::from_secs(1);

impl<K: Kit> Answer for Node<K> {
    async fn answer(&self, from: u16, purpose: Purpose, kind: u8, payload: Vec<u8>) -> Option<Vec<u8>> {
        if kind == kind::CONTROL {
            return Some(self.control(from, &payload).await);
        }
        // A client that is no node may only give commands.
        if purpose == Purpose::Control || from == 0 {
            return None;
        }
        if kind < kind::BATCH {
            return self.0.engine.answer(from, kind, &payload).await;
        }
        let within = Duration::from_millis(self.0.times.lease());
        // An answer that comes later is no use. The link goes on.
        let answered = timeout(within, self.0.ask_actor(from, kind, payload)).await;
        answered.map_or(Some(Vec::new()), |answer| answer.ok().flatten())
    }
}
