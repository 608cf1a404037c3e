//! When waits end: a timing wheel. Setting and taking back a deadline cost the same however many waits there
//! are, and an input that comes before the next deadline pays one comparison.
//!
//! The structure is the hierarchical wheel of Varghese and Lauck ("Hashed and Hierarchical Timing Wheels", 1987)
//! over absolute times, with a list in each slot.

use super::wait::Wait;
use crate::storage::{Id, Slab};
use crate::types::Now;

/// Deadlines, in levels of 64 slots. A slot of the lowest level is one millisecond, of the next 64, and so on.
///
/// ```text
///   time reached:  ...|digit 2|digit 1|digit 0|      digits of six bits
///   a deadline whose highest digit that differs from it is  0: level 0, in the slot of its digit 0
///                                                           1: level 1, in the slot of its digit 1, ...
/// ```
/// So the lowest level that has any has the earliest, in its lowest slot. When time comes to a slot of a higher
/// level, what is in it moves to the levels below. It moves in its order, and before anything else can come
/// there: of deadlines at the same time, the one set first is always the first.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    /// Nothing is set for before this.
    reached: u64,
    /// Nothing is due before this; the end of time when nothing is set. It may come before the first deadline.
    next: u64,
    /// Those that were ever needed.
    levels: Vec<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    /// A bit for each slot that has something in it.
    occupied: u64,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    first: Option<Id<Wait>>,
    last: Option<Id<Wait>>,
}

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { reached: 0, next: u64::MAX, levels: Vec::new() }
    }

    /// Nothing is due before this; `None` when nothing is set at all.
    pub(crate) fn next(&self) -> Option<Now> {
        self.lowest().map(|_| Now(self.next))
    }

    /// Sets the deadline that the wait has. [`due`](Self::due) must have found nothing more at `now`: it is what
    /// turns the wheel.
    pub(crate) fn set(&mut self, waits: &mut Slab<Wait>, id: Id<Wait>, Now(now): Now) {
        let is_turned = now < self.next || self.lowest().is_none() || bug!(GrantAfterDeadline);
        assert!(is_turned, "what is due comes before what is set");
        assert!(waits[id].deadline.0 > now, "a deadline lies ahead");
        self.reached = self.reached.max(now);
        self.put(waits, id);
        self.look();
    }

    /// Takes a deadline back.
    pub(crate) fn take_back(&mut self, waits: &mut Slab<Wait>, id: Id<Wait>) {
        let Wait { deadline, sooner, later, .. } = waits[id];
        let (level, slot) = self.place(deadline.0);
        let list = &mut self.levels[level].slots[slot];
        match sooner {
            Some(sooner) => waits[sooner].later = later,
            None => list.first = later,
        }
        match later {
            Some(later) => waits[later].sooner = sooner,
            None => list.last = sooner,
        }
        if list.first.is_none() {
            self.levels[level].occupied &= !(1 << slot);
        }
        self.look();
    }

    /// The wait that is due first, if it is due by `now`; of several due at the same time, the one set first.
    /// It stays set: the end of the wait takes its deadline back.
    #[inline]
    pub(crate) fn due(&mut self, waits: &mut Slab<Wait>, Now(now): Now) -> Option<Id<Wait>> {
        if now < self.next {
            return None;
        }
        self.due_in_slots(waits, now)
    }

    fn due_in_slots(&mut self, waits: &mut Slab<Wait>, now: u64) -> Option<Id<Wait>> {
        while self.next <= now {
            let (level, slot) = self.lowest()?;
            let first = self.levels[level].slots[slot].first;
            if level == 0 {
                return first;
            }
            // Its time has come: everything in it gets a place further down.
            self.reached = self.next;
            self.levels[level].slots[slot] = Slot::default();
            self.levels[level].occupied &= !(1 << slot);
            let mut moving = first;
            while let Some(id) = moving {
                moving = waits[id].later;
                self.put(waits, id);
            }
            self.look();
        }
        None
    }

    fn put(&mut self, waits: &mut Slab<Wait>, id: Id<Wait>) {
        let (level, slot) = self.place(waits[id].deadline.0);
        while self.levels.len() <= level {
            self.levels.push(Level { occupied: 0, slots: [Slot::default(); SLOTS] });
        }
        let level = &mut self.levels[level];
        level.occupied |= 1 << slot;
        let list = &mut level.slots[slot];
        let sooner = list.last.replace(id);
        match sooner {
            Some(sooner) => waits[sooner].later = Some(id),
            None => list.first = Some(id),
        }
        let wait = &mut waits[id];
        (wait.sooner, wait.later) = (sooner, None);
    }

    /// Where a deadline belongs: its level and its slot there.
    fn place(&self, deadline: u64) -> (usize, usize) {
        let differing = (deadline ^ self.reached) | (SLOTS as u64 - 1);
        let level = differing.ilog2() / DIGIT_BITS;
        let slot = (deadline >> (level * DIGIT_BITS)) as usize % SLOTS;
        (level as usize, slot)
    }

    /// The lowest level that has something in it, and its lowest slot that has.
    fn lowest(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// Looks up when the earliest slot begins.
    fn look(&mut self) {
        self.next = self.lowest().map_or(u64::MAX, |(level, slot)| {
            let shift = level as u32 * DIGIT_BITS;
            // The digits above are those of the time reached, those below are zero.
            let above = self.reached.checked_shr(shift + DIGIT_BITS).unwrap_or(0);
            ((above << DIGIT_BITS) | slot as u64) << shift
        });
    }

    /// Every wait that is set, in no order that means anything; and whether each lies where it belongs.
    pub(crate) fn set_ones<'a>(
        &'a self,
        waits: &'a Slab<Wait>,
    ) -> impl Iterator<Item = (Id<Wait>, bool)> + 'a {
        let slots = self.levels.iter().enumerate().flat_map(|(level, of)| {
            of.slots.iter().enumerate().map(move |(slot, list)| (level, slot, list.first))
        });
        slots.flat_map(move |(level, slot, first)| {
            let ids =
                std::iter::successors(first, |id| waits.at(id.position()).and_then(|(_, wait)| wait.later));
            // A list that is a ring would never end.
            ids.take(waits.len() as usize + 1).map(move |id| {
                let is_right = waits
                    .at(id.position())
                    .is_some_and(|(_, wait)| self.place(wait.deadline.0) == (level, slot));
                (id, is_right)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::wait::test_wait;
    use quickcheck::quickcheck;

    /// Takes everything that is due by a time: numbers given at setting.
    fn take_due(timers: &mut Timers, waits: &mut Slab<Wait>, now: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(id) = timers.due(waits, Now(now)) {
            timers.take_back(waits, id);
            taken.push(waits.remove(id).order);
        }
        taken
    }

    #[test]
    fn deadlines_come_in_order_and_equal_ones_in_the_order_of_setting() {
        let (mut timers, mut waits) = (Timers::new(), Slab::new(2));
        let deadlines = [100, 5, 5, 70_000, 64, 63, u64::MAX, 100, 1 << 40];
        for (number, deadline) in (0..).zip(deadlines) {
            let id = waits.insert(test_wait(number, Now(deadline)));
            timers.set(&mut waits, id, Now(3));
        }
        assert_eq!(timers.next(), Some(Now(5)));
        assert_eq!(take_due(&mut timers, &mut waits, 4), [0_u64; 0]);
        assert_eq!(take_due(&mut timers, &mut waits, 5), [1, 2]);
        assert_eq!(take_due(&mut timers, &mut waits, 100), [5, 4, 0, 7]);
        assert_eq!(take_due(&mut timers, &mut waits, u64::MAX - 1), [3, 8]);
        assert_eq!(take_due(&mut timers, &mut waits, u64::MAX), [6]);
        assert_eq!(timers.next(), None);
    }

    quickcheck! {
        /// Goal: the wheel is a sorted list. Method: random steps of setting, taking back and letting time
        /// pass, with spans from a millisecond to weeks, beside a vector that is searched.
        fn the_wheel_does_what_a_sorted_list_does(steps: Vec<(u8, u8, u16)>) -> bool {
            let (mut timers, mut waits) = (Timers::new(), Slab::new(2));
            let mut list: Vec<(u64, u64, Id<Wait>)> = Vec::new();
            let mut now = 0;
            for (number, (what, scale, span)) in (0..).zip(steps) {
                let span = u64::from(span) << (scale % 32);
                match what % 4 {
                    0 | 1 => {
                        let deadline = now + 1 + span;
                        let id = waits.insert(test_wait(number, Now(deadline)));
                        timers.set(&mut waits, id, Now(now));
                        list.push((deadline, number, id));
                    }
                    2 if !list.is_empty() => {
                        let (_, _, id) = list.swap_remove(span as usize % list.len());
                        timers.take_back(&mut waits, id);
                        waits.remove(id);
                    }
                    _ => {
                        now += span;
                        list.sort_by_key(|(deadline, number, _)| (*deadline, *number));
                        let due = list.partition_point(|(deadline, ..)| *deadline <= now);
                        let expected: Vec<u64> = list.drain(..due).map(|(_, number, _)| number).collect();
                        if take_due(&mut timers, &mut waits, now) != expected {
                            return false;
                        }
                    }
                }
                let first = list.iter().map(|(deadline, ..)| *deadline).min();
                let is_early_enough = match (timers.next(), first) {
                    (Some(Now(next)), Some(first)) => now < next && next <= first,
                    (next, first) => next.is_none() && first.is_none(),
                };
                if !is_early_enough || timers.set_ones(&waits).filter(|(_, is_right)| *is_right).count() != list.len() {
                    return false;
                }
            }
            true
        }
    }
}
