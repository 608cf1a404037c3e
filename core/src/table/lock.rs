//! The table of locks: one slot for each locked name, found by kind and name.

use super::hasher::Hasher;
use super::memory;
use super::moment::Moment;
use super::name::{Name, is_same};
use super::tenure::Tenure;
use super::tie::Tie;
use crate::config::Storage;
use crate::storage::{Chain, Id, Index, Linked, Links, Slab, TextPlace, Texts};
use crate::types::{Kind, Now};

/// A name that is locked, or that a dead tenure was the last to hold. The lock's [`State`](super::State) is one of:
///
/// ```text
///              first get                second holder,
///                                       first wait, or token
///       Free --------------> Sole --------------------------> Tied --+ last holder gone,
///       ^ ^                   |                               |  ^   | but somebody waits:
///       | +--- release, or ---+                               |  +---+ the head is granted
///       |      tenure ends                                    | last holder gone,
///       +-----------------------------------------------------+ nobody waits
/// ```
/// A free lock has no slot. The exception is a lock whose sole holder's tenure ended: it keeps its slot until that is
/// swept, or until somebody gets the lock. So the slot does not tell whether the lock is held. `Holds::state` does.
/// Once tied, a lock stays tied until it is free.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    hold: Hold,
    hash: NameHash,
    link: Option<Id<Lock>>,
    since: Moment,
    kind: Kind,
    name: Name,
}

impl Lock {
    /// How it is held, or was held last. A lock of readers and writers changes its kind with its holders.
    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Who holds it, or held it last. That tenure may be dead: see `Holds::state`.
    #[inline]
    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// The tenure, live or dead, that has the lock in its list of sole holds. `None` for a tied lock.
    pub(crate) fn listed_by(&self) -> Option<Id<Tenure>> {
        match self.hold {
            Hold::Sole { tenure, .. } => Some(tenure),
            Hold::Tied(_) => None,
        }
    }

    /// When the sole hold began. Means nothing once the lock is tied: then each hold has its own time.
    pub(crate) fn since(&self) -> Moment {
        self.since
    }
}

impl Linked for Lock {
    fn link(&self) -> Option<Id<Self>> {
        self.link
    }

    fn link_mut(&mut self) -> &mut Option<Id<Self>> {
        &mut self.link
    }
}

/// Who holds a lock, or held it last.
#[derive(Clone, Debug)]
pub(super) enum Hold {
    /// One tenure. Nobody else holds or waits, and there is no token. The links are those of that tenure's list of sole
    /// holds.
    Sole { tenure: Id<Tenure>, links: Links<Lock> },
    /// One or more tenures, each with a record of its own.
    Tied(Id<Tie>),
}

/// The locks that only one tenure holds.
pub(super) struct Soles;

impl Chain for Soles {
    type Value = Lock;

    #[inline]
    fn links(lock: &Lock) -> &Links<Lock> {
        match &lock.hold {
            Hold::Sole { links, .. } => links,
            Hold::Tied(_) => panic!("{:?} is tied, not in a list of sole holds", lock.hash),
        }
    }

    #[inline]
    fn links_mut(lock: &mut Lock) -> &mut Links<Lock> {
        match &mut lock.hold {
            Hold::Sole { links, .. } => links,
            Hold::Tied(_) => panic!("{:?} is tied, not in a list of sole holds", lock.hash),
        }
    }
}

/// All locks, by slot, and by name space and name.
#[derive(Clone, Debug)]
pub(crate) struct Locks {
    slots: Slab<Lock>,
    /// Names that do not fit into slots. The owner of each is the position of its lock.
    long_names: Texts,
    index: Index<Lock>,
    hasher: Hasher,
}

/// A hash of name space and name. Each lock keeps its own, so that removal and growth read no names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameHash(u32);

impl Locks {
    pub(super) fn new(storage: &Storage) -> Self {
        let Storage { chunk_slots, text_chunk_bytes, index_tables, .. } = *storage;
        Self {
            slots: Slab::new(chunk_slots),
            long_names: Texts::new(text_chunk_bytes),
            index: Index::new(index_tables),
            hasher: Hasher::new(storage),
        }
    }

