//! How holds begin and end, one at a time: the sole hold of a free lock, a further hold of a tied lock, and the step
//! from sole to tied.

use super::{Found, Holds, State};
use crate::storage::Id;
use crate::table::connection::Connection;
use crate::table::grace::Grace;
use crate::table::lock::{Hold, Lock};
use crate::table::memory;
use crate::table::moment::Moment;
use crate::table::tenure::Tenure;
use crate::table::tie::{Tie, TiedHold};
use crate::types::{Kind, Now};

impl Holds {
    /// Begins a tenure that holds nothing yet.
    pub(crate) fn open(&mut self, owner: Id<Connection>) -> Id<Tenure> {
        self.tenures.insert(Tenure::new(owner))
    }

    /// Has a tenure linger: its connection ends, and its holds stay as they are. Costs O(1), however many they are.
    pub(crate) fn linger(&mut self, tenure: Id<Tenure>, grace: Id<Grace>) {
        self.tenures[tenure].linger(grace);
    }

    /// Gives a tenure to another connection, with its holds as they are. Costs O(1).
    pub(crate) fn pass_to(&mut self, tenure: Id<Tenure>, owner: Id<Connection>) {
        self.tenures[tenure].pass_to(owner);
    }

    /// Makes a tenure a holder. It must not be one yet. Returns the new number of holders.
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

    /// Like `add`, for a lock that has a slot. It may be free all the same.
    fn add_to(&mut self, lock: Id<Lock>, found: Found, tenure: Id<Tenure>, now: Now) -> u32 {
        assert!(
            found.holders == 0 || found.kind.is_counted() && self.locks[lock].kind() == found.kind,
            "who holds a lock so holds it alone"
        );
        assert!(self.tenures[tenure].lives(), "only a live tenure gets locks");
        match found.state {
            State::Free => {
                mark!(GetMetADeadSoleHolder);
                if !bug!(SweptWhileHeld) {
                    self.take_from_dead(lock);
                }
                self.hold_again(lock, found.kind, tenure, now);
            }
            State::Sole(first) => {
                assert!(first != tenure, "a holder does not get its lock again");
                mark!(HoldBecameTied);
                let tie = self.make_tied(lock, found.state);
                self.tie(tie, lock, tenure, Moment::of(now));
            }
            State::Tied(tie) => self.tie(tie, lock, tenure, Moment::of(now)),
        }
        self.counts.add_hold(found.kind);
        found.holders + 1
    }

    /// Adds a name that has no slot yet, and its only holder.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each get pays for a call")]
    fn add_new(&mut self, Found { hash, kind, .. }: Found, name: &[u8], tenure: Id<Tenure>, now: Now) {
        let outer_bytes = memory::outer_bytes(name.len());
        self.tenures[tenure].add_sole(&mut self.locks, kind, outer_bytes, |locks, links| {
            locks.insert(hash, name, kind, Hold::Sole { tenure, links }, now)
        });
        self.counts.add_hold(kind);
        self.counts.add_name(kind, outer_bytes);
    }

    /// Makes a tenure the only holder of a lock that has a slot and is in nobody's list.
    fn hold_again(&mut self, lock: Id<Lock>, kind: Kind, tenure: Id<Tenure>, now: Now) {
        let (_, outer_bytes) = self.counted(lock);
        self.tenures[tenure].add_sole(&mut self.locks, kind, outer_bytes, |locks, links| {
            locks.hold_anew(lock, kind, Hold::Sole { tenure, links }, now);
            lock
        });
        self.counts.add_name(kind, outer_bytes);
    }

    /// Gives a fencing token to a tenure's hold.
    pub(crate) fn set_token(&mut self, lock: Id<Lock>, tenure: Id<Tenure>, token: u64) {
        self.make_tied(lock, self.state(lock));
        let hold = self.ties.find(lock, tenure).expect("only a holder gets a token");
        self.ties.set_token(hold, token);
    }

    /// Has the only holder of a lock hold it in another way: its hold ends, and another begins.
    pub(crate) fn change_kind(&mut self, lock: Id<Lock>, kind: Kind, now: Now) {
        match self.state(lock) {
            State::Free => panic!("only what is held is held otherwise"),
            State::Sole(tenure) => {
                self.note_end(lock, self.locks[lock].since(), now);
                self.counts.remove_hold(self.locks[lock].kind());
                let (before, outer_bytes) = self.counted(lock);
                self.counts.remove_name(before, outer_bytes);
                self.unlink_sole(lock);
                self.hold_again(lock, kind, tenure, now);
                self.counts.add_hold(kind);
            }
            State::Tied(tie) => {
                assert!(self.ties[tie].holders() == 1, "only who holds a lock alone changes its kind");
                let id = self.ties[tie].oldest().expect("it has one holder");
                let hold = &self.ties.holds()[id];
                let (tenure, since) = (hold.tenure(), hold.since());
                self.note_end(lock, since, now);
                let (before, outer_bytes) = self.counted(lock);
                self.counts.remove_hold(before);
                self.counts.remove_name(before, outer_bytes);
                self.tenures[tenure].recount_tied(before, kind);
                self.locks.set_kind(lock, kind);
                self.ties.renew(id, Moment::of(now));
                self.counts.add_hold(kind);
                self.counts.add_name(kind, outer_bytes);
                if !bug!(ReadersStayOutside) {
                    self.mark_dirty(lock, tie);
                }
            }
        }
    }

