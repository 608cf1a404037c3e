//! Who holds what: locks, ties and tenures as one structure that stays consistent by itself. It knows
//! neither limits nor replies nor connections' names; the machine asks it and decides.

use super::connection::Connection;
use super::line::Place;
use super::lock::{Hold, Lock, Locks, NameHash};
use super::moment::Moment;
use super::tenure::Tenure;
use super::tie::{Tie, TiedHold, Ties};
use super::times::Times;
use super::wait::{Wait, Waits};
use crate::config::Storage;
use crate::probe::{Mark, reach};
use crate::storage::{Id, Slab};
use crate::types::{ByKind, Kind, Now};

#[derive(Clone, Debug)]
pub(crate) struct Holds {
    pub(crate) locks: Locks,
    pub(crate) ties: Ties,
    pub(crate) tenures: Slab<Tenure>,
    waits: Waits,
    /// How many waits there are, by kind.
    pub(crate) waiting_by_kind: ByKind<u32>,
    /// Locks whose lines have to be looked at again before the input is done: their heads may be granted. One
    /// that was freed since is not stirred any more.
    stirred: Vec<Id<Lock>>,
    /// Dead tenures with storage left, the first to be swept and the last.
    pub(crate) first_dead: Option<Id<Tenure>>,
    pub(crate) last_dead: Option<Id<Tenure>>,
    /// Sole holds of dead tenures: storage that is still to be freed.
    pub(crate) dead: u32,
    /// Holds of live tenures, by kind.
    pub(crate) live: ByKind<u32>,
    /// Distinct names held now, by kind.
    pub(crate) held: ByKind<u32>,
    /// Bytes of those names that stand outside the slots.
    pub(crate) name_bytes: u64,
    /// How long the holds lasted that are over, by kind; but for those that are dead and not yet swept.
    pub(crate) times: ByKind<Times>,
    /// The same of the waits that are over.
    pub(crate) wait_times: ByKind<Times>,
}

/// What there is under a name right now. Valid until the next change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    hash: NameHash,
    lock: Option<Id<Lock>>,
    kind: Kind,
    /// Live holders.
    pub(crate) holders: u32,
}

impl Found {
    /// The slot, also when all that is there is a dead hold.
    pub(crate) fn lock(self) -> Option<Id<Lock>> {
        self.lock
    }
}

/// What an ended tenure held, by kind.
pub(crate) struct Ended {
    pub(crate) holds: ByKind<u32>,
}

impl Holds {
    pub(crate) fn new(storage: &Storage) -> Self {
        let Storage { chunk_slots, index_tables, hash_key, .. } = *storage;
        Self {
            locks: Locks::new(chunk_slots, index_tables, hash_key),
            ties: Ties::new(chunk_slots, index_tables, hash_key),
            tenures: Slab::new(chunk_slots),
            waits: Waits::new(chunk_slots),
            waiting_by_kind: ByKind::default(),
            stirred: Vec::new(),
            first_dead: None,
            last_dead: None,
            dead: 0,
            live: ByKind::default(),
            held: ByKind::default(),
            name_bytes: 0,
            times: ByKind::default(),
            wait_times: ByKind::default(),
        }
    }

