//! What engines ask each other, as records: a rolling upgrade must survive an engine that changes its types.

use crate::store::{Ballot, Position, Record, SnapshotHeader};
use bincode::{Decode, Encode};

/// Entries for a follower, or none, as a sign of life.
pub const APPEND: u8 = 1;
/// A candidate asks for a vote.
pub const VOTE: u8 = 2;
/// A node asks whether it would be voted for.
pub const PRE_VOTE: u8 = 3;
/// The leader hands its leadership over.
pub const TRANSFER: u8 = 4;
/// A piece of a snapshot.
pub const PIECE: u8 = 5;

/// How much of a snapshot travels at a time.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

#[derive(Encode, Decode)]
pub(crate) struct AppendAsk {
    pub(crate) ballot: Ballot,
    /// The entry before the first of these.
    pub(crate) previous: Option<Position>,
    pub(crate) committed: Option<Position>,
    pub(crate) records: Vec<Record>,
}

#[derive(Encode, Decode)]
pub(crate) enum AppendAnswer {
    Done,
    /// Only those up to this one.
    Part(Option<Position>),
    /// The entry before the first is another one here.
    Conflict,
    /// Somebody else leads, or asks to.
    Higher(Ballot),
}

#[derive(Encode, Decode)]
pub(crate) struct VoteAsk {
    pub(crate) ballot: Ballot,
    /// The candidate's last entry.
    pub(crate) last: Option<Position>,
    /// The leader itself asked the candidate to stand.
    pub(crate) is_transfer: bool,
}

#[derive(Encode, Decode)]
pub(crate) struct VoteAnswer {
    pub(crate) ballot: Ballot,
    pub(crate) is_granted: bool,
    pub(crate) last: Option<Position>,
}

#[derive(Encode, Decode)]
pub(crate) struct TransferAsk {
    pub(crate) ballot: Ballot,
    pub(crate) to: u16,
    pub(crate) last: Option<Position>,
}

#[derive(Encode, Decode)]
pub(crate) enum TransferAnswer {
    Done,
    VoteChanged { expected: Ballot, actual: Ballot },
    NotFlushed { expected: Option<Position>, actual: Option<Position> },
}

/// A piece of a snapshot. The first has the offset 0, and begins it anew.
#[derive(Encode, Decode)]
pub(crate) struct PieceAsk {
    pub(crate) ballot: Ballot,
    pub(crate) header: SnapshotHeader,
    pub(crate) offset: u64,
    pub(crate) piece: Vec<u8>,
}

#[derive(Encode, Decode)]
pub(crate) enum PieceAnswer {
    /// More is to come, from this offset on.
    Continue(u64),
    /// The snapshot is installed, or the sender no longer leads: the ballot tells which.
    Done(Ballot),
    /// It came damaged, or there is no room for it.
    Refused(String),
}
