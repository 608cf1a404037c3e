//! How a node stands: who leads, how far the log is, who the members are.

use crate::clock::Moment;
use crate::raft::calendar::Calendar;
use crate::raft::runtime::Pace;
use crate::raft::types::{Types, members, node, position};
use crate::store::{Members, Position};
use openraft::alias::{InstantOf, WatchReceiverOf};
use openraft::async_runtime::WatchReceiver;
use openraft::{RaftMetrics, ServerState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a node does in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has no vote.
    Learner,
    /// It follows the leader, or looks for one.
    Follower,
    /// It stands for election.
    Candidate,
    /// It leads, as far as it knows.
    Leader,
    /// The engine has stopped.
    Stopped,
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// This node.
    pub node: u16,
    /// What it does.
    pub role: Role,
    /// The term that it knows of.
    pub term: u64,
    /// Who leads in that term, if it is known.
    pub leader: Option<u16>,
    /// The leader's first entry of its term is applied here: so is all that was committed before it.
    pub is_caught_up: bool,
    /// The last entry, committed or not.
    pub last: Option<u64>,
    /// The last entry that a quorum is known to have, here or not.
    pub committed: Option<u64>,
    /// The last entry that is applied.
    pub applied: Option<Position>,
    /// The last entry that the present snapshot has in it.
    pub snapshot: Option<u64>,
    /// The last entry that was purged.
    pub purged: Option<u64>,
    /// Of a leader: when the latest of those requests was sent that a quorum has answered: then, or earlier. This node
    /// is part of the quorum. `None` before the first, and for ever where this node is the only voter.
    pub quorum_sent: Option<Moment>,
    /// The members that count now.
    pub members: Members,
    /// The entry that made them so is committed, and none is under way: they may be changed.
    pub members_are_committed: bool,
    /// Of a leader: the last entry that each other node is known to have.
    pub matched: BTreeMap<u16, Option<u64>>,
    /// Why the engine has stopped, if it did so by itself.
    pub failure: Option<String>,
}

impl Standing {
    /// Whether this node leads, as far as it knows.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.role == Role::Leader
    }

    /// Whether this node has a vote.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.members.voters.iter().any(|voters| voters.contains(&self.node))
    }

    /// Whether this node is the only one with a vote.
    #[must_use]
    pub fn is_sole_voter(&self) -> bool {
        !self.members.voters.is_empty()
            && self.members.voters.iter().all(|voters| voters.iter().eq([&self.node]))
    }

    /// Whether these nodes are a quorum: of both sets while members change.
    #[must_use]
    pub fn is_quorum(&self, nodes: impl Fn(u16) -> bool) -> bool {
        !self.members.voters.is_empty()
            && self
                .members
                .voters
                .iter()
                .all(|voters| voters.iter().filter(|voter| nodes(**voter)).count() > voters.len() / 2)
    }

    pub(crate) fn of<P: Pace>(
        metrics: &RaftMetrics<Types<P>>,
        calendar: &Calendar<InstantOf<Types<P>>>,
    ) -> Self {
        let role = match metrics.state {
            _ if metrics.running_state.is_err() => Role::Stopped,
            ServerState::Learner => Role::Learner,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Leader => Role::Leader,
            ServerState::Shutdown => Role::Stopped,
        };
        let failure = match &metrics.running_state {
            Ok(()) | Err(openraft::errors::Fatal::Stopped) => None,
            Err(fatal) => Some(fatal.to_string()),
        };
        let matched = metrics.replication.iter().flatten();
        Self {
            node: node(metrics.id),
            role,
            term: metrics.current_term,
            leader: metrics.current_leader.map(node),
            is_caught_up: metrics.current_leader.is_some()
                && metrics.last_applied.is_some_and(|applied| applied.leader_id.term == metrics.current_term),
            last: metrics.last_log_index,
            committed: metrics.cluster_committed.map(|committed| committed.index),
            applied: metrics.last_applied.map(position),
            snapshot: metrics.snapshot.map(|snapshot| snapshot.index),
            purged: metrics.purged.map(|purged| purged.index),
            quorum_sent: metrics
                .last_quorum_acked
                .filter(|_| role == Role::Leader)
                .map(|sent| calendar.moment(sent.into_inner())),
            members: members(metrics.membership_config.membership()),
            members_are_committed: metrics.membership_config == metrics.committed_membership_config
                && metrics.membership_config.get_joint_config().len() <= 1,
            matched: matched.map(|(id, last)| (node(*id), last.as_ref().map(|last| last.index))).collect(),
            failure,
        }
    }
}

/// Tells when a node stands otherwise than before.
pub struct Changes<P: Pace> {
    pub(crate) metrics: WatchReceiverOf<Types<P>, RaftMetrics<Types<P>>>,
    pub(crate) calendar: Arc<Calendar<InstantOf<Types<P>>>>,
}

impl<P: Pace> Changes<P> {
    /// Waits for the next change, and returns how the node stands then. `None` when the engine is gone.
    ///
    /// What changed since this was called last is returned at once. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Standing> {
        self.metrics.changed().await.ok()?;
        Some(self.now())
    }

    /// How the node stands now.
    #[must_use]
    pub fn now(&self) -> Standing {
        self.calendar.look();
        // Copied at once: as long as it is borrowed, the engine waits.
        let metrics = self.metrics.borrow_watched().clone();
        Standing::of::<P>(&metrics, &self.calendar)
    }
}
