//! What nodes say to each other beside the engine's own: batches, beats, last words, and operators' commands.

use crate::status::{NodeReport, StatusRecord};
use crate::wire::{Malformed, decode, encode};
use bincode::{Decode, Encode};

/// Numbers of requests. Those below are the engine's.
pub(crate) mod kind {
    /// A node's batch, for the leader. An entry with one act.
    pub(crate) const BATCH: u8 = 64;
    /// A node's beat, for the leader.
    pub(crate) const BEAT: u8 = 65;
    /// A node asks for a new epoch.
    pub(crate) const UP: u8 = 66;
    /// A new leader asks a voter for its last word.
    pub(crate) const LAST_WORD: u8 = 67;
    /// A node ends its own epoch, at its shutdown.
    pub(crate) const GONE: u8 = 68;
    /// An operator's command.
    pub(crate) const CONTROL: u8 = 69;
}

/// An answer that only the leader gives.
#[derive(Clone, Debug, Encode, Decode, PartialEq, Eq)]
pub(crate) enum OfLeader<T> {
    /// Here it is.
    Here(T),
    /// This node does not lead. Perhaps that one does.
    Elsewhere(Option<u16>),
    /// It leads, and cannot say so now.
    Later,
}

/// A sign of life.
#[derive(Clone, Copy, Debug, Encode, Decode, PartialEq, Eq)]
pub(crate) struct BeatSent {
    pub(crate) epoch: u64,
    pub(crate) number: u64,
    /// The last entry that the node has applied.
    pub(crate) applied: u64,
    /// What `Check` found last: the entry and the digest.
    pub(crate) digest: Option<(u64, u64)>,
}

/// The leader's answer: the node may serve on.
#[derive(Clone, Copy, Debug, Encode, Decode, PartialEq, Eq)]
pub(crate) struct BeatAnswered {
    /// The last entry that is committed.
    pub(crate) commit: u64,
    /// Cluster time, in milliseconds.
    pub(crate) time: u64,
    /// What most replicas came to at the last check: the entry and the digest.
    pub(crate) agreed: Option<(u64, u64)>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Encode, Decode, PartialEq, Eq)]
pub(crate) enum BatchAnswered {
    /// It is in the leader's hands.
    Taken,
    /// One before it is missing.
    Gap,
}

/// A node wants to begin an epoch.
#[derive(Clone, Copy, Debug, Encode, Decode, PartialEq, Eq)]
pub(crate) struct UpWanted {
    pub(crate) nonce: u64,
    pub(crate) levels: (u16, u16),
}

/// An operator's command.
#[derive(Clone, Debug, Encode, Decode, PartialEq, Eq)]
pub enum ControlRequest {
    /// A new node wants a number. It says where it will be reached, and which levels it knows.
    Join {
        /// Drawn by the node, so that asking twice gives one number.
        nonce: u64,
        /// Host and port of its cluster listener.
        address: String,
        /// The lowest and the highest level.
        levels: (u16, u16),
    },
    /// A learner becomes a voter.
    Promote(u16),
    /// A member leaves.
    Remove(u16),
    /// What the cluster looks like.
    Status,
    /// The level is raised to the highest that all members know.
    Upgrade,
    /// What the node that is asked says of itself.
    Report,
    /// The node that is asked is to be removed: it ends in order. Only nodes ask this.
    Leave,
    /// Whether a node is a member.
    Belongs(u16),
}

/// The answer to an operator's command.
#[derive(Clone, Debug, Encode, Decode, PartialEq, Eq)]
pub enum ControlAnswer {
    /// The new node's number, and what it must know to start.
    Joined {
        /// Its number.
        node: u16,
        /// The cluster.
        cluster: u128,
        /// The cluster's timeout, in milliseconds.
        timeout_ms: u64,
        /// Limits and features, as core writes them.
        settings: Vec<u8>,
        /// A fencing token that is above all that were given out so far.
        token: u64,
    },
    /// It is done.
    Done,
    /// The level that is in force now.
    Level(u16),
    /// It cannot be done, and why.
    Refused(String),
    /// What the cluster looks like.
    Status(Box<StatusRecord>),
    /// What the node says of itself.
    Report(NodeReport),
    /// Whether the node is a member. If not, it was one, and never will be again.
    Belongs(bool),
}

impl ControlRequest {
    /// The number of this kind of request.
    pub const KIND: u8 = kind::CONTROL;

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }
}

impl ControlAnswer {
    /// From bytes.
    ///
    /// # Errors
    ///
    /// If they are no answer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        decode(bytes)
    }
}
