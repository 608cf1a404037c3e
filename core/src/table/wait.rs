//! Waits: which connection waits for which lock, since when, and until when at the longest. They are listed by
//! beginning, and have timers by deadline. A lock's line is in `line.rs`.

use super::connection::Connection;
use super::line::Place;
use super::lock::Lock;
use super::timers::{Timed, Timers};
use crate::storage::{Broken, Chain, Id, Links, List, Slab};
use crate::types::Now;

/// A connection's wait for a lock.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    lock: Id<Lock>,
    by: Id<Connection>,
    /// Ascends with each wait of the machine, and so along each line too. It is of one sequence with the orders of tied
    /// holds: whoever got the lock after this wait began has a higher one.
    order: u64,
    began: Now,
    deadline: Now,
    by_beginning: Links<Wait>,
    timer: Links<Wait>,
    place: Place,
}

impl Wait {
    /// The lock that is waited for.
    pub(crate) fn lock(&self) -> Id<Lock> {
        self.lock
    }

    /// Whose wait it is.
    pub(crate) fn by(&self) -> Id<Connection> {
        self.by
    }

    /// Ascends with each wait of the machine, and so along each line too.
    pub(crate) fn order(&self) -> u64 {
        self.order
    }

    pub(crate) fn began(&self) -> Now {
        self.began
    }

    pub(crate) fn deadline(&self) -> Now {
        self.deadline
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn place_mut(&mut self) -> &mut Place {
        &mut self.place
    }
}

impl Timed for Wait {
    fn deadline(&self) -> Now {
        self.deadline
    }

    fn timer(&self) -> &Links<Self> {
        &self.timer
    }

    fn timer_mut(&mut self) -> &mut Links<Self> {
        &mut self.timer
    }
}

/// All waits, by beginning.
struct ByBeginning;

impl Chain for ByBeginning {
    type Value = Wait;

    fn links(wait: &Wait) -> &Links<Wait> {
        &wait.by_beginning
    }

    fn links_mut(wait: &mut Wait) -> &mut Links<Wait> {
        &mut wait.by_beginning
    }
}

/// All waits.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    slots: Slab<Wait>,
    timers: Timers<Wait>,
    by_beginning: List<ByBeginning>,
}

impl Waits {
    pub(super) fn new(chunk_slots: u32) -> Self {
        Self { slots: Slab::new(chunk_slots), timers: Timers::new(), by_beginning: List::EMPTY }
    }

    pub(crate) fn len(&self) -> u32 {
        self.slots.len()
    }

    pub(crate) fn slots(&self) -> &Slab<Wait> {
        &self.slots
    }

    /// The wait that began first.
    pub(crate) fn oldest(&self) -> Option<Id<Wait>> {
        self.by_beginning.first()
    }

    /// The wait that began last.
    pub(crate) fn newest(&self) -> Option<Id<Wait>> {
        self.by_beginning.last()
    }

    /// All waits, by beginning.
    pub(crate) fn by_beginning(&self) -> impl Iterator<Item = (Id<Wait>, &Wait)> {
        self.by_beginning.iter(&self.slots)
    }

    /// Nothing is due before this. If nothing is set, it is the end of time.
    #[inline]
    pub(crate) fn nothing_before(&self) -> Now {
        self.timers.nothing_before()
    }

    /// The same; `None` if nobody waits.
    pub(crate) fn next_due(&self) -> Option<Now> {
        self.timers.next()
    }

    /// The wait with the earliest deadline, if that deadline has come.
    #[inline]
    pub(super) fn due(&mut self, now: Now) -> Option<Id<Wait>> {
        self.timers.due(&mut self.slots, now)
    }

    /// Begins a wait. The caller must then put it into its line. Every wait that is due by `now` must have ended
    /// before. `order` must be the highest yet.
    pub(super) fn begin(
        &mut self,
        lock: Id<Lock>,
        by: Id<Connection>,
        (order, place): (u64, Place),
        (now, deadline): (Now, Now),
    ) -> Id<Wait> {
        let id = self.slots.insert(Wait {
            lock,
            by,
            order,
            began: now,
            deadline,
            by_beginning: Links::NONE,
            timer: Links::NONE,
            place,
        });
        self.by_beginning.push_back(&mut self.slots, id);
        self.timers.set(&mut self.slots, id, now);
        id
    }

    /// Ends a wait. It must have left its line.
    pub(super) fn end(&mut self, id: Id<Wait>) -> Wait {
        self.timers.take_back(&mut self.slots, id);
        let wait = self.slots.remove(id);
        self.by_beginning.close_gap(&mut self.slots, id, wait.by_beginning);
        wait
    }

    /// Checks the links of the order of beginning. Returns how many waits are in it.
    ///
    /// # Errors
    ///
    /// The first link that is wrong.
    pub(crate) fn check_beginnings(&self) -> Result<u32, Broken> {
        self.by_beginning.check(|id| self.slots.get(id))
    }

    /// Checks that each deadline is where it belongs in the timers. Returns how many are set.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn check_deadlines(&self) -> Result<u32, String> {
        self.timers.check(&self.slots)
    }
}

impl std::ops::Index<Id<Wait>> for Waits {
    type Output = Wait;

    #[inline]
    fn index(&self, id: Id<Wait>) -> &Wait {
        &self.slots[id]
    }
}

impl std::ops::IndexMut<Id<Wait>> for Waits {
    #[inline]
    fn index_mut(&mut self, id: Id<Wait>) -> &mut Wait {
        &mut self.slots[id]
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