    pub(crate) fn hash(&self, kind: Kind, name: &[u8]) -> NameHash {
        // The constant has bits everywhere, so that the same name in two spaces lands in two places.
        NameHash(self.hasher.hash(name, 0x9E37_79B9_u32.wrapping_mul(kind.space().into())))
    }

    #[inline]
    pub(crate) fn find(&self, hash: NameHash, kind: Kind, name: &[u8]) -> Option<Id<Lock>> {
        self.index.find(&self.slots, hash.0, |lock| lock.hash == hash && self.is(lock, kind, name))
    }

    /// Whether a lock is the one of this name space and name.
    #[inline]
    pub(crate) fn is(&self, lock: &Lock, kind: Kind, name: &[u8]) -> bool {
        lock.kind.space() == kind.space() && is_same(self.name(lock), name)
    }

    #[inline]
    pub(crate) fn name<'a>(&'a self, lock: &'a Lock) -> &'a [u8] {
        lock.name.get().unwrap_or_else(|place| self.long_name(place))
    }

    /// Bytes of a lock's name that are stored outside its slot.
    #[inline]
    pub(crate) fn outer_bytes(&self, lock: &Lock) -> u64 {
        if lock.name.is_short() { 0 } else { memory::outer_bytes(self.name(lock).len()) }
    }

    #[cold]
    fn long_name(&self, place: TextPlace) -> &[u8] {
        self.long_names.get(place)
    }

    /// Adds a name that must not be there yet. It is held from `now` on.
    #[inline]
    pub(super) fn insert(
        &mut self,
        hash: NameHash,
        name: &[u8],
        kind: Kind,
        hold: Hold,
        now: Now,
    ) -> Id<Lock> {
        let lock = |name| Lock { hold, hash, link: None, since: Moment::of(now), kind, name };
        if name.len() <= Name::SHORT {
            self.index.insert(&mut self.slots, lock(Name::short(name)), |lock| lock.hash.0)
        } else {
            self.insert_long(name, lock)
        }
    }

    #[cold]
    fn insert_long(&mut self, name: &[u8], lock: impl FnOnce(Name) -> Lock) -> Id<Lock> {
        // Whose it is, is known only once the lock has its slot.
        let place = self.long_names.insert(name, 0);
        let id = self.index.insert(&mut self.slots, lock(Name::long(place)), |lock| lock.hash.0);
        self.long_names.set_owner(place, id.position());
        id
    }

    /// Takes a name out. Returns its bytes if they were stored outside the slot, else 0.
    #[inline]
    pub(super) fn remove(&mut self, id: Id<Lock>) -> usize {
        let lock = self.index.remove(&mut self.slots, id, |lock| lock.hash.0);
        match lock.name.get() {
            Ok(_) => 0,
            Err(place) => self.remove_long(place),
        }
    }

    /// Takes out a long name, and returns its bytes. Others may be moved.
    #[cold]
    fn remove_long(&mut self, place: TextPlace) -> usize {
        let bytes = self.long_name(place).len();
        let slots = &mut self.slots;
        self.long_names.remove(place, |owner, place| {
            let (id, _) = slots.at(owner).expect("a long name has its lock");
            slots[id].name = Name::long(place);
        });
        bytes
    }

    pub(crate) fn slots(&self) -> &Slab<Lock> {
        &self.slots
    }

    /// Changes who holds a lock.
    pub(super) fn set_hold(&mut self, id: Id<Lock>, hold: Hold) {
        self.slots[id].hold = hold;
    }

    /// Changes who holds a lock, and how, from `now` on.
    #[inline]
    pub(super) fn hold_anew(&mut self, id: Id<Lock>, kind: Kind, hold: Hold, now: Now) {
        let lock = &mut self.slots[id];
        assert!(lock.kind.space() == kind.space(), "a lock stays in its name space");
        lock.kind = kind;
        lock.hold = hold;
        lock.since = Moment::of(now);
    }

    /// Changes how a lock is held.
    pub(super) fn set_kind(&mut self, id: Id<Lock>, kind: Kind) {
        let lock = &mut self.slots[id];
        assert!(lock.kind.space() == kind.space(), "a lock stays in its name space");
        lock.kind = kind;
    }

