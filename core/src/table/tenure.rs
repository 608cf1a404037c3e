//! A tenure: a period in which a connection holds locks. It owns its holds, and they all end with it at once.

use super::connection::Connection;
use super::grace::Grace;
use super::lock::{Lock, Locks, Soles};
use super::tie::HoldsOfTenure;
use crate::storage::{Chain, Id, Links, Stack};
use crate::types::{ByKind, Kind, Now};

/// ```text
///            connection opens             it ends, holding nothing solely
///   (none) --------------------> live ------------------------------------> (none)
///                                 |                                            ^
///                                 | it ends, and no grace lingers: tied holds are released,          |
///                                 | figures corrected, all in one step         | last one swept, or got by another
///                                 +---------------> dead ----------------------+
/// ```
/// A dead tenure holds nothing, but still has storage: its sole holds, not freed yet. Wherever one of those is met, its
/// lock counts as free.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    owner: Owner,
    /// Locks that only this tenure holds, the newest first.
    soles: Stack<Soles>,
    /// How many sole holds there are, by kind. The end of a tenure subtracts this number instead of visiting each hold.
    sole_count: ByKind<u32>,
    /// Bytes of their names that are stored outside the slots.
    sole_name_bytes: u64,
    /// Holds of tied locks, the newest first.
    tied: Stack<HoldsOfTenure>,
    /// How many tied holds there are, by kind.
    tied_count: ByKind<u32>,
    /// Its place in the list of dead tenures to be swept.
    to_sweep: Links<Tenure>,
}

/// Whose a tenure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// An open connection's: the tenure lives.
    Connection(Id<Connection>),
    /// That of a connection that has ended, and whose grace lingers: the tenure lives.
    Lingering(Id<Grace>),
    /// Nobody's: the tenure is dead. Its sole holds lasted until this time.
    Ended(Now),
}

/// The dead tenures, in the order in which they ended. They are swept in this order.
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

    /// The connection whose it is. `None` once it is dead, and while it lingers.
    #[inline]
    pub(crate) fn owner(&self) -> Option<Id<Connection>> {
        match self.owner {
            Owner::Connection(owner) => Some(owner),
            Owner::Lingering(_) | Owner::Ended(_) => None,
        }
    }

    /// The grace whose it is, while it lingers.
    #[inline]
    pub(crate) fn grace(&self) -> Option<Id<Grace>> {
        match self.owner {
            Owner::Lingering(grace) => Some(grace),
            Owner::Connection(_) | Owner::Ended(_) => None,
        }
    }

    /// Has it linger: its connection ends, and its holds stay.
    pub(super) fn linger(&mut self, grace: Id<Grace>) {
        assert!(self.owner().is_some(), "what lingers was a connection's");
        self.owner = Owner::Lingering(grace);
    }

    /// Gives it to another connection.
    pub(super) fn pass_to(&mut self, owner: Id<Connection>) {
        assert!(self.lives(), "only what is held is passed on");
        self.owner = Owner::Connection(owner);
    }

    #[inline]
    pub(crate) fn lives(&self) -> bool {
        !matches!(self.owner, Owner::Ended(_))
    }

    /// When it ended. Panics while it lives.
    pub(super) fn ended(&self) -> Now {
        match self.owner {
            Owner::Ended(at) => at,
            owner => panic!("the tenure of {owner:?} has not ended"),
        }
    }

    /// Ends it. Must be called only once. The caller must end its holds.
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

    /// Its sole holds by kind. For a dead tenure: what is still to be swept.
    pub(crate) fn sole_count(&self) -> ByKind<u32> {
        self.sole_count
    }

    /// Bytes of the names of its sole holds that are stored outside the slots.
    pub(crate) fn sole_name_bytes(&self) -> u64 {
        self.sole_name_bytes
    }

    /// Locks that only this tenure holds, the newest first.
    pub(super) fn soles(&self) -> &Stack<Soles> {
        &self.soles
    }

    /// Its holds of tied locks, by kind.
    pub(crate) fn tied_count(&self) -> ByKind<u32> {
        self.tied_count
    }

    /// Those holds, the newest first.
    pub(super) fn tied(&self) -> &Stack<HoldsOfTenure> {
        &self.tied
    }

    /// Adds a sole hold. `insert` must put the lock into a slot, with the links that it is given.
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

    /// Takes out a sole hold: a lock with these links.
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

    /// Counts a tied hold that begins, and returns the list to put it into.
    pub(super) fn add_tied(&mut self, kind: Kind) -> &mut Stack<HoldsOfTenure> {
        self.tied_count[kind] += 1;
        &mut self.tied
    }

    /// Counts a tied hold under another kind.
    pub(super) fn recount_tied(&mut self, before: Kind, after: Kind) {
        self.tied_count[before] -= 1;
        self.tied_count[after] += 1;
    }

    /// Counts a tied hold that ends, and returns the list to take it out of.
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
    fn a_slot_takes_72_bytes() {
        assert_eq!(Slab::<Tenure>::slot_bytes(), 72, "each connection that got a lock has one");
    }
}