    /// Counts how long a hold lasted that ends.
    fn note_end(&mut self, lock: Id<Lock>, since: Moment, now: Now) {
        self.counts.note_hold(self.locks[lock].kind(), since.until(now));
    }

    /// Makes a held lock tied that is in this state, unless it is: its holder gets a record of its own.
    pub(super) fn make_tied(&mut self, lock: Id<Lock>, state: State) -> Id<Tie> {
        let tenure = match state {
            State::Tied(tie) => return tie,
            State::Sole(tenure) => tenure,
            State::Free => panic!("only what is held is tied"),
        };
        self.unlink_sole(lock);
        let since = self.locks[lock].since();
        let tie = self.ties.open();
        self.locks.set_hold(lock, Hold::Tied(tie));
        self.tie(tie, lock, tenure, since);
        tie
    }

    /// Ends one hold of a tenure that is a holder. Returns the bytes of its name that are stored outside the slot.
    #[inline]
    pub(crate) fn remove(&mut self, lock: Id<Lock>, tenure: Id<Tenure>, now: Now) -> u64 {
        let hold = &self.locks[lock];
        let kind = hold.kind();
        self.counts.remove_hold(kind);
        match *hold.hold() {
            Hold::Sole { tenure: holder, links } => {
                assert!(holder == tenure, "only the holder releases");
                self.counts.note_hold(kind, hold.since().until(now));
                let outer_bytes = self.locks.outer_bytes(hold);
                self.counts.remove_name(kind, outer_bytes);
                self.tenures[tenure].remove_sole(&mut self.locks, kind, outer_bytes, (lock, links));
                self.locks.remove(lock);
                outer_bytes
            }
            Hold::Tied(_) => {
                let hold = self.ties.find(lock, tenure).expect("only a holder releases");
                let (_, outer_bytes) = self.untie(hold, now);
                outer_bytes
            }
        }
    }

    /// Adds a hold of a tied lock.
    pub(super) fn tie(&mut self, tie: Id<Tie>, lock: Id<Lock>, tenure: Id<Tenure>, since: Moment) {
        let of_tenure = self.tenures[tenure].add_tied(self.locks[lock].kind());
        self.ties.push(tie, lock, tenure, since, of_tenure);
    }

    /// Ends a tied hold. Frees its lock if it was the last one and nobody waits. Returns how many holders are left,
    /// and the bytes of the name that are stored outside its slot.
    pub(super) fn untie(&mut self, id: Id<TiedHold>, now: Now) -> (u32, u64) {
        let hold = &self.ties.holds()[id];
        let (lock, tenure, since) = (hold.lock(), hold.tenure(), hold.since());
        let (kind, outer_bytes) = self.counted(lock);
        let State::Tied(tie) = self.state(lock) else { panic!("a tied hold's lock is tied") };
        self.counts.note_hold(kind, since.until(now));
        let left = self.ties.remove(tie, id, self.tenures[tenure].remove_tied(kind));
        if left == 0 {
            self.counts.remove_name(kind, outer_bytes);
        }
        if self.ties[tie].awaiting() > 0 {
            self.mark_dirty(lock, tie);
        } else if left == 0 {
            self.free_tied(lock, tie);
        }
        (left, outer_bytes)
    }

    /// Frees a tied lock. Nobody may hold it or wait for it.
    pub(super) fn free_tied(&mut self, lock: Id<Lock>, tie: Id<Tie>) {
        self.ties.close(tie);
        self.locks.remove(lock);
    }

    /// What counts need to know of a lock: its kind, and the bytes of its name outside its slot.
    pub(super) fn counted(&self, lock: Id<Lock>) -> (Kind, u64) {
        let lock = &self.locks[lock];
        (lock.kind(), self.locks.outer_bytes(lock))
    }

    /// Takes a lock out of its tenure's list of sole holds, and returns that tenure. The caller must give the lock its
    /// next state.
    pub(super) fn unlink_sole(&mut self, lock: Id<Lock>) -> Id<Tenure> {
        let (kind, outer_bytes) = self.counted(lock);
        let Hold::Sole { tenure, links } = *self.locks[lock].hold() else {
            panic!("{lock:?} is tied, not in a list of sole holds")
        };
        self.tenures[tenure].remove_sole(&mut self.locks, kind, outer_bytes, (lock, links));
        tenure
    }
}
