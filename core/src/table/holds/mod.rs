//! Who holds what: locks, ties, tenures and waits as one structure that stays consistent by itself. It knows no limits,
//! no replies and no names of connections. The machine asks it, and decides.
//!
//! This file has the questions. Holds change in `holding.rs`, lines in `waiting.rs`. `sweep.rs` frees what dead tenures
//! leave behind.

mod holding;
mod sweep;
mod waiting;

use super::counts::Counts;
use super::hasher::Hasher;
use super::lock::{Hold, Lock, Locks, NameHash};
use super::tenure::Tenure;
use super::tie::{Tie, TiedHold, Ties};
use super::times::Times;
use super::wait::{Wait, Waits};
use crate::config::Storage;
use crate::storage::{Broken, Id, Slab};
use crate::types::{ByKind, Kind};
use sweep::Dead;

#[derive(Clone, Debug)]
pub(crate) struct Holds {
    locks: Locks,
    ties: Ties,
    tenures: Slab<Tenure>,
    waits: Waits,
    counts: Counts,
    dead: Dead,
    /// Locks with a dirty line: its head may be grantable, and must be looked at before the input is done. A lock
    /// that was freed since stays listed, and is skipped.
    dirty: Vec<Id<Lock>>,
}

/// What a lock is right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody holds it or waits for it. A dead tenure held it last, and its slot is not freed yet.
    Free,
    /// One tenure holds it, and it has no line and no token.
    Sole(Id<Tenure>),
    /// One or more tenures hold it, each with a record of its own. It may have a line or a token.
    Tied(Id<Tie>),
}

/// What is found under a name. Valid until the next change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    hash: NameHash,
    lock: Option<Id<Lock>>,
    /// Bytes of the name.
    name_bytes: u16,
    /// How it was asked for. Whoever holds it may hold it otherwise.
    kind: Kind,
    state: State,
    holders: u32,
}

impl Found {
    /// The lock's slot. A free lock may have one too (see [`State::Free`]).
    #[inline]
    pub(crate) fn lock(self) -> Option<Id<Lock>> {
        self.lock
    }

    /// What it is; free if it has no slot.
    #[inline]
    pub(crate) fn state(self) -> State {
        self.state
    }

    /// Live holders.
    #[inline]
    pub(crate) fn holders(self) -> u32 {
        self.holders
    }
}

impl Holds {
    pub(crate) fn new(storage: &Storage) -> Self {
        let Storage { chunk_slots, index_tables, .. } = *storage;
        Self {
            locks: Locks::new(storage),
            ties: Ties::new(chunk_slots, index_tables, Hasher::new(storage)),
            tenures: Slab::new(chunk_slots),
            waits: Waits::new(chunk_slots),
            counts: Counts::default(),
            dead: Dead::NONE,
            dirty: Vec::new(),
        }
    }

