//! The table of locks: one slot for each locked name, found by kind and name.

use crate::canary::{Canary, is_planted};
use crate::storage::{Id, Index, Name, Slab};
use crate::types::Kind;
use siphasher::sip::SipHasher13;

use super::tenure::Tenure;
use super::tie::Tie;

/// A name that is locked, or that a dead tenure was the last to hold.
///
/// ```text
///              first get                second holder
///   (no slot) -----------> Sole(live) -----------------> Tied
///       ^                   |  ^    |                      |
///       |<--- release ------+  |    | tenure ends          | last holder gone
///       |                 get  |    v                      |
///       |<--- swept ------- Sole(dead)                     |
///       +<-------------------------------------------------+
/// ```
/// A lock whose sole holder is dead is free: every reader of `hold` must ask whether its tenure lives.
/// Once tied, a lock stays tied until its last holder is gone.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) hold: Hold,
}

/// Who holds a lock.
#[derive(Clone, Debug)]
pub(crate) enum Hold {
    /// One tenure, and nobody else holds or waits. The links are that tenure's list of sole holds.
    Sole { tenure: Id<Tenure>, prev: Option<Id<Lock>>, next: Option<Id<Lock>> },
    /// One or more tenures, each with a record of its own.
    Tied(Id<Tie>),
}

/// All locks, by slot and by name.
#[derive(Clone, Debug)]
pub(crate) struct Locks {
    slots: Slab<Lock>,
    index: Index<Lock>,
    hasher: SipHasher13,
}

/// A name's hash, so that it is computed once for each command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameHash(u64);

impl Locks {
    pub(crate) fn new(chunk_slots: u32, index_tables: u32, key: (u64, u64)) -> Self {
        Self {
            slots: Slab::new(chunk_slots),
            index: Index::new(index_tables),
            hasher: SipHasher13::new_with_keys(key.0, key.1),
        }
    }

    pub(crate) fn hash(&self, kind: Kind, name: &[u8]) -> NameHash {
        NameHash(hash(&self.hasher, kind, name))
    }

    pub(crate) fn find(&self, hash: NameHash, kind: Kind, name: &[u8]) -> Option<Id<Lock>> {
        self.index.find(hash.0, |id| {
            let lock = &self.slots[id];
            (lock.kind == kind || is_planted(Canary::KindsAreOne)) && lock.name.as_bytes() == name
        })
    }

    /// Adds a name that is not there yet.
    pub(crate) fn insert(&mut self, hash: NameHash, name: &[u8], kind: Kind, hold: Hold) -> Id<Lock> {
        let id = self.slots.insert(Lock { name: Name::new(name), kind, hold });
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert(hash.0, id, |id| rehash(slots, hasher, id));
        id
    }

    /// Takes a name out whose hash is at hand.
    pub(crate) fn remove(&mut self, hash: NameHash, id: Id<Lock>) -> Lock {
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.remove(hash.0, id, |id| rehash(slots, hasher, id));
        self.slots.remove(id)
    }

    /// What a canary does instead of `remove`.
    pub(crate) fn forget(&mut self, id: Id<Lock>) {
        self.slots.remove(id);
    }

    /// The hash of a lock that is there.
    pub(crate) fn hash_of(&self, id: Id<Lock>) -> NameHash {
        NameHash(rehash(&self.slots, &self.hasher, id))
    }

    pub(crate) fn slots(&self) -> &Slab<Lock> {
        &self.slots
    }

    pub(crate) fn hold_mut(&mut self, id: Id<Lock>) -> &mut Hold {
        &mut self.slots[id].hold
    }

    pub(crate) fn indexed(&self) -> u32 {
        self.index.len()
    }
}

impl std::ops::Index<Id<Lock>> for Locks {
    type Output = Lock;

    fn index(&self, id: Id<Lock>) -> &Lock {
        &self.slots[id]
    }
}

fn hash(hasher: &SipHasher13, kind: Kind, name: &[u8]) -> u64 {
    // The constant has bits everywhere, so that the same name in both kinds lands in two places.
    let kind = if is_planted(Canary::KindsAreOne) { Kind::Exclusive } else { kind };
    hasher.hash(name) ^ [0, 0x9E37_79B9_7F4A_7C15][kind.index()]
}

fn rehash(slots: &Slab<Lock>, hasher: &SipHasher13, id: Id<Lock>) -> u64 {
    let lock = &slots[id];
    hash(hasher, lock.kind, lock.name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::assert_balanced;

    #[test]
    fn a_slot_takes_48_bytes() {
        assert_eq!(Slab::<Lock>::slot_bytes(), 48, "docs/operations.md plans memory with this");
    }

    #[test]
    fn names_are_spread_over_all_bits_in_both_kinds() {
        let locks = Locks::new(2, 1, (1, 2));
        for kind in Kind::ALL {
            assert_balanced((0..4096).map(|number| locks.hash(kind, format!("name {number}").as_bytes()).0));
        }
    }

    #[test]
    fn the_same_name_lands_elsewhere_in_the_other_kind_and_under_another_key() {
        let hash = |key, kind| Locks::new(2, 1, key).hash(kind, b"name").0;
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((1, 2), Kind::Shared));
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((1, 3), Kind::Exclusive));
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((2, 2), Kind::Exclusive));
    }
}
