//! The table of locks: one slot for each locked name, found by kind and name.

use super::moment::Moment;
use super::tenure::Tenure;
use super::tie::Tie;
use crate::storage::{Id, Index, Linked, Slab};
use crate::types::{Kind, Now};
use siphasher::sip::SipHasher13;

/// A name that is locked, or that a dead tenure was the last to hold.
///
/// ```text
///              first get                second holder,
///                                       first wait, or token
///   (no slot) -----------> Sole(live) ----------------------> Tied --+ last holder gone,
///       ^                   |     | ^                         |  ^   | but somebody waits:
///       |<--- release ------+     | | get                     |  +---+ the head is granted
///       |                         v |  tenure ends            |
///       |<--- swept ------- Sole(dead)                        | last holder gone,
///       +<----------------------------------------------------+ nobody waits
/// ```
/// A lock whose sole holder is dead is free: every reader of `hold` must ask whether its tenure lives.
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
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Since when the sole holder holds it. Means nothing once tied: then each hold has its own.
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

/// A name in 30 bytes: itself when it has up to [`Name::SHORT`] bytes, else the position of where it is. Together with
/// the rest of a [`Lock`] it fills 56 bytes without a gap, which no enum of the two would.
#[derive(Clone, Copy, Debug)]
struct Name {
    /// More than there are `bytes` for a long one.
    len: u8,
    bytes: [u8; Self::SHORT],
}

impl Name {
    /// The longest name that stands in the slot itself.
    const SHORT: usize = 29;
    const LONG: u8 = u8::MAX;

    fn short(name: &[u8]) -> Self {
        let mut bytes = [0; Self::SHORT];
        bytes[..name.len()].copy_from_slice(name);
        Self { len: name.len() as u8, bytes }
    }

    fn long(position: u32) -> Self {
        let mut bytes = [0; Self::SHORT];
        bytes[..4].copy_from_slice(&position.to_le_bytes());
        Self { len: Self::LONG, bytes }
    }

    /// The name, or the position of a long one.
    fn get(&self) -> Result<&[u8], u32> {
        self.bytes.get(..usize::from(self.len)).ok_or_else(|| {
            let [a, b, c, d, ..] = self.bytes;
            u32::from_le_bytes([a, b, c, d])
        })
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
    /// Names that do not fit into slots, of at most `u16::MAX` bytes (the configured limit is a `u16`).
    long_names: Slab<Box<[u8]>>,
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
            // Its slots are small, and chunks are to be large (see server/src/daemon/allocator.rs).
            long_names: Slab::new(chunk_slots * 4),
            index: Index::new(index_tables),
            hasher: SipHasher13::new_with_keys(key.0, key.1),
        }
    }

    pub(crate) fn hash(&self, kind: Kind, name: &[u8]) -> NameHash {
        // The constant has bits everywhere, so that the same name in two kinds lands in two places.
        let kind = if bug!(KindsAreOne) { Kind::Exclusive } else { kind };
        NameHash(self.hasher.hash(name) as u32 ^ 0x9E37_79B9_u32.wrapping_mul(kind.index() as u32))
    }

    #[inline]
    pub(crate) fn find(&self, hash: NameHash, kind: Kind, name: &[u8]) -> Option<Id<Lock>> {
        self.index.find(&self.slots, hash.0, |lock| lock.hash == hash && self.is(lock, kind, name))
    }

    /// Whether a lock is the one of this kind and name.
    #[inline]
    pub(crate) fn is(&self, lock: &Lock, kind: Kind, name: &[u8]) -> bool {
        (lock.kind == kind || bug!(KindsAreOne)) && is_same(self.name(lock), name)
    }

    #[inline]
    pub(crate) fn name<'a>(&'a self, lock: &'a Lock) -> &'a [u8] {
        lock.name.get().unwrap_or_else(|position| self.long_name(position).1)
    }

    /// Bytes of a lock's name that stand outside its slot.
    #[inline]
    pub(crate) fn outer_bytes(&self, lock: &Lock) -> u64 {
        lock.name.get().map_or_else(|position| Self::outer_bytes_of(self.long_name(position).1), |_| 0)
    }

    /// The same of a name that is to become a lock's.
    pub(crate) const fn outer_bytes_of(name: &[u8]) -> u64 {
        if name.len() > Name::SHORT { (Slab::<Box<[u8]>>::slot_bytes() + name.len()) as u64 } else { 0 }
    }

    #[cold]
    fn long_name(&self, position: u32) -> (Id<Box<[u8]>>, &[u8]) {
        let (id, name) = self.long_names.at(position).expect("a long name is where its lock says");
        (id, name)
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
        let name = if name.len() <= Name::SHORT {
            Name::short(name)
        } else {
            Name::long(self.long_names.insert(name.into()).position())
        };
        let lock = Lock { hold, hash, link: None, since: Moment::of(now), kind, name };
        self.index.insert(&mut self.slots, lock, |lock| lock.hash.0)
    }

    /// Takes a name out.
    #[inline]
    pub(crate) fn remove(&mut self, id: Id<Lock>) {
        let lock = self.index.remove(&mut self.slots, id, |lock| lock.hash.0);
        if let Err(position) = lock.name.get() {
            let (id, _) = self.long_name(position);
            self.long_names.remove(id);
        }
    }

    /// What a canary does instead of `remove`.
    pub(crate) fn forget(&mut self, id: Id<Lock>) {
        self.slots.remove(id);
    }

    pub(crate) fn slots(&self) -> &Slab<Lock> {
        &self.slots
    }

    pub(crate) fn hold_mut(&mut self, id: Id<Lock>) -> &mut Hold {
        &mut self.slots[id].hold
    }

    /// Has a lock held anew, from now on. Says its kind, and how many bytes of its name stand outside the slot.
    #[inline]
    pub(crate) fn hold_anew(&mut self, id: Id<Lock>, hold: Hold, now: Now) -> (Kind, u64) {
        let lock = &mut self.slots[id];
        lock.hold = hold;
        lock.since = Moment::of(now);
        let lock = &self.slots[id];
        (lock.kind, self.outer_bytes(lock))
    }

    /// Names that stand outside their slots.
    pub(crate) fn long_names(&self) -> u32 {
        self.long_names.len()
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

/// Whether two names are the same. Most are too short for a call of the C library to be worth it.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    a.len() == b.len()
        && a_words.iter().zip(b_words).all(|(a, b)| a == b)
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
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
        let mut locks = Locks::new(2, 1, (1, 2));
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
            assert_eq!((locks.slots.len(), locks.long_names.len(), locks.indexed()), (0, 0, 0));
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
        let place = |locks: &Locks, name: &str| locks.hash(Kind::Exclusive, name.as_bytes()).0 & 0x1_FFFF;
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
