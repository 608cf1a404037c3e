//! Lines: how waits begin and end, and which locks' lines have to be looked at again (they are *stirred*) because a
//! holder went or the head did.

use super::{Found, Holds};
use crate::storage::Id;
use crate::table::connection::Connection;
use crate::table::line::Place;
use crate::table::lock::Lock;
use crate::table::moment::Moment;
use crate::table::tenure::Tenure;
use crate::table::tie::Tie;
use crate::table::wait::Wait;
use crate::types::{Kind, Now};

impl Holds {
    /// Puts a connection at the end of the line for a lock that is held.
    pub(crate) fn begin_wait(
        &mut self,
        found: Found,
        by: Id<Connection>,
        limit: u32,
        (now, deadline): (Now, Now),
    ) -> Id<Wait> {
        let lock = found.lock.expect("a name that has to be waited for is held");
        let tie = self.make_tied(lock);
        self.counts.add_wait(found.kind);
        let wait = self.waits.begin(lock, by, Place::new(limit), (now, deadline));
        self.ties[tie].line_mut().push(&mut self.waits, wait);
        wait
    }

    /// The wait that is due first, if it is due.
    #[inline]
    pub(crate) fn due(&mut self, now: Now) -> Option<Id<Wait>> {
        self.waits.due(now)
    }

    /// Ends a wait, in whatever way. The line is looked at again when it was the head.
    pub(crate) fn end_wait(&mut self, id: Id<Wait>, now: Now) -> Wait {
        let lock = self.waits[id].lock();
        let tie = self.tie_of(lock).expect("a lock with a line is tied");
        let was_head = self.ties[tie].line().head() == Some(id);
        let wait = self.take_wait(id, tie, now);
        let left = &self.ties[tie];
        if left.line().is_empty() && left.holders() == 0 {
            self.free_tied(lock, tie);
        } else if was_head {
            self.stir(lock, tie);
        }
        wait
    }

    /// The head of a line, when it can be granted.
    pub(crate) fn grantable(&self, lock: Id<Lock>) -> Option<Id<Wait>> {
        let tie = &self.ties[self.tie_of(lock)?];
        let first = if bug!(LineIsAStack) { tie.line().end()? } else { tie.line().head()? };
        self.waits[first].place().has_room_beside(tie.holders()).then_some(first)
    }

    /// Ends the wait at the head of a line by making its connection's tenure a holder. Returns the wait, and how many
    /// holders there are then.
    pub(crate) fn grant(&mut self, id: Id<Wait>, tenure: Id<Tenure>, now: Now) -> (Wait, u32) {
        assert!(self.tenures[tenure].owner() == Some(self.waits[id].by()), "whoever waited gets the lock");
        let lock = self.waits[id].lock();
        let (kind, outer_bytes) = self.counted(lock);
        let tie = self.tie_of(lock).expect("a lock with a line is tied");
        let wait = self.take_wait(id, tie, now);
        let holders = self.ties[tie].holders();
        assert!(kind == Kind::Shared || holders == 0, "an exclusive lock has one holder");
        if holders == 0 {
            self.counts.add_name(kind, outer_bytes);
        }
        self.counts.add_hold(kind);
        self.tie(tie, lock, tenure, Moment::of(now));
        (wait, holders + 1)
    }

    /// Takes a wait out of its line.
    fn take_wait(&mut self, id: Id<Wait>, tie: Id<Tie>, now: Now) -> Wait {
        self.ties[tie].line_mut().remove(&mut self.waits, id);
        let wait = self.waits.end(id);
        self.counts.remove_wait(self.locks[wait.lock()].kind(), now.0 - wait.began().0);
        wait
    }

    /// Notes that a line has to be looked at again, if there is anybody in it.
    pub(super) fn stir(&mut self, lock: Id<Lock>, tie: Id<Tie>) {
        let tie = &mut self.ties[tie];
        if !tie.line().is_empty() && !tie.set_stirred(true) {
            self.stirred.push(lock);
        }
    }

    /// A lock whose line has to be looked at again. Each is given once.
    pub(crate) fn next_stirred(&mut self) -> Option<Id<Lock>> {
        while let Some(lock) = self.stirred.pop() {
            // It may have been freed since, and its slot be another's.
            if self.locks.slots().get(lock).is_some()
                && let Some(tie) = self.tie_of(lock)
                && self.ties[tie].set_stirred(false)
            {
                return Some(lock);
            }
        }
        None
    }

    /// Whether no line has to be looked at again.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.stirred.is_empty()
    }

    /// Takes note that no line has to be looked at again, because nothing is granted any more.
    pub(crate) fn forget_stirred(&mut self) {
        while self.next_stirred().is_some() {}
    }
}
