//! Tied locks: names with more than one holder, or with a line of waits, or whose holder has a fencing token; and
//! those of which any of that was so since they were last free.
//! Each hold has a record of its own here, in its lock's list (by order of getting) and in its tenure's.

use super::line::Line;
use super::lock::Lock;
use super::moment::Moment;
use super::tenure::Tenure;
use crate::storage::{Id, Index, Linked, Slab};
use siphasher::sip::SipHasher13;

/// The holders of one tied lock, and who waits for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tie {
    /// 0 only within an input, until the head of the line is granted.
    pub(crate) holders: u32,
    /// The oldest hold.
    pub(crate) first: Option<Id<TiedHold>>,
    /// The newest hold.
    pub(crate) last: Option<Id<TiedHold>>,
    /// The fencing token of the one hold of an exclusive lock; 0 while it has none.
    pub(crate) token: u64,
    /// Who waits for it.
    pub(crate) line: Line,
    /// Whether the line is among those to be looked at again.
    pub(crate) is_stirred: bool,
}

/// One tenure's hold of one tied lock.
#[derive(Clone, Debug)]
pub(crate) struct TiedHold {
    pub(crate) lock: Id<Lock>,
    pub(crate) tenure: Id<Tenure>,
    /// Ascends along a lock's list. Never used twice, so it also tells a slot's successive tenants apart.
    pub(crate) order: u64,
    pub(crate) since: Moment,
    /// Neighbours in the lock's list.
    pub(crate) older: Option<Id<TiedHold>>,
    pub(crate) newer: Option<Id<TiedHold>>,
    /// Neighbours in the tenure's list of tied holds.
    pub(crate) prev: Option<Id<TiedHold>>,
    pub(crate) next: Option<Id<TiedHold>>,
    /// Of the index by lock and tenure.
    link: Option<Id<TiedHold>>,
}

impl Linked for TiedHold {
    fn link(&self) -> Option<Id<Self>> {
        self.link
    }

    fn link_mut(&mut self) -> &mut Option<Id<Self>> {
        &mut self.link
    }
}

/// All tied locks and their holds.
#[derive(Clone, Debug)]
pub(crate) struct Ties {
    pub(crate) locks: Slab<Tie>,
    pub(crate) holds: Slab<TiedHold>,
    index: Index<TiedHold>,
    hasher: SipHasher13,
    last_order: u64,
}

impl Ties {
    pub(crate) fn new(chunk_slots: u32, index_tables: u32, key: (u64, u64)) -> Self {
        Self {
            locks: Slab::new(chunk_slots),
            holds: Slab::new(chunk_slots),
            index: Index::new(index_tables),
            hasher: SipHasher13::new_with_keys(key.0, key.1),
            last_order: 0,
        }
    }

    /// This tenure's hold of this lock.
    pub(crate) fn find(&self, lock: Id<Lock>, tenure: Id<Tenure>) -> Option<Id<TiedHold>> {
        let hash = hash(&self.hasher, lock, tenure);
        self.index.find(&self.holds, hash, |hold| hold.lock == lock && hold.tenure == tenure)
    }

    /// Adds a hold as the newest of its lock, and as the head of its tenure's list.
    pub(crate) fn push(
        &mut self,
        tie: Id<Tie>,
        lock: Id<Lock>,
        tenure: Id<Tenure>,
        since: Moment,
        head: &mut Option<Id<TiedHold>>,
    ) -> Id<TiedHold> {
        self.last_order += 1;
        let rank = self.last_order;
        let older = self.locks[tie].last;
        let next = *head;
        let hold =
            TiedHold { lock, tenure, order: rank, since, older, newer: None, prev: None, next, link: None };
        let hasher = &self.hasher;
        let id = self.index.insert(&mut self.holds, hold, |hold| hash(hasher, hold.lock, hold.tenure));
        match older {
            Some(older) => self.holds[older].newer = Some(id),
            None => self.locks[tie].first = Some(id),
        }
        if let Some(next) = next {
            self.holds[next].prev = Some(id);
        }
        *head = Some(id);
        let tie = &mut self.locks[tie];
        tie.last = Some(id);
        tie.holders += 1;
        id
    }

    /// Takes a hold out of its lock's list and its tenure's. Says how many holders are left.
    pub(crate) fn remove(&mut self, tie: Id<Tie>, id: Id<TiedHold>, head: &mut Option<Id<TiedHold>>) -> u32 {
        let hasher = &self.hasher;
        let hold = self.index.remove(&mut self.holds, id, |hold| hash(hasher, hold.lock, hold.tenure));
        match hold.older {
            Some(older) => self.holds[older].newer = hold.newer,
            None => self.locks[tie].first = hold.newer,
        }
        match hold.newer {
            Some(newer) => self.holds[newer].older = hold.older,
            None => self.locks[tie].last = hold.older,
        }
        match hold.prev {
            Some(prev) => self.holds[prev].next = hold.next,
            None => *head = hold.next,
        }
        if let Some(next) = hold.next {
            self.holds[next].prev = hold.prev;
        }
        let tie = &mut self.locks[tie];
        if !bug!(ShareNotGivenBack) || tie.holders == 1 {
            tie.holders -= 1;
        }
        tie.holders
    }

    /// The holds of a lock, oldest first, from `from` on.
    pub(crate) fn from(&self, from: Option<Id<TiedHold>>) -> impl Iterator<Item = &TiedHold> {
        std::iter::successors(from.map(|id| &self.holds[id]), |hold| hold.newer.map(|id| &self.holds[id]))
    }

    pub(crate) fn indexed(&self) -> u32 {
        self.index.len()
    }
}

fn hash(hasher: &SipHasher13, lock: Id<Lock>, tenure: Id<Tenure>) -> u32 {
    hash_positions(hasher, lock.position(), tenure.position())
}

fn hash_positions(hasher: &SipHasher13, lock: u32, tenure: u32) -> u32 {
    let pair = u64::from(lock) << 32 | u64::from(tenure);
    hasher.hash(&pair.to_le_bytes()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::assert_balanced;

    #[test]
    fn pairs_of_lock_and_tenure_are_spread_over_all_bits() {
        let hasher = SipHasher13::new_with_keys(1, 2);
        let hash = |pair: u32| hash_positions(&hasher, pair / 64, pair % 64);
        assert_balanced((0..4096).map(hash));
    }

    #[test]
    fn what_a_lock_has_beside_its_slot_once_tied_takes_40_bytes() {
        assert_eq!(Slab::<Tie>::slot_bytes(), 40, "docs/operations.md plans memory with this");
    }

    #[test]
    fn a_record_takes_48_bytes() {
        assert_eq!(Slab::<TiedHold>::slot_bytes(), 48, "docs/operations.md plans memory with this");
    }
}
