//! When waits end: a timing wheel. To set or take back a deadline costs the same however many waits there are. An input
//! that comes before the next deadline pays one comparison.
//!
//! The structure is the hierarchical wheel of Varghese and Lauck ("Hashed and Hierarchical Timing Wheels", 1987)
//! over absolute times, with a list in each slot.

use crate::storage::{Chain, Id, Links, List, Slab};
use crate::types::Now;

use std::marker::PhantomData;

/// What falls due.
pub(super) trait Timed: Sized {
    /// The time at which it is due. It must not change while it is set.
    fn deadline(&self) -> Now;

    /// Its links in the list of a slot.
    fn timer(&self) -> &Links<Self>;

    /// The same links, to change them.
    fn timer_mut(&mut self) -> &mut Links<Self>;
}

/// The values set in one slot, in the order of setting.
struct InSlot<T>(PhantomData<T>);

impl<T: Timed> Chain for InSlot<T> {
    type Value = T;

    fn links(value: &T) -> &Links<T> {
        value.timer()
    }

    fn links_mut(value: &mut T) -> &mut Links<T> {
        value.timer_mut()
    }
}

/// Deadlines, in levels of 64 slots. A slot of the lowest level is one millisecond, of the next 64, and so on.
///
/// ```text
///   time reached:  ...|digit 2|digit 1|digit 0|      digits of six bits
///   a deadline whose highest digit that differs from it is  0: level 0, in the slot of its digit 0
///                                                           1: level 1, in the slot of its digit 1, ...
/// ```
/// So the earliest deadline is in the lowest occupied level, in its lowest occupied slot. When time comes to a slot of
/// a higher level, its values move to the levels below. They move in their order, and before anything else can be set
/// there. So of deadlines at the same time, the one set first always comes first.
#[derive(Clone, Debug)]
pub(super) struct Timers<T: Timed> {
    /// Every deadline that is set is at this time or later.
    reached: u64,
    /// Nothing is due before this. It may be earlier than the first deadline. If nothing is set, it is the end of time.
    next: u64,
    /// The levels that were ever needed.
    levels: Vec<Level<T>>,
}

#[derive(Clone, Debug)]
struct Level<T: Timed> {
    /// A bit for each slot that has something in it.
    occupied: u64,
    slots: [List<InSlot<T>>; SLOTS],
}

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;

impl<T: Timed> Timers<T> {
    pub(super) const fn new() -> Self {
        Self { reached: 0, next: u64::MAX, levels: Vec::new() }
    }

    /// Nothing is due before this. If nothing is set, it is the end of time.
    #[inline]
    pub(super) fn nothing_before(&self) -> Now {
        Now(self.next)
    }

    /// The same; `None` if nothing is set.
    pub(super) fn next(&self) -> Option<Now> {
        self.lowest().map(|_| Now(self.next))
    }

    /// Sets a value by its deadline. [`due`](Self::due) turns the wheel, so it must have been called before until it
    /// found nothing more at `now`.
    pub(super) fn set(&mut self, slots: &mut Slab<T>, id: Id<T>, Now(now): Now) {
        let is_turned = now < self.next || self.lowest().is_none();
        assert!(is_turned, "what is due must be taken before a deadline is set");
        assert!(slots[id].deadline().0 > now, "a deadline lies ahead");
        self.reached = self.reached.max(now);
        self.put(slots, id);
        self.look();
    }

    /// Takes a deadline back.
    pub(super) fn take_back(&mut self, slots: &mut Slab<T>, id: Id<T>) {
        let (level, slot) = self.place(slots[id].deadline());
        let list = &mut self.levels[level].slots[slot];
        list.remove(slots, id);
        if list.is_empty() {
            self.levels[level].occupied &= !(1 << slot);
        }
        self.look();
    }

    /// The first value that is due by `now`. Of several due at the same time it is the one set first. It stays set
    /// until it is taken back.
    #[inline]
    pub(super) fn due(&mut self, slots: &mut Slab<T>, Now(now): Now) -> Option<Id<T>> {
        if now < self.next {
            return None;
        }
        self.due_in_slots(slots, now)
    }

    fn due_in_slots(&mut self, slots: &mut Slab<T>, now: u64) -> Option<Id<T>> {
        while self.next <= now {
            let (level, slot) = self.lowest()?;
            let level_slots = &mut self.levels[level].slots;
            if level == 0 {
                return level_slots[slot].first();
            }
            // The slot's time has come: its values move to lower levels.
            let mut next = std::mem::replace(&mut level_slots[slot], List::EMPTY).first();
            self.reached = self.next;
            self.levels[level].occupied &= !(1 << slot);
            while let Some(moving) = next {
                next = slots[moving].timer().next();
                self.put(slots, moving);
            }
            self.look();
        }
        None
    }

    fn put(&mut self, slots: &mut Slab<T>, id: Id<T>) {
        let (level, slot) = self.place(slots[id].deadline());
        while self.levels.len() <= level {
            self.levels.push(Level { occupied: 0, slots: [const { List::EMPTY }; SLOTS] });
        }
        let level = &mut self.levels[level];
        level.occupied |= 1 << slot;
        level.slots[slot].push_back(slots, id);
    }

