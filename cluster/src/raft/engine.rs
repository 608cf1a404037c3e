//! The engine of a node: the only thing that the rest of the crate calls.

use crate::clock::{Clock, Moment};
use crate::latest::LatestReceiver;
use crate::net::Ask;
use crate::raft::answer::{Answering, Heard};
use crate::raft::calendar::Calendar;
use crate::raft::log::EngineLog;
use crate::raft::machine::{Files, Machine};
use crate::raft::network::Networks;
use crate::raft::proposal::{Proposal, ProposeError};
use crate::raft::runtime::Pace;
use crate::raft::standing::{Changes, Standing};
use crate::raft::types::{Payload, Responder, Types, node};
use crate::raft::{Committed, Raft};
use crate::store::{Depot, DiskError, Store};
use openraft::alias::InstantOf;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardToLeader, RaftError};
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{ChangeMembers, Config, SnapshotPolicy};
use std::collections::BTreeMap;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What an engine is started with.
pub struct EngineConfig {
    /// This node.
    pub node: u16,
    /// The clock of leases.
    pub clock: Clock,
    /// Is called with the term and the leader of whatever a leader sends, on arrival, before it is acknowledged. Also
    /// for a leader of the past.
    pub on_leader_heard: Box<dyn Fn(u64, u16) + Send + Sync>,
}

/// What an engine keeps on the disk.
pub struct EngineStore {
    /// The log.
    pub log: Arc<Store>,
    /// Where the snapshot is.
    pub depot: Arc<dyn Depot>,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The disk failed, or what is on it is damaged.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// What is on the disk does not fit together.
    #[error("the cluster's engine does not start: {0}")]
    Engine(String),
}

/// Why members were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// This node does not lead.
    #[error("this node does not lead; node {leader:?} may")]
    NotLeader {
        /// Who leads, if it is known and another.
        leader: Option<u16>,
    },
    /// Another change is under way. It may be one that a leader of the past began.
    #[error("another change of members is under way; try again")]
    UnderWay,
    /// The leader changed meanwhile. The change may happen or not.
    #[error("the leader changed; look at the members before you try again")]
    Unknown,
    /// The members would make no cluster.
    #[error("{0}")]
    Refused(String),
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

/// A node's part in the consensus.
pub struct Engine<P: Pace> {
    raft: Raft<P>,
    log: Arc<Store>,
    answering: Arc<Answering<P>>,
    calendar: Arc<Calendar<InstantOf<Types<P>>>>,
}

impl<P: Pace> Clone for Engine<P> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            log: Arc::clone(&self.log),
            answering: Arc::clone(&self.answering),
            calendar: Arc::clone(&self.calendar),
        }
    }
}

impl<P: Pace> Engine<P> {
    /// Starts the engine: the state is restored from the snapshot, and what is known to be committed is applied to it,
    /// before this returns.
    ///
    /// # Errors
    ///
    /// If the disk fails, or what is on it is damaged.
    pub async fn start(
        config: EngineConfig,
        store: EngineStore,
        committed: impl Committed,
        ask: impl Ask,
    ) -> Result<Self, EngineError> {
        let EngineConfig { node, clock, on_leader_heard } = config;
        let calendar = Arc::new(Calendar::new(clock));
        let files = Files::open(store.depot, Arc::clone(&store.log))?;
        let machine = Machine::new(Box::new(committed), files.clone());
        let networks = Networks { node, ask, pace: PhantomData };
        let settings = Arc::new(settings().validate().expect("the settings fit together"));
        let log = EngineLog(Arc::clone(&store.log));
        let raft = Raft::new(node.into(), settings, networks, log, machine);
        let raft = raft.await.map_err(|fatal| EngineError::Engine(fatal.to_string()))?;
        let heard: Heard = on_leader_heard;
        let answering = Arc::new(Answering { raft: raft.clone(), files, heard, receiving: Arc::default() });
        Ok(Self { raft, log: store.log, answering, calendar })
    }

    /// Founds a cluster of these members, with their addresses, all of them voters. Only on an empty log; to be called
    /// on one of the members.
    ///
    /// # Errors
    ///
    /// If the log is not empty, or this node is not among the members.
    pub async fn initialize(&self, members: BTreeMap<u16, String>) -> Result<(), MemberError> {
        let nodes: BTreeMap<u64, String> =
            members.into_iter().map(|(node, address)| (node.into(), address)).collect();
        self.raft.initialize(nodes).await.map_err(|error| match error {
            RaftError::APIError(error) => MemberError::Refused(error.to_string()),
            RaftError::Fatal(_) => MemberError::Stopped,
        })
    }

