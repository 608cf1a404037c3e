//! The table of locks: one slot for each locked name, found by kind and name.

use crate::canary::{Canary, is_planted};
use crate::storage::{Id, Index, Linked, Slab};
use crate::types::{Kind, Now};
use siphasher::sip::SipHasher13;

use super::moment::Moment;
use super::tenure::Tenure;
use super::tie::Tie;

/// A name that is locked, or that a dead tenure was the last to hold.
///
/// ```text
///              first get                second holder,
///                                       first wait, or token
///   (no slot) -----------> Sole(live) ----------------------> Tied --+ last holder gone,
///       ^                   |  ^    |                         |  ^   | but somebody waits:
///       |<--- release ------+  |    | tenure ends             |  +---+ the head is granted
///       |                 get  |    v                         |
///       |<--- swept ------- Sole(dead)                        | last holder gone,
///       +<----------------------------------------------------+ nobody waits
/// ```
/// A lock whose sole holder is dead is free: every reader of `hold` must ask whether its tenure lives.
/// Once tied, a lock stays tied until it is free.
///
/// A name of up to [`Lock::SHORT`] bytes stands in the slot itself, a longer one on the heap. The fields
/// that both have are kept in each, not around them, because only so do they fit into 56 bytes.
#[derive(Clone, Debug)]
pub(crate) enum Lock {
    /// The first `len` bytes are the name; the rest are zero and mean nothing.
    Short {
        kind: Kind,
        since: Moment,
        hold: Hold,
        hash: NameHash,
        link: Option<Id<Lock>>,
        len: u8,
        name: [u8; Lock::SHORT],
    },
    /// A name of at most `u16::MAX` bytes (the configured limit is a `u16`).
    Long { kind: Kind, since: Moment, hold: Hold, hash: NameHash, link: Option<Id<Lock>>, name: Box<[u8]> },
}

impl Lock {
    /// The longest name that needs no allocation.
    const SHORT: usize = 29;

    #[inline]
    fn new(name: &[u8], hash: NameHash, kind: Kind, hold: Hold, now: Now) -> Self {
        let (since, link) = (Moment::of(now), None);
        if name.len() > Self::SHORT {
            return Self::Long { kind, since, hold, hash, link, name: name.into() };
        }
        let mut bytes = [0; Self::SHORT];
        bytes[..name.len()].copy_from_slice(name);
        Self::Short { kind, since, hold, hash, link, len: name.len() as u8, name: bytes }
    }

    pub(crate) fn name(&self) -> &[u8] {
        match self {
            Self::Short { len, name, .. } => &name[..usize::from(*len)],
            Self::Long { name, .. } => name,
        }
    }

    /// Whether it is the lock of this kind and name.
    pub(crate) fn is(&self, kind: Kind, name: &[u8]) -> bool {
        (self.kind() == kind || is_planted(Canary::KindsAreOne)) && self.name() == name
    }

    /// Bytes of a name that stand outside its lock's slot.
    pub(crate) const fn heap_bytes_of(name: &[u8]) -> u64 {
        if name.len() > Self::SHORT { name.len() as u64 } else { 0 }
    }

    /// Bytes of the name that stand outside the slot.
    pub(crate) fn heap_bytes(&self) -> u64 {
        match self {
            Self::Short { .. } => 0,
            Self::Long { name, .. } => name.len() as u64,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        let (Self::Short { kind, .. } | Self::Long { kind, .. }) = self;
        *kind
    }

    pub(crate) fn hold(&self) -> &Hold {
        let (Self::Short { hold, .. } | Self::Long { hold, .. }) = self;
        hold
    }

    /// Since when the sole holder holds it. Means nothing once tied: then each hold has its own.
    pub(crate) fn since(&self) -> Moment {
        let (Self::Short { since, .. } | Self::Long { since, .. }) = self;
        *since
    }

    #[inline]
    fn hash(&self) -> NameHash {
        let (Self::Short { hash, .. } | Self::Long { hash, .. }) = self;
        *hash
    }

    fn hold_mut(&mut self) -> &mut Hold {
        let (Self::Short { hold, .. } | Self::Long { hold, .. }) = self;
        hold
    }

    fn since_mut(&mut self) -> &mut Moment {
        let (Self::Short { since, .. } | Self::Long { since, .. }) = self;
        since
    }
}

impl Linked for Lock {
    fn link(&self) -> Option<Id<Self>> {
        let (Self::Short { link, .. } | Self::Long { link, .. }) = self;
        *link
    }

