//! The records that are kept on the disk and sent to other nodes. They are the crate's own: an engine may change its
//! types, and these stay.

use bincode::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where an entry stands in the log. Two entries with the same position are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Position {
    /// The term of the leader that proposed it.
    pub term: u64,
    /// Its number. The first is 0.
    pub index: u64,
}

/// Whom a node votes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ballot {
    /// The term.
    pub term: u64,
    /// The candidate.
    pub node: u16,
    /// A quorum has elected it.
    pub is_elected: bool,
}

/// The members of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Members {
    /// The sets of voters. There are two while voters change: a majority of each decides.
    pub voters: Vec<BTreeSet<u16>>,
    /// All nodes, learners too, with their addresses.
    pub addresses: BTreeMap<u16, String>,
}

/// Members, and the entry that made them so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct StoredMembers {
    /// The position of that entry. `None` before the first.
    pub position: Option<Position>,
    /// The members.
    pub members: Members,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// Nothing. A leader's term begins with it.
    Blank,
    /// Bytes for the replicated state.
    Bytes(Arc<[u8]>),
    /// New members.
    Members(Members),
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub content: Content,
}

impl Record {
    /// About how many bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        /// Position, checksum, key, and what holds them together.
        const FRAME: usize = 48;
        FRAME
            + match &self.content {
                Content::Blank => 0,
                Content::Bytes(bytes) => bytes.len(),
                Content::Members(members) => members.addresses.values().map(|it| it.len() + 16).sum(),
            }
    }
}
