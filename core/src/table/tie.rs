//! Tied locks. A lock becomes tied when it gets a second holder, a first wait or a fencing token, and stays tied until
//! it is free. Each of its holds has a record of its own here. The record is in its lock's list, by order of getting,
//! and in its tenure's list.

use super::hasher::Hasher;
use super::line::{Aim, Line};
use super::lock::Lock;
use super::moment::Moment;
use super::tenure::Tenure;
use super::tokens::HeldToken;
use crate::storage::{Broken, Chain, Id, Index, Linked, Links, List, Slab, Stack};

/// The holders of one tied lock, and its line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tie {
    /// 0 only within an input, before the head of the line is granted.
    holders: u32,
    /// The oldest first.
    holds: List<HoldsOfLock>,
    line: Line,
    /// The waits for the end of its holds, which stand in no line.
    ends: Line,
    /// Whether the line is on the list of dirty ones.
    is_dirty: bool,
}

impl Tie {
    /// How many hold the lock. 0 only within an input, before the head of the line is granted.
    #[inline]
    pub(crate) fn holders(&self) -> u32 {
        self.holders
    }

    /// The oldest hold.
    pub(crate) fn oldest(&self) -> Option<Id<TiedHold>> {
        self.holds.first()
    }

    /// The waits for the lock.
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// The waits for the end of its holds.
    pub(crate) fn ends(&self) -> &Line {
        &self.ends
    }

    /// The list that has the waits of this aim.
    pub(super) fn waits_mut(&mut self, aim: Aim) -> &mut Line {
        match aim {
            Aim::Lock { .. } => &mut self.line,
            Aim::End => &mut self.ends,
        }
    }

    /// How many wait for the lock or for its end.
    pub(crate) fn awaiting(&self) -> u32 {
        self.line.len() + self.ends.len()
    }

    /// Whether the line is on the list of dirty ones.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Notes whether the line is on the list of dirty ones. Returns what was noted before.
    pub(super) fn set_dirty(&mut self, is_dirty: bool) -> bool {
        std::mem::replace(&mut self.is_dirty, is_dirty)
    }
}

/// One tenure's hold of one tied lock.
#[derive(Clone, Debug)]
pub(crate) struct TiedHold {
    lock: Id<Lock>,
    tenure: Id<Tenure>,
    /// Ascends along a lock's list. Never used twice, so it also tells apart the values that a slot has one after the
    /// other.
    order: u64,
    since: Moment,
    token: HeldToken,
    of_lock: Links<TiedHold>,
    of_tenure: Links<TiedHold>,
    /// The link of the index by lock and tenure.
    link: Option<Id<TiedHold>>,
}

impl TiedHold {
    pub(crate) fn lock(&self) -> Id<Lock> {
        self.lock
    }

    pub(crate) fn tenure(&self) -> Id<Tenure> {
        self.tenure
    }

    /// Ascends along a lock's list. Never used twice, so it also tells apart the values that a slot has one after the
    /// other.
    pub(crate) fn order(&self) -> u64 {
        self.order
    }

    pub(crate) fn since(&self) -> Moment {
        self.since
    }

    /// The fencing token, if it has one.
    pub(crate) fn token(&self) -> Option<u64> {
        self.token.get()
    }

    /// The next hold of the same lock.
    pub(crate) fn newer(&self) -> Option<Id<TiedHold>> {
        self.of_lock.next()
    }
}

impl Linked for TiedHold {
    fn link(&self) -> Option<Id<Self>> {
        self.link
    }

    fn link_mut(&mut self) -> &mut Option<Id<Self>> {
        &mut self.link
    }
}

/// The holds of one lock, the oldest first.
struct HoldsOfLock;

impl Chain for HoldsOfLock {
    type Value = TiedHold;

    fn links(hold: &TiedHold) -> &Links<TiedHold> {
        &hold.of_lock
    }

    fn links_mut(hold: &mut TiedHold) -> &mut Links<TiedHold> {
        &mut hold.of_lock
    }
}

/// The tied holds of one tenure, the newest first.
pub(super) struct HoldsOfTenure;

impl Chain for HoldsOfTenure {
    type Value = TiedHold;

    fn links(hold: &TiedHold) -> &Links<TiedHold> {
        &hold.of_tenure
    }

    fn links_mut(hold: &mut TiedHold) -> &mut Links<TiedHold> {
        &mut hold.of_tenure
    }
}

/// All tied locks and their holds.
#[derive(Clone, Debug)]
pub(crate) struct Ties {
    slots: Slab<Tie>,
    holds: Slab<TiedHold>,
    index: Index<TiedHold>,
    hasher: Hasher,
    /// Of holds and of waits: they have one sequence.
    last_order: u64,
}

impl Ties {
    pub(super) fn new(chunk_slots: u32, index_tables: u32, hasher: Hasher) -> Self {
        Self {
            slots: Slab::new(chunk_slots),
            holds: Slab::new(chunk_slots),
            index: Index::new(index_tables),
            hasher,
            last_order: 0,
        }
    }

    pub(crate) fn slots(&self) -> &Slab<Tie> {
        &self.slots
    }

    /// Every tied hold.
    pub(crate) fn holds(&self) -> &Slab<TiedHold> {
        &self.holds
    }

