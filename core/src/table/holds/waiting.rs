//! Lines: how waits begin and end, and which lines are *dirty*. A line is dirty after a holder or the head has gone:
//! its new head may be grantable, and must be looked at before the input is done. So are the waits for the lock's end.

use super::{Found, Holds, State};
use crate::storage::Id;
use crate::table::connection::Connection;
use crate::table::line::{Aim, Place};
use crate::table::lock::Lock;
use crate::table::moment::Moment;
use crate::table::tenure::Tenure;
use crate::table::tie::Tie;
use crate::table::wait::Wait;
use crate::types::Now;

impl Holds {
    /// Puts a connection at the end of the line for a lock that is held, or among those that wait for its end.
    pub(crate) fn begin_wait(
        &mut self,
        found: Found,
        by: Id<Connection>,
        aim: Aim,
        (now, deadline): (Now, Now),
    ) -> Id<Wait> {
        let lock = found.lock.expect("a lock that is waited for has a slot");
        // Must come before the wait gets its order: the holds that are there now have lower ones.
        let tie = self.make_tied(lock, found.state);
        self.counts.add_wait(found.kind, aim);
        let place = (self.ties.next_order(), Place::new(found.kind, aim, found.name_bytes));
        let wait = self.waits.begin(lock, by, place, (now, deadline));
        self.ties[tie].waits_mut(aim).push(&mut self.waits, wait);
        wait
    }

    /// Restores a wait from a snapshot, with the order that it had. If its lock is not tied yet, the lock has one hold,
    /// which is older than every wait.
    pub(crate) fn restore_wait(
        &mut self,
        found: Found,
        by: Id<Connection>,
        (order, aim): (u64, Aim),
        times: (Now, Now),
    ) -> Id<Wait> {
        self.ties.restore_last_order(0);
        let tie = self.make_tied(found.lock.expect("a lock that is waited for has a slot"), found.state);
        self.ties.restore_last_order(order - 1);
        self.begin_wait(Found { state: State::Tied(tie), ..found }, by, aim, times)
    }

    /// The wait with the earliest deadline, if that deadline has come.
    #[inline]
    pub(crate) fn due(&mut self, now: Now) -> Option<Id<Wait>> {
        self.waits.due(now)
    }

    /// Takes a wait out of its line, for whatever reason it ends. If it was the head, the line becomes dirty.
    pub(crate) fn end_wait(&mut self, id: Id<Wait>, now: Now) -> Wait {
        let lock = self.waits[id].lock();
        let tie = self.tie_of(lock).expect("a lock with a line is tied");
        let was_head = self.ties[tie].line().head() == Some(id);
        let wait = self.take_wait(id, tie, now);
        let left = &self.ties[tie];
        if left.awaiting() == 0 && left.holders() == 0 {
            self.free_tied(lock, tie);
        } else if was_head {
            self.mark_dirty(lock, tie);
        }
        wait
    }

    /// The head of a lock's line, if it can be granted.
    pub(crate) fn grantable(&self, lock: Id<Lock>) -> Option<Id<Wait>> {
        let tie = &self.ties[self.tie_of(lock)?];
        let first = if bug!(LineIsAStack) { tie.line().end()? } else { tie.line().head()? };
        let kind = self.locks[lock].kind();
        self.waits[first].place().has_room_beside(tie.holders(), kind).then_some(first)
    }

    /// The oldest wait for a lock's end, if it is over: every hold is gone that the lock had when the wait began.
    pub(crate) fn ended(&self, lock: Id<Lock>) -> Option<Id<Wait>> {
        let tie = &self.ties[self.tie_of(lock)?];
        let first = tie.ends().head()?;
        let oldest = tie.oldest().map(|hold| self.ties.holds()[hold].order());
        let is_newer = |oldest| oldest > self.waits[first].order() && !bug!(EndToldLate);
        (oldest.is_none_or(is_newer) && !bug!(EndIsNeverTold)).then_some(first)
    }

    /// Ends a wait for a lock's end that is over. The lock keeps its slot: see `free_unheld`.
    pub(crate) fn end_ended(&mut self, id: Id<Wait>, now: Now) -> Wait {
        let tie = self.tie_of(self.waits[id].lock()).expect("a lock that is waited for is tied");
        self.take_wait(id, tie, now)
    }

    /// Frees a tied lock that nobody holds or waits for, unless it was freed since.
    pub(crate) fn free_unheld(&mut self, lock: Id<Lock>) {
        if self.locks.slots().get(lock).is_some()
            && let Some(tie) = self.tie_of(lock)
            && self.ties[tie].holders() == 0
            && self.ties[tie].awaiting() == 0
        {
            self.free_tied(lock, tie);
        }
    }

    /// Ends the wait at the head of a line by making its connection's tenure a holder. Returns the wait and the new
    /// number of holders.
    pub(crate) fn grant(&mut self, id: Id<Wait>, tenure: Id<Tenure>, now: Now) -> (Wait, u32) {
        assert!(
            self.tenures[tenure].owner() == Some(self.waits[id].by()),
            "the lock goes to the connection that waited"
        );
        let lock = self.waits[id].lock();
        let (held, outer_bytes) = self.counted(lock);
        let tie = self.tie_of(lock).expect("a lock with a line is tied");
        let wait = self.take_wait(id, tie, now);
        let kind = wait.place().kind();
        let holders = self.ties[tie].holders();
        assert!(holders == 0 || kind.is_counted() && held == kind, "who holds a lock so holds it alone");
        if holders == 0 {
            if held != kind {
                self.locks.set_kind(lock, kind);
            }
            self.counts.add_name(kind, outer_bytes);
        }
        self.counts.add_hold(kind);
        self.tie(tie, lock, tenure, Moment::of(now));
        (wait, holders + 1)
    }

    /// Takes a wait out of its line, or out of the waits for its lock's end.
    fn take_wait(&mut self, id: Id<Wait>, tie: Id<Tie>, now: Now) -> Wait {
        let aim = self.waits[id].place().aim();
        self.ties[tie].waits_mut(aim).remove(&mut self.waits, id);
        let wait = self.waits.end(id);
        self.counts.remove_wait(wait.place().kind(), aim, now.0 - wait.began().0);
        wait
    }

    /// Puts a line on the list of dirty ones, unless nobody waits or it is on the list already.
    pub(super) fn mark_dirty(&mut self, lock: Id<Lock>, tie: Id<Tie>) {
        let tie = &mut self.ties[tie];
        if tie.awaiting() > 0 && !tie.set_dirty(true) {
            self.dirty.push(lock);
        }
    }

    /// Takes a lock off the list of those with a dirty line, and returns it.
    pub(crate) fn next_dirty(&mut self) -> Option<Id<Lock>> {
        while let Some(lock) = self.dirty.pop() {
            // The lock may have been freed since, and its slot given to another.
            if self.locks.slots().get(lock).is_some()
                && let Some(tie) = self.tie_of(lock)
                && self.ties[tie].set_dirty(false)
            {
                return Some(lock);
            }
        }
        None
    }

    /// Whether any line may be dirty.
    #[inline]
    pub(crate) fn has_dirty_line(&self) -> bool {
        !self.dirty.is_empty()
    }
}
