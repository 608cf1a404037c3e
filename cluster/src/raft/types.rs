//! The types that the engine is used with, and how they become records and come from them.
//!
//! A term has one leader (`leader_id_std`): what the leases know of a leadership is its term.

use crate::raft::runtime::Pace;
use crate::store::{Ballot, Content, Members, Position, Record, StoredMembers};
use openraft::impls::leader_id_std;
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{EntryPayload, Membership, RaftTypeConfig, StoredMembership};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The engine's types, on a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types<P>(PhantomData<P>);

type LeaderId = leader_id_std::LeaderId<u64, u64>;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId<u64>>;
pub(crate) type Nodes = Membership<u64, String>;
pub(crate) type StoredNodes = StoredMembership<CommittedLeaderId<u64>, u64, String>;
type Said = EntryPayload<Payload, u64, String>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId<u64>, Said>;

impl<P: Pace> RaftTypeConfig for Types<P> {
    type D = Payload;
    type R = ();
    type NodeId = u64;
    type Node = String;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Said;
    type Entry = Entry;
    type AsyncRuntime = P::Runtime;
    type Responder<T>
        = Responder<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::AnyError;
}

/// The bytes of an entry. The engine does not read them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Payload(pub(crate) Arc<[u8]>);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Tells who proposed an entry what became of it, if that one still wants to know.
pub(crate) struct Responder<T>(pub(crate) oneshot::Sender<T>);

impl<P: Pace, T: Send + 'static> openraft::raft::responder::Responder<Types<P>, T> for Responder<T> {
    fn on_complete(self, result: T) {
        let _ = self.0.send(result);
    }
}

/// A node's number as the cluster has it.
pub(crate) fn node(id: u64) -> u16 {
    u16::try_from(id).expect("all numbers that the engine is given are of 16 bits")
}

pub(crate) fn position(id: LogId) -> Position {
    Position { term: id.leader_id.term, index: id.index }
}

pub(crate) fn log_id(position: Position) -> LogId {
    LogId::new(CommittedLeaderId::new(position.term), position.index)
}

pub(crate) fn ballot(vote: &Vote) -> Ballot {
    let id = vote.leader_id;
    Ballot { term: id.term, node: node(id.voted_for), is_elected: vote.committed }
}

pub(crate) fn vote(ballot: Ballot) -> Vote {
    let leader_id = LeaderId { term: ballot.term, voted_for: ballot.node.into() };
    Vote { leader_id, committed: ballot.is_elected }
}

pub(crate) fn members(nodes: &Nodes) -> Members {
    let numbers = |ids: &std::collections::BTreeSet<u64>| ids.iter().copied().map(node).collect();
    Members {
        voters: nodes.get_joint_config().iter().map(numbers).collect(),
        addresses: nodes.nodes().map(|(id, address)| (node(*id), address.clone())).collect(),
    }
}

/// `None` if they are no members that an engine could have: a set is empty, or an address is missing.
pub(crate) fn nodes(members: Members) -> Option<Nodes> {
    let ids = |numbers: std::collections::BTreeSet<u16>| numbers.into_iter().map(u64::from).collect();
    let voters = members.voters.into_iter().map(ids).collect();
    let addresses: std::collections::BTreeMap<u64, String> =
        members.addresses.into_iter().map(|(number, address)| (number.into(), address)).collect();
    Membership::new(voters, addresses).ok()
}

pub(crate) fn stored_members(stored: &StoredNodes) -> StoredMembers {
    StoredMembers { position: stored.log_id().map(position), members: members(stored.membership()) }
}

pub(crate) fn stored_nodes(stored: StoredMembers) -> Option<StoredNodes> {
    Some(StoredNodes::new(stored.position.map(log_id), nodes(stored.members)?))
}

pub(crate) fn record(entry: Entry) -> Record {
    let content = match entry.payload {
        EntryPayload::Blank => Content::Blank,
        EntryPayload::Normal(Payload(bytes)) => Content::Bytes(bytes),
        EntryPayload::Membership(nodes) => Content::Members(members(&nodes)),
    };
    Record { position: position(entry.log_id), content }
}

/// `None` if its members are none.
pub(crate) fn entry(record: Record) -> Option<Entry> {
    let payload = match record.content {
        Content::Blank => EntryPayload::Blank,
        Content::Bytes(bytes) => EntryPayload::Normal(Payload(bytes)),
        Content::Members(members) => EntryPayload::Membership(nodes(members)?),
    };
    Some(Entry { log_id: log_id(record.position), payload })
}
