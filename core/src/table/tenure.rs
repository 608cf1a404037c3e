//! A tenure: one stretch of a connection's holding. It owns what it holds, and ends all at once.

use super::connection::Connection;
use super::lock::{Lock, Locks, Soles};
use super::tie::HoldsOfTenure;
use crate::storage::{Chain, Id, Links, Stack};
use crate::types::{ByKind, Kind, Now};

/// ```text
///            connection opens             it ends, holding nothing solely
///   (none) --------------------> live ------------------------------------> (none)
///                                 |                                            ^
///                                 | it ends: tied holds are released,          |
///                                 | figures corrected, all in one step         | last one swept, or got by another
///                                 +---------------> dead ----------------------+
/// ```
/// A dead tenure holds nothing, but has storage left. Its sole holds are storage not freed yet. Each of them
/// means "free" wherever it is met.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    owner: Owner,
    /// Locks that only this tenure holds, the newest first.
    soles: Stack<Soles>,
    /// How many those are, by kind. Ending a tenure subtracts these instead of visiting each.
    sole_count: ByKind<u32>,
    /// Bytes of their names that stand outside the slots.
    sole_name_bytes: u64,
    /// Holds of locks that others hold too, or held: the newest first.
    tied: Stack<HoldsOfTenure>,
    /// How many those are, by kind.
    tied_count: ByKind<u32>,
    /// In the line of dead tenures to be swept.
    to_sweep: Links<Tenure>,
}

/// Whose a tenure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// An open connection's: the tenure lives.
    Connection(Id<Connection>),
    /// Nobody's since then: the tenure is dead. Until then its sole holds lasted.
    Ended(Now),
}

/// The dead tenures in the order in which they ended, which is that of their sweeping.
pub(super) struct ToSweep;

impl Chain for ToSweep {
    type Value = Tenure;

    fn links(tenure: &Tenure) -> &Links<Tenure> {
        &tenure.to_sweep
    }

    fn links_mut(tenure: &mut Tenure) -> &mut Links<Tenure> {
        &mut tenure.to_sweep
    }
}

impl Tenure {
    pub(super) fn new(owner: Id<Connection>) -> Self {
        Self {
            owner: Owner::Connection(owner),
            soles: Stack::EMPTY,
            sole_count: ByKind::default(),
            sole_name_bytes: 0,
            tied: Stack::EMPTY,
            tied_count: ByKind::default(),
            to_sweep: Links::NONE,
        }
    }

    /// Whose it is; `None` once dead.
    #[inline]
    pub(crate) fn owner(&self) -> Option<Id<Connection>> {
        match self.owner {
            Owner::Connection(owner) => Some(owner),
            Owner::Ended(_) => None,
        }
    }

    #[inline]
    pub(crate) fn lives(&self) -> bool {
        matches!(self.owner, Owner::Connection(_))
    }

    /// When it ended. Panics while it lives.
    pub(super) fn ended(&self) -> Now {
        match self.owner {
            Owner::Ended(at) => at,
            Owner::Connection(owner) => panic!("the tenure of connection {owner:?} has not ended"),
        }
    }

    /// Ends it, once. Its holds are the caller's to end.
    pub(super) fn end(&mut self, now: Now) {
        assert!(self.lives(), "a tenure ends once");
        self.owner = Owner::Ended(now);
    }

    /// Holds of one kind.
    pub(crate) fn count(&self, kind: Kind) -> u32 {
        self.sole_count[kind] + self.tied_count[kind]
    }

    /// Holds of all kinds.
    #[inline]
    pub(crate) fn holds(&self) -> u32 {
        self.sole_count.total() + self.tied_count.total()
    }

    /// Locks that only this tenure holds, by kind; of a dead one, those that it left to be swept.
    pub(crate) fn sole_count(&self) -> ByKind<u32> {
        self.sole_count
    }

    /// Bytes of the names of those that stand outside their slots.
    pub(crate) fn sole_name_bytes(&self) -> u64 {
        self.sole_name_bytes
    }

    /// Locks that only this tenure holds, the newest first.
    pub(super) fn soles(&self) -> &Stack<Soles> {
        &self.soles
    }

    /// Holds of locks that others hold too, or held, by kind.
    pub(crate) fn tied_count(&self) -> ByKind<u32> {
        self.tied_count
    }

    /// Those holds, the newest first.
    pub(super) fn tied(&self) -> &Stack<HoldsOfTenure> {
        &self.tied
    }

    /// Adds a lock that only this tenure holds: `insert` gives it its slot, and the links that it is given.
    #[inline]
    pub(super) fn add_sole(
        &mut self,
        locks: &mut Locks,
        kind: Kind,
        outer_bytes: u64,
        insert: impl FnOnce(&mut Locks, Links<Lock>) -> Id<Lock>,
    ) -> Id<Lock> {
        assert!(self.lives(), "only a live tenure gets locks");
        self.sole_count[kind] += 1;
        self.sole_name_bytes += outer_bytes;
        self.soles.push_new(locks, insert)
    }

    /// Takes a lock with these links out of those that only this tenure holds.
    #[inline]
    pub(super) fn remove_sole(
        &mut self,
        locks: &mut Locks,
        kind: Kind,
        outer_bytes: u64,
        (lock, links): (Id<Lock>, Links<Lock>),
    ) {
        self.sole_count[kind] -= 1;
        self.sole_name_bytes -= outer_bytes;
        self.soles.close_gap(locks, lock, links);
    }

    /// Counts a tied hold, and gives the list to put it into.
    pub(super) fn add_tied(&mut self, kind: Kind) -> &mut Stack<HoldsOfTenure> {
        self.tied_count[kind] += 1;
        &mut self.tied
    }

    /// Counts a tied hold no more, and gives the list to take it out of.
    pub(super) fn remove_tied(&mut self, kind: Kind) -> &mut Stack<HoldsOfTenure> {
        self.tied_count[kind] -= 1;
        &mut self.tied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Slab;

    #[test]
    fn a_slot_takes_56_bytes() {
        assert_eq!(Slab::<Tenure>::slot_bytes(), 56, "each connection that got a lock has one");
    }
}
