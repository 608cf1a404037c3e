//! Waits: who waits for which lock, in lines, in the order in which they began, and by deadline.

use super::connection::Connection;
use super::lock::Lock;
use super::tie::Tie;
use super::timers::Timers;
use crate::storage::{Id, Slab};
use crate::types::Now;

/// A connection's wait for a lock. It stands in three orders at a time.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(crate) lock: Id<Lock>,
    pub(crate) by: Id<Connection>,
    /// How many holders there may be with it; 0 is no limit. 1 for an exclusive lock.
    pub(crate) limit: u32,
    /// Ascends with each wait of the machine, so also along a line.
    pub(crate) order: u64,
    pub(crate) began: Now,
    pub(crate) deadline: Now,
    /// Neighbours in the lock's line.
    pub(crate) ahead: Option<Id<Wait>>,
    pub(crate) behind: Option<Id<Wait>>,
    /// Neighbours among all waits, by beginning.
    pub(crate) older: Option<Id<Wait>>,
    pub(crate) newer: Option<Id<Wait>>,
    /// Neighbours in a slot of the timers.
    pub(crate) sooner: Option<Id<Wait>>,
    pub(crate) later: Option<Id<Wait>>,
}

/// All waits.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    pub(crate) slots: Slab<Wait>,
    pub(crate) timers: Timers,
    /// The one that began first, and the one that began last.
    pub(crate) oldest: Option<Id<Wait>>,
    pub(crate) newest: Option<Id<Wait>>,
    pub(crate) last_order: u64,
}

impl Waits {
    pub(crate) fn new(chunk_slots: u32) -> Self {
        Self {
            slots: Slab::new(chunk_slots),
            timers: Timers::new(),
            oldest: None,
            newest: None,
            last_order: 0,
        }
    }

    /// The wait that is due first, if it is due.
    #[inline]
    pub(crate) fn due(&mut self, now: Now) -> Option<Id<Wait>> {
        if bug!(TimersInOrderOfBeginning) {
            // It has to turn the wheel all the same.
            self.timers.due(&mut self.slots, now)?;
            return self.by_beginning().find(|id| self.slots[*id].deadline <= now);
        }
        if bug!(GrantAfterDeadline) {
            return self.timers.due(&mut self.slots, Now(now.0.saturating_sub(1)));
        }
        self.timers.due(&mut self.slots, now)
    }

    /// All waits, by beginning.
    pub(crate) fn by_beginning(&self) -> impl Iterator<Item = Id<Wait>> {
        std::iter::successors(self.oldest, |id| self.slots[*id].newer)
    }

    /// The waits of a line, from one on.
    pub(crate) fn line(&self, from: Option<Id<Wait>>) -> impl Iterator<Item = (Id<Wait>, &Wait)> {
        let at = |id: Id<Wait>| (id, &self.slots[id]);
        std::iter::successors(from.map(at), move |(_, wait)| wait.behind.map(at))
    }

    /// Adds a wait at the end of a line. Everything that is due by `now` must have ended.
    pub(crate) fn push(
        &mut self,
        tie: &mut Tie,
        lock: Id<Lock>,
        by: Id<Connection>,
        limit: u32,
        (now, deadline): (Now, Now),
    ) -> Id<Wait> {
        self.last_order += 1;
        let ahead = tie.last_wait;
        let older = self.newest;
        let id = self.slots.insert(Wait {
            lock,
            by,
            limit,
            order: self.last_order,
            began: now,
            deadline,
            ahead,
            behind: None,
            older,
            newer: None,
            sooner: None,
            later: None,
        });
        match ahead {
            Some(ahead) => self.slots[ahead].behind = Some(id),
            None => tie.first_wait = Some(id),
        }
        tie.last_wait = Some(id);
        tie.waits += 1;
        match older {
            Some(older) => self.slots[older].newer = Some(id),
            None => self.oldest = Some(id),
        }
        self.newest = Some(id);
        self.timers.set(&mut self.slots, id, now);
        id
    }

    /// Takes a wait out of all three orders.
    pub(crate) fn remove(&mut self, tie: &mut Tie, id: Id<Wait>) -> Wait {
        self.timers.take_back(&mut self.slots, id);
        let wait = self.slots.remove(id);
        match wait.ahead {
            Some(ahead) => self.slots[ahead].behind = wait.behind,
            None => tie.first_wait = wait.behind,
        }
        match wait.behind {
            Some(behind) => self.slots[behind].ahead = wait.ahead,
            None => tie.last_wait = wait.ahead,
        }
        tie.waits -= 1;
        match wait.older {
            Some(older) => self.slots[older].newer = wait.newer,
            None => self.oldest = wait.newer,
        }
        match wait.newer {
            Some(newer) => self.slots[newer].older = wait.older,
            None => self.newest = wait.older,
        }
        wait
    }
}

/// A wait of somebody for something, numbered.
#[cfg(test)]
pub(crate) fn test_wait(order: u64, deadline: Now) -> Wait {
    let mut ties = Slab::new(2);
    let mut locks = crate::table::Locks::new(2, 1, (0, 0));
    let hold = crate::table::Hold::Tied(ties.insert(Tie::default()));
    let hash = locks.hash(crate::types::Kind::Exclusive, b"");
    let lock = locks.insert(hash, b"", crate::types::Kind::Exclusive, hold, Now(0));
    let mut connections = crate::table::Connections::new(2, 1);
    let origin =
        crate::types::Origin { addr: crate::types::Addr::Unix(1), account: crate::types::Account::default() };
    let by = connections.open(Now(0), crate::types::Conn::new(0, 1), origin);
    Wait {
        lock,
        by,
        limit: 1,
        order,
        began: Now(0),
        deadline,
        ahead: None,
        behind: None,
        older: None,
        newer: None,
        sooner: None,
        later: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_takes_64_bytes() {
        assert_eq!(Slab::<Wait>::slot_bytes(), 64, "docs/operations.md plans memory with this");
    }
}