    /// What a lock with a slot is right now. There is no other way to learn it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each get pays for a call")]
    pub(crate) fn state(&self, lock: Id<Lock>) -> State {
        match *self.locks[lock].hold() {
            Hold::Sole { tenure, .. } if self.tenures[tenure].lives() || bug!(DeadHolderCounts) => {
                State::Sole(tenure)
            }
            Hold::Sole { .. } => State::Free,
            Hold::Tied(tie) => State::Tied(tie),
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each get pays for a call")]
    pub(crate) fn find(&self, kind: Kind, name: &[u8]) -> Found {
        let hash = self.locks.hash(kind, name);
        let lock = self.locks.find(hash, kind, name);
        let (state, holders) = match lock.map(|lock| self.state(lock)) {
            None => (State::Free, 0),
            Some(state) => (state, self.holders_in(state)),
        };
        Found { hash, lock, name_bytes: name.len() as u16, kind, state, holders }
    }

    /// How many hold a name so. Not those who hold it otherwise.
    pub(crate) fn count(&self, kind: Kind, name: &[u8]) -> u32 {
        let found = self.find(kind, name);
        found.lock.filter(|lock| self.locks[*lock].kind() == kind).map_or(0, |_| found.holders)
    }

    /// Live holders of a lock.
    #[inline]
    pub(crate) fn holders(&self, lock: Id<Lock>) -> u32 {
        self.holders_in(self.state(lock))
    }

    #[inline]
    fn holders_in(&self, state: State) -> u32 {
        match state {
            State::Free => 0,
            State::Sole(_) => 1,
            State::Tied(tie) => self.ties[tie].holders(),
        }
    }

    /// A tenure's hold of a name, if it holds it so.
    #[inline]
    pub(crate) fn held_by(&self, tenure: Id<Tenure>, kind: Kind, name: &[u8]) -> Option<Id<Lock>> {
        // Mostly a connection releases the lock that it got last. Then no hash is needed.
        let newest = self.tenures[tenure].soles().first();
        let is_so = |lock: &Id<Lock>| self.locks[*lock].kind() == kind;
        if let Some(newest) = newest.filter(|id| is_so(id) && self.locks.is(&self.locks[*id], kind, name)) {
            return Some(newest);
        }
        let found = self.locks.find(self.locks.hash(kind, name), kind, name);
        found.filter(|lock| is_so(lock) && self.is_holder(*lock, tenure))
    }

    /// Whether this live tenure is among the holders of a lock.
    #[inline]
    pub(crate) fn is_holder(&self, lock: Id<Lock>, tenure: Id<Tenure>) -> bool {
        self.is_holder_in(self.state(lock), lock, tenure)
    }

    /// The lock that was found, if this live tenure is among its holders, in whatever way.
    #[inline]
    pub(crate) fn found_held(&self, found: Found, tenure: Id<Tenure>) -> Option<Id<Lock>> {
        found.lock.filter(|lock| self.is_holder_in(found.state, *lock, tenure))
    }

    #[inline]
    fn is_holder_in(&self, state: State, lock: Id<Lock>, tenure: Id<Tenure>) -> bool {
        match state {
            State::Free => false,
            State::Sole(holder) => holder == tenure,
            State::Tied(_) => self.ties.find(lock, tenure).is_some(),
        }
    }

    /// The tenures that hold a lock, the oldest hold first.
    pub(crate) fn holder_tenures(&self, lock: Id<Lock>) -> impl Iterator<Item = Id<Tenure>> {
        let (sole, oldest) = match self.state(lock) {
            State::Free => (None, None),
            State::Sole(tenure) => (Some(tenure), None),
            State::Tied(tie) => (None, self.ties[tie].oldest()),
        };
        sole.into_iter().chain(self.ties.holds_from(oldest).map(|(_, hold)| hold.tenure()))
    }

    /// The fencing token of a tenure's hold, if it has one.
    pub(crate) fn token(&self, lock: Id<Lock>, tenure: Id<Tenure>) -> Option<u64> {
        self.tie_of(lock)?;
        self.ties.holds()[self.ties.find(lock, tenure)?].token()
    }

    /// How many wait in the line of a lock.
    pub(crate) fn waiting(&self, lock: Id<Lock>) -> u32 {
        self.waiting_in(self.state(lock))
    }

    #[inline]
    pub(crate) fn waiting_in(&self, state: State) -> u32 {
        match state {
            State::Tied(tie) => self.ties[tie].line().len(),
            State::Free | State::Sole(_) => 0,
        }
    }

    /// How many wait for a lock or for its end.
    pub(crate) fn awaiting(&self, lock: Id<Lock>) -> u32 {
        self.awaiting_in(self.state(lock))
    }

    #[inline]
    pub(crate) fn awaiting_in(&self, state: State) -> u32 {
        match state {
            State::Tied(tie) => self.ties[tie].awaiting(),
            State::Free | State::Sole(_) => 0,
        }
    }

    /// The oldest hold of a tied lock.
    pub(crate) fn oldest_tied(&self, lock: Id<Lock>) -> Option<Id<TiedHold>> {
        self.tie_of(lock).and_then(|tie| self.ties[tie].oldest())
    }

    /// How many holders of a lock have got it before the wait or the hold with this order.
    pub(crate) fn holders_before(&self, lock: Id<Lock>, order: u64) -> u32 {
        let holds = self.ties.holds_from(self.oldest_tied(lock));
        holds.take_while(|(_, hold)| hold.order() < order).count() as u32
    }

    /// The wait at the head of a lock's line.
    pub(crate) fn line_head(&self, lock: Id<Lock>) -> Option<Id<Wait>> {
        self.tie_of(lock).and_then(|tie| self.ties[tie].line().head())
    }

    #[inline]
    fn tie_of(&self, lock: Id<Lock>) -> Option<Id<Tie>> {
        match self.state(lock) {
            State::Tied(tie) => Some(tie),
            State::Free | State::Sole(_) => None,
        }
    }

    #[inline]
    pub(crate) fn name(&self, lock: Id<Lock>) -> &[u8] {
        self.locks.name(&self.locks[lock])
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.locks
    }

    pub(crate) fn ties(&self) -> &Ties {
        &self.ties
    }

    pub(crate) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Every tenure, including dead ones.
    pub(crate) fn tenures(&self) -> &Slab<Tenure> {
        &self.tenures
    }

    #[inline]
    pub(crate) fn tenure(&self, id: Id<Tenure>) -> &Tenure {
        &self.tenures[id]
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The sole holds of a tenure, the newest first. For a dead tenure: what is still to be swept.
    pub(crate) fn soles(&self, tenure: Id<Tenure>) -> impl Iterator<Item = (Id<Lock>, &Lock)> {
        self.tenures[tenure].soles().iter(&self.locks)
    }

    /// The tied holds of a tenure, the newest first.
    pub(crate) fn tied(&self, tenure: Id<Tenure>) -> impl Iterator<Item = (Id<TiedHold>, &TiedHold)> {
        self.tenures[tenure].tied().iter(self.ties.holds())
    }

    /// Checks the links of a tenure's sole holds and of its tied ones. Returns how many there are of each.
    ///
    /// # Errors
    ///
    /// The first link that is wrong.
    pub(crate) fn check_holds_of(&self, tenure: &Tenure) -> Result<(u32, u32), Broken> {
        // A tied lock has no links in such a list. A link to one counts as leading nowhere.
        let is_sole = |lock: &&Lock| lock.listed_by().is_some();
        let soles = tenure.soles().check(|id| self.locks.slots().get(id).filter(is_sole))?;
        Ok((soles, tenure.tied().check(|id| self.ties.holds().get(id))?))
    }

    /// Restores from a snapshot the last order of holds and waits.
    pub(crate) fn restore_last_order(&mut self, last_order: u64) {
        self.ties.restore_last_order(last_order);
    }

    /// Restores from a snapshot the order of a tied hold.
    pub(crate) fn restore_order(&mut self, lock: Id<Lock>, tenure: Id<Tenure>, order: u64) {
        if let Some(hold) = self.ties.find(lock, tenure) {
            self.ties.restore_order(hold, order);
        }
    }

    /// Restores from a snapshot how long past holds and waits lasted.
    pub(crate) fn restore_times(&mut self, hold_times: ByKind<Times>, wait_times: ByKind<Times>) {
        self.counts.restore_times(hold_times, wait_times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::table::Connections;
    use crate::types::{Account, Addr, Conn, Now, Origin};

    /// Holds with `N` tenures, each of a connection of its own.
    fn holds<const N: usize>() -> (Holds, [Id<Tenure>; N]) {
        let mut holds = Holds::new(&Config::smallest_storage().storage);
        let mut connections = Connections::new(&Config::smallest_storage());
        let tenures = std::array::from_fn(|number| {
            let serial = number as u64 + 1;
            let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
            holds.open(connections.open(Now(0), Conn::new(0, serial), origin))
        });
        (holds, tenures)
    }

    fn add(holds: &mut Holds, tenure: Id<Tenure>) -> Id<Lock> {
        let found = holds.find(Kind::Shared, b"name");
        holds.add(found, b"name", tenure, Now(1));
        holds.find(Kind::Shared, b"name").lock().expect("it was just added")
    }

    #[test]
    fn a_lock_is_sole_then_tied_until_its_last_holder_goes() {
        let (mut holds, [a, b]) = holds();
        assert_eq!(holds.find(Kind::Shared, b"name").lock(), None);
        let lock = add(&mut holds, a);
        assert_eq!(holds.state(lock), State::Sole(a));
        add(&mut holds, b);
        assert!(matches!(holds.state(lock), State::Tied(_)));
        assert_eq!(holds.holder_tenures(lock).collect::<Vec<_>>(), [a, b]);
        holds.remove(lock, a, Now(2));
        assert!(matches!(holds.state(lock), State::Tied(_)), "what was tied stays tied");
        assert_eq!((holds.is_holder(lock, a), holds.is_holder(lock, b)), (false, true));
        holds.remove(lock, b, Now(2));
        assert_eq!(holds.find(Kind::Shared, b"name").lock(), None);
        assert_eq!((holds.locks().slots().len(), holds.ties().slots().len()), (0, 0));
    }

    #[test]
    fn a_lock_whose_tenure_ended_is_free_in_its_slot_until_it_is_swept_or_got() {
        for is_got in [false, true] {
            let (mut holds, [a, b]) = holds();
            let lock = add(&mut holds, a);
            assert_eq!(holds.end(a, Now(5)), (ByKind::from_array([0, 1, 0, 0]), 0));
            assert_eq!((holds.state(lock), holds.holders(lock), holds.dead()), (State::Free, 0, 1));
            assert_eq!(holds.holder_tenures(lock).count(), 0);
            assert_eq!((holds.counts().live(), holds.counts().held()), Default::default());
            if is_got {
                assert_eq!(add(&mut holds, b), lock);
                assert_eq!(holds.state(lock), State::Sole(b));
            } else {
                assert_eq!(holds.sweep(2), 1);
                assert_eq!(holds.find(Kind::Shared, b"name").lock(), None);
            }
            assert!(holds.is_swept() && holds.dead() == 0);
            assert_eq!(holds.counts().hold_times()[Kind::Shared].sum_ms(), 4, "it lasted until the end");
        }
    }
}
