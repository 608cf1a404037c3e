//! Who holds what: locks, ties and tenures as one structure that stays consistent by itself. It knows
//! neither limits nor replies nor connections' names; the machine asks it and decides.

use crate::canary::{Canary, is_planted};
use crate::config::Storage;
use crate::mark::{Mark, reach};
use crate::storage::{Id, Slab};
use crate::times::Times;
use crate::types::{Kind, Now};

use super::connection::Connection;
use super::lock::{Hold, Lock, Locks, NameHash};
use super::moment::Moment;
use super::tenure::Tenure;
use super::tie::{Tie, TiedHold, Ties};

#[derive(Clone, Debug)]
pub(crate) struct Holds {
    pub(crate) locks: Locks,
    pub(crate) ties: Ties,
    pub(crate) tenures: Slab<Tenure>,
    /// Dead tenures with storage left, the first to be swept and the last.
    pub(crate) first_dead: Option<Id<Tenure>>,
    pub(crate) last_dead: Option<Id<Tenure>>,
    /// Sole holds of dead tenures: storage that is still to be freed.
    pub(crate) dead: u32,
    /// Holds of live tenures, by kind.
    pub(crate) live: [u32; 2],
    /// Distinct names held now, by kind.
    pub(crate) held: [u32; 2],
    /// Bytes of those names that stand outside the slots.
    pub(crate) name_bytes: u64,
    /// How long the holds lasted that are over, by kind; but for those that are dead and not yet swept.
    pub(crate) times: [Times; 2],
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
    pub(crate) holds: [u32; 2],
}

impl Holds {
    pub(crate) fn new(storage: &Storage) -> Self {
        let Storage { chunk_slots, index_tables, hash_key, .. } = *storage;
        Self {
            locks: Locks::new(chunk_slots, index_tables, hash_key),
            ties: Ties::new(chunk_slots, index_tables, hash_key),
            tenures: Slab::new(chunk_slots),
            first_dead: None,
            last_dead: None,
            dead: 0,
            live: [0; 2],
            held: [0; 2],
            name_bytes: 0,
            times: Default::default(),
        }
    }

    pub(crate) fn open(&mut self, owner: Id<Connection>) -> Id<Tenure> {
        self.tenures.insert(Tenure::new(owner))
    }

    pub(crate) fn find(&self, kind: Kind, name: &[u8]) -> Found {
        let hash = self.locks.hash(kind, name);
        let lock = self.locks.find(hash, kind, name);
        let holders = lock.map_or(0, |lock| self.holders(lock));
        Found { hash, lock, kind, holders }
    }

    /// Whether this tenure is among the holders.
    pub(crate) fn is_holder(&self, found: Found, tenure: Id<Tenure>) -> bool {
        let Some(lock) = found.lock else { return false };
        match *self.locks[lock].hold() {
            Hold::Sole { tenure: holder, .. } => holder == tenure,
            Hold::Tied(_) => self.ties.find(lock, tenure).is_some(),
        }
    }

    /// Makes a tenure a holder that is not one yet, and says how many holders there are then.
    pub(crate) fn add(&mut self, found: Found, name: &[u8], tenure: Id<Tenure>, now: Now) -> u32 {
        assert!(self.tenures[tenure].owner.is_some(), "only a live tenure gets locks");
        assert!(found.kind == Kind::Shared || found.holders == 0, "an exclusive lock has one holder");
        self.live[found.kind.index()] += 1;
        let Some(lock) = found.lock else {
            let hold = Hold::Sole { tenure, prev: None, next: None };
            let lock = self.locks.insert(found.hash, name, found.kind, hold, now);
            self.link_sole(lock, tenure);
            self.count_name(lock);
            return 1;
        };
        match *self.locks[lock].hold() {
            Hold::Sole { tenure: dead, .. } if found.holders == 0 => {
                reach(Mark::GetMetADeadSoleHolder);
                if is_planted(Canary::SweptWhileHeld) {
                    let link = *sole_links(&mut self.locks, lock).1;
                    *self.locks.hold_mut(lock) = Hold::Sole { tenure, prev: None, next: link };
                    self.tenures[tenure].sole_count[found.kind.index()] += 1;
                    self.count_name(lock);
                    return 1;
                }
                self.unlink_dead(lock, dead);
                self.locks.held_from(lock, now);
                self.link_sole(lock, tenure);
                self.count_name(lock);
            }
            Hold::Sole { tenure: first, .. } => {
                assert!(first != tenure, "a holder does not get its lock again");
                reach(Mark::HoldBecameTied);
                self.unlink_sole(lock, first);
                let is_late = is_planted(Canary::TiedHoldIsTimedAnew);
                let since = if is_late { Moment::of(now) } else { self.locks[lock].since() };
                let tie = self.ties.locks.insert(Tie::default());
                *self.locks.hold_mut(lock) = Hold::Tied(tie);
                self.tie(tie, lock, first, since);
                self.tie(tie, lock, tenure, Moment::of(now));
            }
            Hold::Tied(tie) => self.tie(tie, lock, tenure, Moment::of(now)),
        }
        found.holders + 1
    }