    pub(crate) fn indexed(&self) -> u32 {
        self.index.len()
    }

    /// This tenure's hold of this lock.
    pub(crate) fn find(&self, lock: Id<Lock>, tenure: Id<Tenure>) -> Option<Id<TiedHold>> {
        let hash = hash(&self.hasher, lock, tenure);
        self.index.find(&self.holds, hash, |hold| hold.lock == lock && hold.tenure == tenure)
    }

    /// The holds of a lock, the oldest first, from `from` on. None if `from` is `None`.
    pub(crate) fn holds_from(
        &self,
        from: Option<Id<TiedHold>>,
    ) -> impl Iterator<Item = (Id<TiedHold>, &TiedHold)> {
        List::<HoldsOfLock>::iter_from(from, &self.holds)
    }

    /// The next order, for a hold or for a wait.
    pub(super) fn next_order(&mut self) -> u64 {
        self.last_order += 1;
        self.last_order
    }

    /// The order that was given last.
    pub(crate) fn last_order(&self) -> u64 {
        self.last_order
    }

    /// Restores from a snapshot the order that was given last.
    pub(super) fn restore_last_order(&mut self, last_order: u64) {
        self.last_order = last_order;
    }

    /// Restores from a snapshot the order of a hold.
    pub(super) fn restore_order(&mut self, id: Id<TiedHold>, order: u64) {
        self.holds[id].order = order;
    }

    /// Adds a tie that nobody holds yet.
    pub(super) fn open(&mut self) -> Id<Tie> {
        self.slots.insert(Tie::default())
    }

    /// Removes a tie. Nobody may hold or wait any more.
    pub(super) fn close(&mut self, id: Id<Tie>) {
        self.slots.remove(id);
    }

    /// Gives a hold a token.
    pub(super) fn set_token(&mut self, id: Id<TiedHold>, token: u64) {
        self.holds[id].token = HeldToken::of(token);
    }

    /// Begins a hold anew: it has no token yet.
    pub(super) fn renew(&mut self, id: Id<TiedHold>, since: Moment) {
        let hold = &mut self.holds[id];
        hold.since = since;
        if !bug!(TokenSurvivesTheHold) {
            hold.token = HeldToken::NONE;
        }
    }

    /// Adds a hold as the newest of its lock, and as the head of its tenure's list.
    pub(super) fn push(
        &mut self,
        tie: Id<Tie>,
        lock: Id<Lock>,
        tenure: Id<Tenure>,
        since: Moment,
        of_tenure: &mut Stack<HoldsOfTenure>,
    ) {
        let hold = TiedHold {
            lock,
            tenure,
            order: self.next_order(),
            since,
            token: HeldToken::NONE,
            of_lock: Links::NONE,
            of_tenure: Links::NONE,
            link: None,
        };
        let hasher = &self.hasher;
        let id = self.index.insert(&mut self.holds, hold, |hold| hash(hasher, hold.lock, hold.tenure));
        of_tenure.push(&mut self.holds, id);
        let tie = &mut self.slots[tie];
        tie.holds.push_back(&mut self.holds, id);
        tie.holders += 1;
    }

    /// Takes a hold out of its lock's list and its tenure's. Returns how many holders are left.
    pub(super) fn remove(
        &mut self,
        tie: Id<Tie>,
        id: Id<TiedHold>,
        of_tenure: &mut Stack<HoldsOfTenure>,
    ) -> u32 {
        let hasher = &self.hasher;
        let hold = self.index.remove(&mut self.holds, id, |hold| hash(hasher, hold.lock, hold.tenure));
        of_tenure.close_gap(&mut self.holds, id, hold.of_tenure);
        let tie = &mut self.slots[tie];
        tie.holds.close_gap(&mut self.holds, id, hold.of_lock);
        if !bug!(ShareNotGivenBack) || tie.holders == 1 {
            tie.holders -= 1;
        }
        tie.holders
    }

    /// Checks the links of a lock's holds. Returns how many there are.
    ///
    /// # Errors
    ///
    /// The first link that is wrong.
    pub(crate) fn check_holds(&self, tie: &Tie) -> Result<u32, Broken> {
        tie.holds.check(|id| self.holds.get(id))
    }
}

impl std::ops::Index<Id<Tie>> for Ties {
    type Output = Tie;

    #[inline]
    fn index(&self, id: Id<Tie>) -> &Tie {
        &self.slots[id]
    }
}

impl std::ops::IndexMut<Id<Tie>> for Ties {
    #[inline]
    fn index_mut(&mut self, id: Id<Tie>) -> &mut Tie {
        &mut self.slots[id]
    }
}

fn hash(hasher: &Hasher, lock: Id<Lock>, tenure: Id<Tenure>) -> u32 {
    hash_positions(hasher, lock.position(), tenure.position())
}

fn hash_positions(hasher: &Hasher, lock: u32, tenure: u32) -> u32 {
    let pair = u64::from(lock) << 32 | u64::from(tenure);
    hasher.hash(&pair.to_le_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::storage::assert_balanced;

    #[test]
    fn pairs_of_lock_and_tenure_are_spread_over_all_bits() {
        let hasher = Hasher::new(&Config::default().storage);
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
