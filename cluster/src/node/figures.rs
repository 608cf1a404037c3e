//! What can be seen of a node: figures for metrics, and its part of the status.

use super::actor::Actor;
use super::leading::Leading;
use super::{Fatal, Kit, LEVELS, Moment, Node};
use crate::raft::Standing;
use crate::served::Served as _;
use crate::status::{MemberStatus, NodeReport, StatusRecord};
use std::collections::BTreeMap;

/// A node's figures, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeFigures {
    /// Whether it leads.
    pub leads: bool,
    /// The term that it knows of.
    pub term: u64,
    /// Members that vote.
    pub voters: u64,
    /// Milliseconds that its lease lasts. 0 without one.
    pub lease_ms: u64,
    /// How often it let go of its clients, for another reason than its shutdown.
    pub lapses: u64,
    /// How often the leader changed, as far as it noticed.
    pub leader_changes: u64,
    /// The last entry that it has applied.
    pub applied: u64,
    /// Entries that are committed, and that it has not applied.
    pub lag: u64,
    /// Bytes of the log behind the snapshot.
    pub log_bytes: u64,
    /// Bytes of the snapshot. 0 if there is none.
    pub snapshot_bytes: u64,
    /// Acts that did not count: what was sent twice, or too late.
    pub skipped: u64,
    /// Links that could not be made, or were refused. The node does not know: who runs its links adds them.
    pub links_refused: u64,
}

/// What the actor leaves for others to look at.
#[derive(Debug, Default)]
pub(super) struct Kept {
    lease_until: Option<Moment>,
    lapses: u64,
    leader: Option<u16>,
    leader_changes: u64,
    /// Of a leader: when the last beat of each node came.
    followers: BTreeMap<u16, Moment>,
    /// The term in which the actor knows that this node leads.
    pub(super) office: Option<u64>,
    /// Why the node cannot go on, once it is known.
    pub(super) fatal: Option<Fatal>,
}

impl<K: Kit> Actor<K> {
    /// Leaves figures for others.
    pub(super) fn keep_figures(&self) {
        let leader = self.standing.leader;
        self.shared.with_kept(|kept| {
            kept.lease_until = self.serving.lease.deadline();
            kept.lapses = self.serving.lapses;
            kept.office = self.leading.as_ref().map(Leading::term);
            if leader.is_some() && leader != kept.leader {
                kept.leader_changes += u64::from(kept.leader.is_some());
                kept.leader = leader;
            }
            if self.leading.is_none() {
                kept.followers.clear();
            }
        });
    }

    /// Notes a beat of a node.
    pub(super) fn keep_follower(&self, node: u16, at: Moment) {
        self.shared.with_kept(|kept| kept.followers.insert(node, at));
    }
}

impl<K: Kit> Node<K> {
    /// The figures of now.
    #[must_use]
    pub fn figures(&self) -> NodeFigures {
        let standing = self.0.engine.standing();
        let at = self.0.clock.now();
        let (applied, skipped) = self.0.progress.with(|applied| (applied.index, applied.roll.skipped()));
        let (lease_ms, lapses, leader_changes) = self.0.with_kept(|kept| {
            (kept.lease_until.map_or(0, |until| until.since(at)), kept.lapses, kept.leader_changes)
        });
        NodeFigures {
            leads: standing.leads(),
            term: standing.term,
            voters: standing.members.voters.last().map_or(0, |voters| voters.len() as u64),
            lease_ms,
            lapses,
            leader_changes,
            applied,
            lag: standing
                .committed
                .unwrap_or(0)
                .saturating_sub(standing.applied.map_or(0, |last| last.index)),
            log_bytes: self.0.engine.bytes_since_snapshot(),
            snapshot_bytes: self.0.engine.snapshot_bytes(),
            skipped,
            links_refused: 0,
        }
    }

    /// Whether the leader that the engine names has a majority, as far as is known here. The engine goes on to name one
    /// that is dead, and itself when it has lost the others.
    pub(super) fn is_of_majority(&self, standing: &Standing, at: Moment) -> bool {
        let timeout = self.0.identity.timeout_ms;
        if !standing.leads() {
            return self.0.with_word(|word| at.since(word.latest())) < timeout;
        }
        let is_alone = standing.members.voters.iter().all(|voters| voters.len() == 1);
        is_alone || standing.quorum_sent.is_some_and(|sent| at.since(sent) < timeout)
    }

    /// What this node says of itself.
    pub(super) fn report(&self) -> NodeReport {
        let (standing, at) = (self.0.engine.standing(), self.0.clock.now());
        let (applied, digest) = self.0.progress.with(|applied| (applied.index, applied.digest));
        let (lease_ms, heard) = self.0.with_kept(|kept| {
            let heard = kept.followers.iter().map(|(node, heard)| (*node, at.since(*heard))).collect();
            (kept.lease_until.map_or(0, |until| until.since(at)), heard)
        });
        NodeReport {
            release: self.0.release.clone(),
            levels: LEVELS,
            // The engine's own entries count too.
            applied: applied.max(standing.applied.map_or(0, |last| last.index)),
            committed: standing.committed.unwrap_or(0),
            lease_ms,
            log_bytes: self.0.engine.bytes_since_snapshot(),
            snapshot_bytes: self.0.engine.snapshot_bytes(),
            digest,
            heard,
        }
    }

    /// What this node knows of the cluster, before others have said anything of themselves.
    pub(super) fn view(&self) -> StatusRecord {
        let standing = self.0.engine.standing();
        let at = self.0.clock.now();
        let (roll, stamp) = self.0.progress.with(|applied| (applied.roll.clone(), applied.stamp));
        let mut connections = BTreeMap::<u16, u64>::new();
        self.0.served.look(&mut |machine| {
            for node in standing.members.addresses.keys() {
                connections.insert(*node, machine.connections_of(*node));
            }
        });
        let member = |(node, address): (&u16, &String)| MemberStatus {
            node: *node,
            is_voter: standing.members.voters.iter().any(|voters| voters.contains(node)),
            address: address.clone(),
            epoch: roll.epoch_of(*node).map(|of| of.number),
            connections: connections.get(node).copied().unwrap_or(0),
            heard_ms: None,
            report: None,
        };
        StatusRecord {
            cluster: self.0.identity.cluster,
            node: self.0.me(),
            level: roll.level(),
            timeout_ms: self.0.identity.timeout_ms,
            leader: standing.leader.filter(|_| self.is_of_majority(&standing, at)),
            term: standing.term,
            time_ms: stamp.0,
            committed: standing.committed.unwrap_or(0),
            members: standing.members.addresses.iter().map(member).collect(),
        }
    }
}