    fn link_mut(&mut self) -> &mut Option<Id<Self>> {
        let (Self::Short { link, .. } | Self::Long { link, .. }) = self;
        link
    }
}

/// Who holds a lock.
#[derive(Clone, Debug)]
pub(crate) enum Hold {
    /// One tenure, and nobody else holds or waits, and it has no token. The links are that tenure's list of sole holds.
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

/// A hash of kind and name. Kept with each lock, so that taking one out and growing read no names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameHash(u32);

impl Locks {
    pub(crate) fn new(chunk_slots: u32, index_tables: u32, key: (u64, u64)) -> Self {
        Self {
            slots: Slab::new(chunk_slots),
            index: Index::new(index_tables),
            hasher: SipHasher13::new_with_keys(key.0, key.1),
        }
    }

    pub(crate) fn hash(&self, kind: Kind, name: &[u8]) -> NameHash {
        // The constant has bits everywhere, so that the same name in both kinds lands in two places.
        let kind = if is_planted(Canary::KindsAreOne) { Kind::Exclusive } else { kind };
        NameHash(self.hasher.hash(name) as u32 ^ [0, 0x9E37_79B9][kind.index()])
    }

    #[inline]
    pub(crate) fn find(&self, hash: NameHash, kind: Kind, name: &[u8]) -> Option<Id<Lock>> {
        self.index.find(&self.slots, hash.0, |lock| lock.hash() == hash && lock.is(kind, name))
    }

    /// Adds a name that is not there yet, held from now on.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        hash: NameHash,
        name: &[u8],
        kind: Kind,
        hold: Hold,
        now: Now,
    ) -> Id<Lock> {
        self.index.insert(&mut self.slots, Lock::new(name, hash, kind, hold, now), |lock| lock.hash().0)
    }

    /// Takes a name out.
    #[inline]
    pub(crate) fn remove(&mut self, id: Id<Lock>) -> Lock {
        self.index.remove(&mut self.slots, id, |lock| lock.hash().0)
    }

    /// What a canary does instead of `remove`.
    pub(crate) fn forget(&mut self, id: Id<Lock>) {
        self.slots.remove(id);
    }

    pub(crate) fn slots(&self) -> &Slab<Lock> {
        &self.slots
    }

    pub(crate) fn hold_mut(&mut self, id: Id<Lock>) -> &mut Hold {
        self.slots[id].hold_mut()
    }

    /// Notes that its sole holder holds it from now on.
    pub(crate) fn held_from(&mut self, id: Id<Lock>, now: Now) {
        *self.slots[id].since_mut() = Moment::of(now);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::assert_balanced;

    #[test]
    fn a_slot_takes_56_bytes() {
        assert_eq!(Slab::<Lock>::slot_bytes(), 56, "docs/operations.md plans memory with this");
    }

    #[test]
    fn keeps_any_bytes_of_any_length() {
        let tie = Slab::new(2).insert(Tie::default());
        for len in [0, 1, 28, 29, 30, 4096] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 256) as u8).collect();
            let lock = Lock::new(&bytes, NameHash(9), Kind::Shared, Hold::Tied(tie), Now(7));
            assert_eq!(lock.name(), bytes);
            assert_eq!(lock.heap_bytes(), if len > 29 { len } else { 0 });
            assert_eq!(lock.kind(), Kind::Shared);
            assert_eq!(lock.since().until(Now(9)), 2);
        }
    }

    #[test]
    fn names_are_spread_over_all_bits_in_both_kinds() {
        let locks = Locks::new(2, 1, (1, 2));
        for kind in Kind::ALL {
            assert_balanced((0..4096).map(|number| locks.hash(kind, format!("name {number}").as_bytes()).0));
        }
    }

    /// Goal: who knows the hash but not its key cannot make the table slow. Method: names that all lie in one place
    /// under one key, found by trying, under another; where a large index keeps an entry is told by 17 bits of its hash.
    #[test]
    fn names_chosen_to_collide_under_one_key_are_spread_under_another() {
        let place =
            |locks: &Locks, name: &str| locks.hash(Kind::Exclusive, name.as_bytes()).0 & 0x1_FFFF;
        let known = Locks::new(2, 1024, (0, 0));
        let wanted = place(&known, "");
        let crafted: Vec<String> = (0_u64..)
            .map(|number| number.to_string())
            .filter(|name| place(&known, name) == wanted)
            .take(16)
            .collect();
        let secret = Locks::new(2, 1024, (0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210));
        let places: std::collections::BTreeSet<u32> =
            crafted.iter().map(|name| place(&secret, name)).collect();
        assert!(places.len() >= 15, "16 names in {} of 131,072 places", places.len());
    }

    #[test]
    fn the_same_name_lands_elsewhere_in_the_other_kind_and_under_another_key() {
        let hash = |key, kind| Locks::new(2, 1, key).hash(kind, b"name").0;
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((1, 2), Kind::Shared));
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((1, 3), Kind::Exclusive));
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((2, 2), Kind::Exclusive));
    }
}
