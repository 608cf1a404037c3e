//! What a node keeps on its disk: its identity, the log, and one snapshot. Nothing here knows the consensus engine.
//!
//! An error of the disk is final. A record that does not have its checksum is refused: it is never cut off, and
//! nothing is made up for it.

pub mod identity;
pub mod log;
mod queue;
pub mod record;
pub mod snapshot;
mod tail;

pub use identity::{Identity, IdentityError, StateDirectory};
pub use log::{Change, DiskLog, Head, Log};
pub use queue::{DiskError, Writing};
pub use record::{Ballot, Content, Members, Position, Record, StoredMembers};
pub use snapshot::{Folder, Shelf, SnapshotFile, SnapshotHeader, SnapshotPart, Volume};
pub use tail::Store;

/// What to do with a node whose disk has damaged records.
pub(crate) const DAMAGED: &str = "the state directory is damaged: remove this node from the cluster, empty the \
                                  directory, and join the cluster again";
