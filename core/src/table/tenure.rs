//! A tenure: one stretch of a connection's holding. It owns what it holds, and ends all at once.

use super::connection::Connection;
use super::lock::Lock;
use super::tie::TiedHold;
use crate::storage::Id;
use crate::types::{ByKind, Kind, Now};

/// ```text
///            connection opens             it ends, holding nothing solely
///   (none) --------------------> live ------------------------------------> (none)
///                                 |                                            ^
///                                 | it ends: tied holds are released,          |
///                                 | figures corrected, all in one step         | last one swept, or got by another
///                                 +---------------> dead ----------------------+
/// ```
/// A dead tenure holds nothing, but has storage left. Its sole holds are only storage that nobody has freed yet, and each of
/// them means "free" wherever it is met.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    /// Whose it is; `None` once dead.
    pub(crate) owner: Option<Id<Connection>>,
    /// When it ended, once dead: until then its sole holds lasted.
    pub(crate) ended: Now,
    /// Locks that only this tenure holds, the newest first.
    pub(crate) sole: Option<Id<Lock>>,
    /// How many those are, by kind. Ending a tenure subtracts these instead of visiting each.
    pub(crate) sole_count: ByKind<u32>,
    /// Bytes of their names that stand outside the slots.
    pub(crate) sole_name_bytes: u64,
    /// Holds of locks that others hold too, or held: the newest first.
    pub(crate) tied: Option<Id<TiedHold>>,
    /// How many those are, by kind.
    pub(crate) tied_count: ByKind<u32>,
    /// Neighbours in the line of dead tenures to be swept.
    pub(crate) prev_dead: Option<Id<Tenure>>,
    pub(crate) next_dead: Option<Id<Tenure>>,
}

impl Tenure {
    pub(crate) fn new(owner: Id<Connection>) -> Self {
        Self {
            owner: Some(owner),
            ended: Now::default(),
            sole: None,
            sole_count: ByKind::default(),
            sole_name_bytes: 0,
            tied: None,
            tied_count: ByKind::default(),
            prev_dead: None,
            next_dead: None,
        }
    }

    /// Holds of one kind.
    pub(crate) fn count(&self, kind: Kind) -> u32 {
        self.sole_count[kind] + self.tied_count[kind]
    }

    /// Holds of all kinds.
    pub(crate) fn holds(&self) -> u32 {
        self.sole_count.total() + self.tied_count.total()
    }

    /// Storage of sole holds of all kinds: what a dead tenure leaves to be swept.
    pub(crate) fn soles(&self) -> u32 {
        self.sole_count.total()
    }
}