    pub(crate) fn open(&mut self, owner: Id<Connection>) -> Id<Tenure> {
        self.tenures.insert(Tenure::new(owner))
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each get pays for a call")]
    pub(crate) fn find(&self, kind: Kind, name: &[u8]) -> Found {
        let hash = self.locks.hash(kind, name);
        let lock = self.locks.find(hash, kind, name);
        let holders = lock.map_or(0, |lock| self.holders(lock));
        Found { hash, lock, kind, holders }
    }

    /// A tenure's hold of a name, if it has one.
    #[inline]
    pub(crate) fn held_by(&self, tenure: Id<Tenure>, kind: Kind, name: &[u8]) -> Option<Id<Lock>> {
        // Most locks are released by whoever got none since: that costs no hash.
        let newest = self.tenures[tenure].sole;
        if let Some(newest) = newest.filter(|newest| self.locks.is(&self.locks[*newest], kind, name)) {
            return Some(newest);
        }
        self.locks.find(self.locks.hash(kind, name), kind, name).filter(|lock| self.is_holder(*lock, tenure))
    }

    /// Whether this tenure is among the holders of a lock.
    #[inline]
    pub(crate) fn is_holder(&self, lock: Id<Lock>, tenure: Id<Tenure>) -> bool {
        match *self.locks[lock].hold() {
            Hold::Sole { tenure: holder, .. } => holder == tenure,
            Hold::Tied(_) => self.ties.find(lock, tenure).is_some(),
        }
    }

    /// Makes a tenure a holder that is not one yet, and says how many holders there are then.
    #[inline]
    pub(crate) fn add(&mut self, found: Found, name: &[u8], tenure: Id<Tenure>, now: Now) -> u32 {
        match found.lock {
            None => {
                self.add_new(found, name, tenure, now);
                1
            }
            Some(lock) => self.add_to(lock, found, tenure, now),
        }
    }

    /// The same where there is a slot, if only with a dead hold.
    fn add_to(&mut self, lock: Id<Lock>, found: Found, tenure: Id<Tenure>, now: Now) -> u32 {
        assert!(found.kind == Kind::Shared || found.holders == 0, "an exclusive lock has one holder");
        assert!(self.tenures[tenure].owner.is_some(), "only a live tenure gets locks");
        match *self.locks[lock].hold() {
            Hold::Sole { tenure: dead, .. } if found.holders == 0 => {
                mark!(GetMetADeadSoleHolder);
                if bug!(SweptWhileHeld) {
                    let link = *sole_links(&mut self.locks, lock).1;
                    *self.locks.hold_mut(lock) = Hold::Sole { tenure, prev: None, next: link };
                    self.tenures[tenure].sole_count[found.kind] += 1;
                    self.live[found.kind] += 1;
                    self.count_name(lock);
                    return 1;
                }
                self.unlink_dead(lock, dead);
                self.hold_again(lock, tenure, now);
                return 1;
            }
            Hold::Sole { tenure: first, .. } => {
                assert!(first != tenure, "a holder does not get its lock again");
                mark!(HoldBecameTied);
                let tie = self.make_tied(lock, now);
                self.tie(tie, lock, tenure, Moment::of(now));
            }
            Hold::Tied(tie) => self.tie(tie, lock, tenure, Moment::of(now)),
        }
        self.live[found.kind] += 1;
        found.holders + 1
    }

    /// Adds a name that has no slot yet, and its only holder.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each get pays for a call")]
    fn add_new(&mut self, Found { hash, kind, .. }: Found, name: &[u8], tenure: Id<Tenure>, now: Now) {
        let owner = &mut self.tenures[tenure];
        assert!(owner.owner.is_some(), "only a live tenure gets locks");
        let next = owner.sole;
        let lock = self.locks.insert(hash, name, kind, Hold::Sole { tenure, prev: None, next }, now);
        owner.sole = Some(lock);
        owner.sole_count[kind] += 1;
        if let Some(next) = next {
            *sole_links(&mut self.locks, next).0 = Some(lock);
        }
        self.live[kind] += 1;
        self.held[kind] += 1;
        let outer_bytes = Locks::outer_bytes_of(name);
        owner.sole_name_bytes += outer_bytes;
        self.name_bytes += outer_bytes;
    }

    /// Makes a tenure the only holder of a lock that has a slot and is in nobody's list.
    #[inline]
    pub(crate) fn hold_again(&mut self, lock: Id<Lock>, tenure: Id<Tenure>, now: Now) {
        let owner = &mut self.tenures[tenure];
        assert!(owner.owner.is_some(), "only a live tenure gets locks");
        let next = owner.sole.replace(lock);
        let (kind, outer_bytes) = self.locks.hold_anew(lock, Hold::Sole { tenure, prev: None, next }, now);
        owner.sole_count[kind] += 1;
        owner.sole_name_bytes += outer_bytes;
        if let Some(next) = next {
            *sole_links(&mut self.locks, next).0 = Some(lock);
        }
        self.live[kind] += 1;
        self.held[kind] += 1;
        self.name_bytes += outer_bytes;
    }

    /// Gives the holder of a lock a record of its own, unless it has one.
    fn make_tied(&mut self, lock: Id<Lock>, now: Now) -> Id<Tie> {
        let tenure = match *self.locks[lock].hold() {
            Hold::Tied(tie) => return tie,
            Hold::Sole { tenure, .. } => tenure,
        };
        assert!(self.tenures[tenure].owner.is_some(), "only what is held is tied");
        self.unlink_sole(lock, tenure);
        let is_late = bug!(TiedHoldIsTimedAnew);
        let since = if is_late { Moment::of(now) } else { self.locks[lock].since() };
        let tie = self.ties.locks.insert(Tie::default());
        *self.locks.hold_mut(lock) = Hold::Tied(tie);
        self.tie(tie, lock, tenure, since);
        tie
    }

    /// The fencing token of an exclusive lock's hold, if it has one.
    pub(crate) fn token(&self, lock: Id<Lock>) -> Option<u64> {
        self.tie_of(lock).map(|tie| self.ties.locks[tie].token).filter(|token| *token > 0)
    }

    /// Gives the hold of an exclusive lock that is held a fencing token.
    pub(crate) fn set_token(&mut self, lock: Id<Lock>, token: u64, now: Now) {
        assert!(self.locks[lock].kind() == Kind::Exclusive && token > 0, "only exclusive locks have tokens");
        let tie = self.make_tied(lock, now);
        self.ties.locks[tie].token = token;
    }

    /// How many wait for a lock.
    pub(crate) fn waiting(&self, lock: Id<Lock>) -> u32 {
        self.tie_of(lock).map_or(0, |tie| self.ties.locks[tie].line.len())
    }

    /// The wait at the head of a lock's line.
    pub(crate) fn line_head(&self, lock: Id<Lock>) -> Option<Id<Wait>> {
        self.tie_of(lock).and_then(|tie| self.ties.locks[tie].line.head())
    }

    /// The tenures that hold a lock that is held, the oldest first. (Of one that is not, whose it was.)
    pub(crate) fn holder_tenures(&self, lock: Id<Lock>) -> impl Iterator<Item = Id<Tenure>> {
        let (sole, first) = match *self.locks[lock].hold() {
            Hold::Sole { tenure, .. } => (Some(tenure), None),
            Hold::Tied(tie) => (None, self.ties.locks[tie].first),
        };
        sole.into_iter().chain(self.ties.from(first).map(|hold| hold.tenure))
    }

    /// Puts a connection at the end of the line for a lock that is held.
    pub(crate) fn begin_wait(
        &mut self,
        found: Found,
        by: Id<Connection>,
        limit: u32,
        (now, deadline): (Now, Now),
    ) -> Id<Wait> {
        let lock = found.lock.expect("a name that has to be waited for is held");
        let tie = self.make_tied(lock, now);
        self.waiting_by_kind[found.kind] += 1;
        let wait = self.waits.begin(lock, by, Place::new(limit), (now, deadline));
        self.ties.locks[tie].line.push(&mut self.waits, wait);
        wait
    }

    /// Ends a wait, in whatever way. The line is looked at again when it was the head.
    pub(crate) fn end_wait(&mut self, id: Id<Wait>, now: Now) -> Wait {
        let lock = self.waits[id].lock();
        let tie = self.tie_of(lock).expect("a lock with a line is tied");
        let was_head = self.ties.locks[tie].line.head() == Some(id);
        let wait = self.take_wait(id, tie, now);
        let left = &self.ties.locks[tie];
        if left.line.is_empty() && left.holders == 0 {
            self.free_tied(lock, tie);
        } else if was_head {
            self.stir(lock, tie);
        }
        wait
    }

    /// The wait that is due first, if it is due.
    #[inline]
    pub(crate) fn due(&mut self, now: Now) -> Option<Id<Wait>> {
        self.waits.due(now)
    }

    /// Every wait.
    pub(crate) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// A lock whose line has to be looked at again. Each is given once.
    pub(crate) fn next_stirred(&mut self) -> Option<Id<Lock>> {
        while let Some(lock) = self.stirred.pop() {
            // It may have been freed since, and its slot be another's.
            if self.locks.slots().at(lock.position()).is_some()
                && let Some(tie) = self.tie_of(lock)
                && std::mem::take(&mut self.ties.locks[tie].is_stirred)
            {
                return Some(lock);
            }
        }
        None
    }

    /// Whether no line has to be looked at again.
    pub(crate) fn is_calm(&self) -> bool {
        self.stirred.is_empty()
    }

    /// The head of a line, when it can be granted.
    pub(crate) fn grantable(&self, lock: Id<Lock>) -> Option<Id<Wait>> {
        let tie = &self.ties.locks[self.tie_of(lock)?];
        let first = if bug!(LineIsAStack) { tie.line.end()? } else { tie.line.head()? };
        self.waits[first].place().has_room_beside(tie.holders).then_some(first)
    }

    /// Ends the wait at the head of a line by making its connection's tenure a holder. Says how many holders
    /// there are then.
    pub(crate) fn grant(&mut self, id: Id<Wait>, tenure: Id<Tenure>, now: Now) -> (Wait, u32) {
        assert!(self.tenures[tenure].owner == Some(self.waits[id].by()), "whoever waited gets the lock");
        let lock = self.waits[id].lock();
        let kind = self.locks[lock].kind();
        let tie = self.tie_of(lock).expect("a lock with a line is tied");
        let wait = self.take_wait(id, tie, now);
        assert!(
            kind == Kind::Shared || self.ties.locks[tie].holders == 0,
            "an exclusive lock has one holder"
        );
        if self.ties.locks[tie].holders == 0 {
            self.count_name(lock);
        }
        self.live[kind] += 1;
        self.tie(tie, lock, tenure, Moment::of(now));
        (wait, self.ties.locks[tie].holders)
    }

    /// Takes a wait out of its line.
    fn take_wait(&mut self, id: Id<Wait>, tie: Id<Tie>, now: Now) -> Wait {
        self.ties.locks[tie].line.remove(&mut self.waits, id);
        let wait = self.waits.end(id);
        let kind = self.locks[wait.lock()].kind();
        self.wait_times[kind].note(now.0 - wait.began().0);
        self.waiting_by_kind[kind] -= 1;
        wait
    }

    /// Takes note that no line has to be looked at again, because nothing is granted any more.
    pub(crate) fn forget_stirred(&mut self) {
        while self.next_stirred().is_some() {}
    }

    fn tie_of(&self, lock: Id<Lock>) -> Option<Id<Tie>> {
        match *self.locks[lock].hold() {
            Hold::Tied(tie) => Some(tie),
            Hold::Sole { .. } => None,
        }
    }

    fn stir(&mut self, lock: Id<Lock>, tie: Id<Tie>) {
        let tie = &mut self.ties.locks[tie];
        if !tie.line.is_empty() && !std::mem::replace(&mut tie.is_stirred, true) {
            self.stirred.push(lock);
        }
    }

    /// Ends one hold of a tenure that is a holder.
    #[inline]
    pub(crate) fn remove(&mut self, lock: Id<Lock>, tenure: Id<Tenure>, now: Now) {
        let hold = &self.locks[lock];
        let kind = hold.kind();
        self.live[kind] -= 1;
        match *hold.hold() {
            Hold::Sole { tenure: holder, prev, next } => {
                assert!(holder == tenure, "only the holder releases");
                self.times[kind].note(hold.since().until(now));
                let outer_bytes = self.locks.outer_bytes(hold);
                self.held[kind] -= 1;
                self.name_bytes -= outer_bytes;
                self.discount_sole(tenure, kind, outer_bytes, (prev, next));
                self.locks.remove(lock);
            }
            Hold::Tied(_) => {
                let hold = self.ties.find(lock, tenure).expect("only a holder releases");
                self.untie(hold, now);
            }
        }
    }

    /// Ends a tenure and all it holds, in one step: what comes after sees none of it. Costs O(1) and
    /// O(1) for each tied hold; sole holds leave storage behind for `sweep`.
    pub(crate) fn end(&mut self, id: Id<Tenure>, now: Now) -> Ended {
        let tenure = &mut self.tenures[id];
        assert!(tenure.owner.take().is_some(), "a tenure ends once");
        tenure.ended = now;
        let holds = ByKind::from_fn(|kind| tenure.count(kind));
        for kind in Kind::ALL {
            self.live[kind] -= holds[kind];
            if !bug!(OrphaningKeepsSoleCounts) {
                self.held[kind] -= tenure.sole_count[kind];
            }
        }
        self.name_bytes -= tenure.sole_name_bytes;
        while let Some(hold) = self.tenures[id].tied {
            let is_last = self.ties.holds[hold].next.is_none();
            if is_last && bug!(OrphaningSkipsTheLastTiedHold) {
                break;
            }
            reach(match self.untie(hold, now) {
                0 => Mark::OrphaningFreedATiedLock,
                _ => Mark::OrphaningLeftOtherHolders,
            });
        }
        let soles = self.tenures[id].soles();
        if soles == 0 {
            self.tenures.remove(id);
        } else {
            mark!(OrphaningLeftSoleHolds);
            self.dead += soles;
            let last = self.last_dead.replace(id);
            self.tenures[id].prev_dead = last;
            match last {
                Some(last) => self.tenures[last].next_dead = Some(id),
                None => self.first_dead = Some(id),
            }
        }
        Ended { holds }
    }

    /// Frees the storage of up to `limit` dead holds. Says of how many.
    #[inline]
    pub(crate) fn sweep(&mut self, limit: u32) -> u32 {
        if self.is_swept() { 0 } else { self.sweep_dead(limit) }
    }

    fn sweep_dead(&mut self, limit: u32) -> u32 {
        for swept in 0..limit {
            let Some(tenure) = self.first_dead else { return swept };
            let lock = self.tenures[tenure].sole.expect("a dead tenure has storage left");
            self.unlink_dead(lock, tenure);
            if bug!(SweptButStillIndexed) {
                self.locks.forget(lock);
                continue;
            }
            self.locks.remove(lock);
        }
        limit
    }

    /// Whether `sweep` has something to do.
    pub(crate) fn is_swept(&self) -> bool {
        self.first_dead.is_none()
    }

    /// Live holders of a lock.
    #[inline]
    pub(crate) fn holders(&self, lock: Id<Lock>) -> u32 {
        match *self.locks[lock].hold() {
            Hold::Sole { tenure, .. } => {
                let lives = self.tenures[tenure].owner.is_some() || bug!(DeadHolderCounts);
                u32::from(lives)
            }
            Hold::Tied(tie) => self.ties.locks[tie].holders,
        }
    }

    /// The locks that only this tenure holds, the newest first.
    pub(crate) fn soles(&self, tenure: Id<Tenure>) -> impl Iterator<Item = Id<Lock>> {
        std::iter::successors(self.tenures[tenure].sole, |&lock| match *self.locks[lock].hold() {
            Hold::Sole { next, .. } => next,
            Hold::Tied(_) => panic!("{lock:?} is tied, not in a list of sole holds"),
        })
    }

    /// Bytes that the live holds take: a slot for each name, a record for each further holder, and
    /// names too long for their slots. It leaves out what is dead, so that no figure depends on how far
    /// sweeping has come, and the indexes, which take 4 to 8 bytes for each of those, and after a peak up to 32.
    #[inline]
    pub(crate) fn live_bytes(&self) -> u64 {
        let names = self.held.map(u64::from).total();
        let holds = self.live.map(u64::from).total();
        names * Slab::<Lock>::slot_bytes() as u64
            + (holds - names) * Slab::<TiedHold>::slot_bytes() as u64
            + self.name_bytes
    }

    fn tie(&mut self, tie: Id<Tie>, lock: Id<Lock>, tenure: Id<Tenure>, since: Moment) {
        let owner = &mut self.tenures[tenure];
        owner.tied_count[self.locks[lock].kind()] += 1;
        self.ties.push(tie, lock, tenure, since, &mut owner.tied);
    }

    /// Takes a tied hold out, and frees its lock with the last one. Says how many are left.
    fn untie(&mut self, id: Id<TiedHold>, now: Now) -> u32 {
        let TiedHold { lock, tenure, since, .. } = self.ties.holds[id];
        let kind = self.locks[lock].kind();
        let Hold::Tied(tie) = *self.locks[lock].hold() else { panic!("a tied hold's lock is tied") };
        self.times[kind].note(since.until(now));
        let owner = &mut self.tenures[tenure];
        owner.tied_count[kind] -= 1;
        let left = self.ties.remove(tie, id, &mut owner.tied);
        if !bug!(TokenSurvivesTheHold) {
            self.ties.locks[tie].token = 0;
        }
        if !self.ties.locks[tie].line.is_empty() {
            if left == 0 {
                self.discount_name(lock);
            }
            self.stir(lock, tie);
        } else if left == 0 {
            self.discount_name(lock);
            self.free_tied(lock, tie);
        }
        left
    }

    /// Takes a tied lock away that nobody holds or waits for.
    fn free_tied(&mut self, lock: Id<Lock>, tie: Id<Tie>) {
        self.ties.locks.remove(tie);
        self.locks.remove(lock);
    }

    /// Counts a name that has its first holder.
    fn count_name(&mut self, lock: Id<Lock>) {
        let (kind, outer_bytes) = self.counted(lock);
        self.held[kind] += 1;
        self.name_bytes += outer_bytes;
    }

    /// Takes note that a name's last holder is gone.
    fn discount_name(&mut self, lock: Id<Lock>) {
        let (kind, outer_bytes) = self.counted(lock);
        self.held[kind] -= 1;
        self.name_bytes -= outer_bytes;
    }

    /// Takes a lock out of a dead tenure's list, and forgets the tenure with its last one.
    fn unlink_dead(&mut self, lock: Id<Lock>, tenure: Id<Tenure>) {
        let ended = self.tenures[tenure].ended;
        self.times[self.locks[lock].kind()].note(self.locks[lock].since().until(ended));
        self.unlink_sole(lock, tenure);
        self.dead -= 1;
        if self.tenures[tenure].sole.is_some() {
            return;
        }
        let Tenure { owner, prev_dead, next_dead, .. } = self.tenures.remove(tenure);
        assert!(owner.is_none(), "a live tenure is forgotten by its connection only");
        match prev_dead {
            Some(prev) => self.tenures[prev].next_dead = next_dead,
            None => self.first_dead = next_dead,
        }
        match next_dead {
            Some(next) => self.tenures[next].prev_dead = prev_dead,
            None => self.last_dead = prev_dead,
        }
    }

    /// How a lock is counted: by its kind, and with so many bytes of its name.
    fn counted(&self, lock: Id<Lock>) -> (Kind, u64) {
        let lock = &self.locks[lock];
        (lock.kind(), self.locks.outer_bytes(lock))
    }

    /// Takes a lock out of a tenure's list; the caller gives it its next state.
    fn unlink_sole(&mut self, lock: Id<Lock>, tenure: Id<Tenure>) {
        let (kind, outer_bytes) = self.counted(lock);
        let (&mut prev, &mut next) = sole_links(&mut self.locks, lock);
        self.discount_sole(tenure, kind, outer_bytes, (prev, next));
    }

    /// Takes note that a tenure holds a lock solely no more, of whose name so many bytes stand outside the slot: its
    /// neighbours become each other's.
    #[inline]
    fn discount_sole(
        &mut self,
        tenure: Id<Tenure>,
        kind: Kind,
        outer_bytes: u64,
        (prev, next): (Option<Id<Lock>>, Option<Id<Lock>>),
    ) {
        let owner = &mut self.tenures[tenure];
        owner.sole_count[kind] -= 1;
        owner.sole_name_bytes -= outer_bytes;
        match prev {
            Some(prev) => *sole_links(&mut self.locks, prev).1 = next,
            None => owner.sole = next,
        }
        if let Some(next) = next {
            *sole_links(&mut self.locks, next).0 = prev;
        }
    }
}

/// The links of a lock in its tenure's list of sole holds.
fn sole_links(locks: &mut Locks, lock: Id<Lock>) -> (&mut Option<Id<Lock>>, &mut Option<Id<Lock>>) {
    match locks.hold_mut(lock) {
        Hold::Sole { prev, next, .. } => (prev, next),
        Hold::Tied(_) => panic!("{lock:?} is tied, not in a list of sole holds"),
    }
}