    /// Where a deadline belongs: its level and its slot there.
    fn place(&self, Now(deadline): Now) -> (usize, usize) {
        let differing = (deadline ^ self.reached) | (SLOTS as u64 - 1);
        let level = differing.ilog2() / DIGIT_BITS;
        let slot = (deadline >> (level * DIGIT_BITS)) as usize % SLOTS;
        (level as usize, slot)
    }

    /// The lowest occupied level, and its lowest occupied slot.
    fn lowest(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// Sets `next` to the beginning of the earliest occupied slot.
    fn look(&mut self) {
        self.next = self.lowest().map_or(u64::MAX, |(level, slot)| {
            let shift = level as u32 * DIGIT_BITS;
            // The digits above are those of the time reached. The digits below are zero.
            let above = self.reached.checked_shr(shift + DIGIT_BITS).unwrap_or(0);
            ((above << DIGIT_BITS) | slot as u64) << shift
        });
    }

    /// Checks every slot's list, and that each value is where it belongs. Returns how many are set.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(super) fn check(&self, slots: &Slab<T>) -> Result<u32, String> {
        let mut set = 0;
        for (number, level) in self.levels.iter().enumerate() {
            for (slot, list) in level.slots.iter().enumerate() {
                let at = |broken| format!("slot {slot} of level {number}: {broken}");
                set += list.check(|id| slots.get(id)).map_err(at)?;
                if list.is_empty() != (level.occupied >> slot & 1 == 0) {
                    return Err(format!("slot {slot} of level {number} is empty, or not, against its bit"));
                }
                let is_wrong = |(_, value): &(Id<T>, &T)| self.place(value.deadline()) != (number, slot);
                if let Some((id, _)) = list.iter(slots).find(is_wrong) {
                    return Err(format!("the deadline of {id:?} lies in the wrong slot"));
                }
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    /// Something that falls due, numbered.
    #[derive(Clone, Debug)]
    struct Alarm {
        number: u64,
        deadline: Now,
        timer: Links<Self>,
    }

    impl Timed for Alarm {
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

    fn alarm(number: u64, deadline: u64) -> Alarm {
        Alarm { number, deadline: Now(deadline), timer: Links::NONE }
    }

    /// Takes back everything that is due by `now`. Returns the alarms' numbers.
    fn take_due(timers: &mut Timers<Alarm>, alarms: &mut Slab<Alarm>, now: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(id) = timers.due(alarms, Now(now)) {
            timers.take_back(alarms, id);
            taken.push(alarms.remove(id).number);
        }
        taken
    }

    #[test]
    fn deadlines_come_in_order_and_equal_ones_in_the_order_of_setting() {
        let (mut timers, mut alarms) = (Timers::new(), Slab::new(2));
        let deadlines = [100, 5, 5, 70_000, 64, 63, u64::MAX, 100, 1 << 40];
        for (number, deadline) in (0..).zip(deadlines) {
            let id = alarms.insert(alarm(number, deadline));
            timers.set(&mut alarms, id, Now(3));
        }
        assert_eq!(timers.next(), Some(Now(5)));
        assert_eq!(take_due(&mut timers, &mut alarms, 4), [0_u64; 0]);
        assert_eq!(take_due(&mut timers, &mut alarms, 5), [1, 2]);
        assert_eq!(take_due(&mut timers, &mut alarms, 100), [5, 4, 0, 7]);
        assert_eq!(take_due(&mut timers, &mut alarms, u64::MAX - 1), [3, 8]);
        assert_eq!(take_due(&mut timers, &mut alarms, u64::MAX), [6]);
        assert_eq!(timers.next(), None);
    }

    quickcheck! {
        /// Goal: the wheel behaves as a sorted list. Method: deadlines are set and taken back and time passes at
        /// random, with spans from a millisecond to weeks, beside a vector that is searched.
        fn the_wheel_does_what_a_sorted_list_does(steps: Vec<(u8, u8, u16)>) -> bool {
            let (mut timers, mut alarms) = (Timers::new(), Slab::new(2));
            let mut list: Vec<(u64, u64, Id<Alarm>)> = Vec::new();
            let mut now = 0;
            for (number, (what, scale, span)) in (0..).zip(steps) {
                let span = u64::from(span) << (scale % 32);
                match what % 4 {
                    0 | 1 => {
                        let deadline = now + 1 + span;
                        let id = alarms.insert(alarm(number, deadline));
                        timers.set(&mut alarms, id, Now(now));
                        list.push((deadline, number, id));
                    }
                    2 if !list.is_empty() => {
                        let (_, _, id) = list.swap_remove(span as usize % list.len());
                        timers.take_back(&mut alarms, id);
                        alarms.remove(id);
                    }
                    _ => {
                        now += span;
                        list.sort_by_key(|(deadline, number, _)| (*deadline, *number));
                        let due = list.partition_point(|(deadline, ..)| *deadline <= now);
                        let expected: Vec<u64> = list.drain(..due).map(|(_, number, _)| number).collect();
                        if take_due(&mut timers, &mut alarms, now) != expected {
                            return false;
                        }
                    }
                }
                let first = list.iter().map(|(deadline, ..)| *deadline).min();
                let is_early_enough = match (timers.next(), first) {
                    (Some(Now(next)), Some(first)) => now < next && next <= first,
                    (next, first) => next.is_none() && first.is_none(),
                };
                if !is_early_enough || timers.check(&alarms) != Ok(list.len() as u32) {
                    return false;
                }
            }
            true
        }
    }
}