    /// Checks the names that are stored outside their slots.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn check_long_names(&self) -> Result<(), String> {
        let place = |(id, lock): (Id<Lock>, &Lock)| Some((id.position(), lock.name.get().err()?));
        self.long_names.check(self.slots.iter().filter_map(place))
    }

    pub(crate) fn indexed(&self) -> u32 {
        self.index.len()
    }
}

impl std::ops::Index<Id<Lock>> for Locks {
    type Output = Lock;

    #[inline]
    fn index(&self, id: Id<Lock>) -> &Lock {
        &self.slots[id]
    }
}

impl std::ops::IndexMut<Id<Lock>> for Locks {
    #[inline]
    fn index_mut(&mut self, id: Id<Lock>) -> &mut Lock {
        &mut self.slots[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::storage::assert_balanced;

    fn locks(index_tables: u32, hash_key: (u64, u64)) -> Locks {
        Locks::new(&Storage { index_tables, hash_key, ..Config::smallest_storage().storage })
    }

    #[test]
    fn a_slot_takes_56_bytes() {
        assert_eq!(Slab::<Lock>::slot_bytes(), 56, "docs/operations.md plans memory with this");
    }

    #[test]
    fn keeps_any_bytes_of_any_length() {
        let tie = Slab::new(2).insert(Tie::default());
        let mut locks = locks(1, (1, 2));
        for len in [0, 1, 28, 29, 30, 255, 256, 4096] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 256) as u8).collect();
            let hash = locks.hash(Kind::Shared, &bytes);
            let id = locks.insert(hash, &bytes, Kind::Shared, Hold::Tied(tie), Now(7));
            assert_eq!(locks.find(hash, Kind::Shared, &bytes), Some(id));
            let lock = &locks[id];
            assert_eq!(locks.name(lock), bytes);
            assert_eq!(locks.outer_bytes(lock), if len > 29 { len + 16 } else { 0 });
            assert_eq!(lock.kind(), Kind::Shared);
            assert_eq!(lock.since().until(Now(9)), 2);
            locks.remove(id);
            assert_eq!((locks.slots.len(), locks.check_long_names(), locks.indexed()), (0, Ok(()), 0));
        }
    }

    #[test]
    fn names_are_spread_over_all_bits_in_all_kinds() {
        let locks = locks(1, (1, 2));
        for kind in Kind::ALL {
            assert_balanced((0..4096).map(|number| locks.hash(kind, format!("name {number}").as_bytes()).0));
        }
    }

    /// Goal: an attacker who knows the hash function but not the key cannot make the table slow. Method: find by trial
    /// names that all lie in one place under one key, and look at their places under another. A large index uses 17
    /// bits of the hash for the place.
    #[test]
    fn names_chosen_to_collide_under_one_key_are_spread_under_another() {
        let place = |locks: &Locks, name: &str| locks.hash(Kind::Exclusive, name.as_bytes()).0 & 0x1_FFFF;
        let known = locks(1024, (0, 0));
        let wanted = place(&known, "");
        let crafted: Vec<String> = (0_u64..)
            .map(|number| number.to_string())
            .filter(|name| place(&known, name) == wanted)
            .take(16)
            .collect();
        let secret = locks(1024, (0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210));
        let places: std::collections::BTreeSet<u32> =
            crafted.iter().map(|name| place(&secret, name)).collect();
        assert!(places.len() >= 15, "16 names in {} of 131,072 places", places.len());
    }

    #[test]
    fn the_same_name_lands_elsewhere_in_another_space_and_under_another_key() {
        let hash = |key, kind| locks(1, key).hash(kind, b"name").0;
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((1, 2), Kind::Shared));
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((1, 2), Kind::Write));
        assert_ne!(hash((1, 2), Kind::Shared), hash((1, 2), Kind::Write));
        assert_eq!(hash((1, 2), Kind::Read), hash((1, 2), Kind::Write), "one lock");
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((1, 3), Kind::Exclusive));
        assert_ne!(hash((1, 2), Kind::Exclusive), hash((2, 2), Kind::Exclusive));
    }
}