    /// Ends one hold of a tenure that is a holder.
    pub(crate) fn remove(&mut self, found: Found, tenure: Id<Tenure>, now: Now) {
        let lock = found.lock.expect("a held name has a slot");
        self.live[found.kind.index()] -= 1;
        match *self.locks[lock].hold() {
            Hold::Sole { tenure: holder, .. } => {
                assert!(holder == tenure, "only the holder releases");
                self.times[found.kind.index()].note(self.locks[lock].since().until(now));
                self.unlink_sole(lock, tenure);
                self.free(lock, found.hash);
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
        let holds = Kind::ALL.map(|kind| tenure.count(kind));
        for kind in Kind::ALL.map(Kind::index) {
            self.live[kind] -= holds[kind];
            if !is_planted(Canary::OrphaningKeepsSoleCounts) {
                self.held[kind] -= tenure.sole_count[kind];
            }
        }
        self.name_bytes -= tenure.sole_name_bytes;
        while let Some(hold) = self.tenures[id].tied {
            let is_last = self.ties.holds[hold].next.is_none();
            if is_last && is_planted(Canary::OrphaningSkipsTheLastTiedHold) {
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
            reach(Mark::OrphaningLeftSoleHolds);
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
    pub(crate) fn sweep(&mut self, limit: u32) -> u32 {
        for swept in 0..limit {
            let Some(tenure) = self.first_dead else { return swept };
            let lock = self.tenures[tenure].sole.expect("a dead tenure has storage left");
            let hash = self.locks.hash_of(lock);
            self.unlink_dead(lock, tenure);
            if is_planted(Canary::SweptButStillIndexed) {
                self.locks.forget(lock);
                continue;
            }
            self.locks.remove(hash, lock);
        }
        limit
    }

    /// Whether `sweep` has something to do.
    pub(crate) fn is_swept(&self) -> bool {
        self.first_dead.is_none()
    }

    /// Live holders of a lock.
    pub(crate) fn holders(&self, lock: Id<Lock>) -> u32 {
        match *self.locks[lock].hold() {
            Hold::Sole { tenure, .. } => {
                let lives = self.tenures[tenure].owner.is_some();
                u32::from(lives || is_planted(Canary::DeadHolderCounts))
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
    /// sweeping has come, and the indexes, which take 6 to 12 bytes for each of those.
    pub(crate) fn live_bytes(&self) -> u64 {
        let names = u64::from(self.held[0]) + u64::from(self.held[1]);
        let holds = u64::from(self.live[0]) + u64::from(self.live[1]);
        names * Slab::<Lock>::slot_bytes() as u64
            + (holds - names) * Slab::<TiedHold>::slot_bytes() as u64
            + self.name_bytes
    }

    fn tie(&mut self, tie: Id<Tie>, lock: Id<Lock>, tenure: Id<Tenure>, since: Moment) {
        let owner = &mut self.tenures[tenure];
        owner.tied_count[self.locks[lock].kind().index()] += 1;
        self.ties.push(tie, lock, tenure, since, &mut owner.tied);
    }

    /// Takes a tied hold out, and frees its lock with the last one. Says how many are left.
    fn untie(&mut self, id: Id<TiedHold>, now: Now) -> u32 {
        let TiedHold { lock, tenure, since, .. } = self.ties.holds[id];
        let kind = self.locks[lock].kind();
        let Hold::Tied(tie) = *self.locks[lock].hold() else { panic!("a tied hold's lock is tied") };
        self.times[kind.index()].note(since.until(now));
        let owner = &mut self.tenures[tenure];
        owner.tied_count[kind.index()] -= 1;
        let left = self.ties.remove(tie, id, &mut owner.tied);
        if left == 0 {
            self.ties.locks.remove(tie);
            self.free(lock, self.locks.hash_of(lock));
        }
        left
    }

    /// Counts a name that has its first holder.
    fn count_name(&mut self, lock: Id<Lock>) {
        let lock = &self.locks[lock];
        self.held[lock.kind().index()] += 1;
        self.name_bytes += lock.heap_bytes();
    }

    /// Frees a lock whose last holder is gone.
    fn free(&mut self, lock: Id<Lock>, hash: NameHash) {
        let lock = self.locks.remove(hash, lock);
        self.held[lock.kind().index()] -= 1;
        self.name_bytes -= lock.heap_bytes();
    }

    fn link_sole(&mut self, lock: Id<Lock>, tenure: Id<Tenure>) {
        let (kind, heap_bytes) = (self.locks[lock].kind(), self.locks[lock].heap_bytes());
        let owner = &mut self.tenures[tenure];
        owner.sole_count[kind.index()] += 1;
        owner.sole_name_bytes += heap_bytes;
        let next = owner.sole.replace(lock);
        *self.locks.hold_mut(lock) = Hold::Sole { tenure, prev: None, next };
        if let Some(next) = next {
            *sole_links(&mut self.locks, next).0 = Some(lock);
        }
    }

    /// Takes a lock out of a dead tenure's list, and forgets the tenure with its last one.
    fn unlink_dead(&mut self, lock: Id<Lock>, tenure: Id<Tenure>) {
        let ended = self.tenures[tenure].ended;
        self.times[self.locks[lock].kind().index()].note(self.locks[lock].since().until(ended));
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

    /// Takes a lock out of a tenure's list; the caller gives it its next state.
    fn unlink_sole(&mut self, lock: Id<Lock>, tenure: Id<Tenure>) {
        let (kind, heap_bytes) = (self.locks[lock].kind(), self.locks[lock].heap_bytes());
        let owner = &mut self.tenures[tenure];
        owner.sole_count[kind.index()] -= 1;
        owner.sole_name_bytes -= heap_bytes;
        let (&mut prev, &mut next) = sole_links(&mut self.locks, lock);
        match prev {
            Some(prev) => *sole_links(&mut self.locks, prev).1 = next,
            None => self.tenures[tenure].sole = next,
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