    /// Proposes an entry, if this node leads in `term`. Entries that are proposed one after the other are applied in
    /// that order, if they are. When this returns, the entry is on its way.
    ///
    /// # Errors
    ///
    /// If the engine has stopped. All else is told by the [`Proposal`].
    pub async fn propose(&self, term: u64, entry: Arc<[u8]>) -> Result<Proposal<P>, ProposeError> {
        let (told, proposal) = oneshot::channel();
        let write = self.raft.write(Payload(entry)).with_leader(CommittedLeaderId::new(term));
        write.responder(Responder(told)).await.map_err(|_| ProposeError::Stopped)?;
        Ok(Proposal(proposal))
    }

    /// How the node stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.changes().now()
    }

    /// Tells of changes from now on.
    #[must_use]
    pub fn changes(&self) -> Changes<P> {
        Changes { metrics: self.raft.metrics(), calendar: Arc::clone(&self.calendar) }
    }

    /// Now, on the clock of leases.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.calendar.now()
    }

    /// The first error of the disk, once there is one. The engine stops by itself then; the process must not go on.
    #[must_use]
    pub fn failure(&self) -> LatestReceiver<Option<DiskError>> {
        self.log.failure()
    }

    /// The answer to what another node's engine asks. `None` if the link is to be closed: the question makes no sense,
    /// or the engine has stopped.
    pub async fn answer(&self, from: u16, kind: u8, payload: &[u8]) -> Option<Vec<u8>> {
        self.answering.answer(from, kind, payload).await
    }

    /// Adds a node that has no vote. Returns when the change is committed; the node may be far behind then.
    ///
    /// # Errors
    ///
    /// If this node does not lead, or another change is under way.
    pub async fn add_learner(&self, node: u16, address: String) -> Result<(), MemberError> {
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(node.into(), address)]))).await
    }

    /// Makes a learner a voter.
    ///
    /// # Errors
    ///
    /// If this node does not lead, the other is no member, or another change is under way.
    pub async fn promote(&self, node: u16) -> Result<(), MemberError> {
        self.change(ChangeMembers::AddVoterIds([node.into()].into())).await
    }

    /// Removes a node, a voter or a learner. A leader that removes itself gives its leadership up soon after.
    ///
    /// # Errors
    ///
    /// If this node does not lead, another change is under way, or no voter would be left.
    pub async fn remove(&self, node: u16) -> Result<(), MemberError> {
        let is_voter = self.standing().members.voters.iter().any(|voters| voters.contains(&node));
        self.change(if is_voter {
            ChangeMembers::RemoveVoters([node.into()].into())
        } else {
            ChangeMembers::RemoveNodes([node.into()].into())
        })
        .await
    }

    async fn change(&self, change: ChangeMembers<u64, String>) -> Result<(), MemberError> {
        if !self.standing().members_are_committed {
            return Err(MemberError::UnderWay);
        }
        let changed = self.raft.change_membership(change, false).await;
        changed.map(drop).map_err(|error| match error {
            RaftError::Fatal(_) => MemberError::Stopped,
            RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader { leader_id, .. })) => {
                MemberError::NotLeader { leader: leader_id.map(node) }
            }
            RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => MemberError::Unknown,
            RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
            )) => MemberError::UnderWay,
            RaftError::APIError(error) => MemberError::Refused(error.to_string()),
        })
    }

    /// Hands leadership over, if this node leads. Whether the other takes it shows in [`Engine::changes`].
    pub async fn transfer_leadership(&self, to: u16) {
        // It fails only if the engine has stopped, and then it does not lead.
        let _ = self.raft.trigger().transfer_leader(to.into()).await;
    }

    /// Has a snapshot written. [`Standing::snapshot`] shows when it is there.
    pub async fn trigger_snapshot(&self) {
        // It fails only if the engine has stopped: nobody needs a snapshot then.
        if self.raft.trigger().snapshot().await.is_ok() {
            self.log.mark();
        }
    }

    /// Drops the entries up to an index, as far as the snapshot has them in it.
    pub async fn purge(&self, to: u64) {
        let _ = self.raft.trigger().purge_log(to).await;
    }

    /// Bytes of the entries that came since a snapshot was triggered last.
    #[must_use]
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.log.bytes_since_mark()
    }

    /// Bytes of the present snapshot's state. 0 if there is none.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        self.answering.files.present().map_or(0, |file| file.header().length)
    }

    /// Stops. What was handed to the disk is still written.
    pub async fn shutdown(&self) {
        // An engine that panicked has stopped too.
        let _ = self.raft.shutdown().await;
    }
}

/// See the table of times in the cluster's design: leases go by fixed parts of one timeout, and so do these.
fn settings() -> Config {
    Config {
        cluster_name: "elockd".to_owned(),
        heartbeat_interval: 50,
        election_timeout_min: 200,
        election_timeout_max: 300,
        enable_pre_vote: Some(true),
        // A leader without a quorum falls silent now and then, so that others can elect one.
        quorum_loss_probe_interval: Some(600),
        // Our state is in memory: a leader that was restarted must not lead on.
        enable_leader_restore: Some(false),
        broadcast_submitted_on_append: Some(true),
        // Snapshots and purges are triggered by us alone.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: u64::MAX,
        ..Config::default()
    }
}
