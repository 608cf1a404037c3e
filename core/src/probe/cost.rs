//! Costs: how often a step does what takes time when there is much of it, such as looking at a slot. Tests count them
//! instead of reading a clock, so a bound holds on every computer.
//!
//! They exist only with the feature `marks`, which only the tests switch on. Without it [`pay`] does nothing and is
//! compiled away. Each thread has its own counts. No decision may ever depend on them.

/// Something that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// An index looked at a slot.
    SlotSeen,
    /// An index that grew or shrank moved a slot to another bucket.
    SlotMoved,
    /// A deadlock check looked at a hold.
    HoldSearched,
    /// A deadlock check passed a wait in a line.
    WaitSearched,
    /// The end of a tenure released a tied hold.
    HoldEnded,
    /// The slot of a dead hold was freed.
    SlotSwept,
}

impl Cost {
    /// How many sorts there are.
    pub const COUNT: usize = 6;
}

/// What was paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill([u64; Cost::COUNT]);

impl std::ops::Index<Cost> for Bill {
    type Output = u64;

    fn index(&self, cost: Cost) -> &u64 {
        &self.0[cost as usize]
    }
}

#[cfg(feature = "marks")]
mod counted {
    use super::{Bill, Cost};
    use std::cell::Cell;

    thread_local! {
        static PAID: [Cell<u64>; Cost::COUNT] = const { [const { Cell::new(0) }; Cost::COUNT] };
    }

    /// Counts a cost for this thread.
    pub(crate) fn pay(cost: Cost) {
        PAID.with(|paid| paid[cost as usize].set(paid[cost as usize].get() + 1));
    }

    /// What this thread has paid since it last asked.
    #[must_use]
    pub fn bill() -> Bill {
        PAID.with(|paid| Bill(paid.each_ref().map(Cell::take)))
    }
}

#[cfg(feature = "marks")]
pub use counted::bill;
#[cfg(feature = "marks")]
pub(crate) use counted::pay;

/// Does nothing in a build without marks.
#[cfg(not(feature = "marks"))]
pub(crate) const fn pay(_: Cost) {}
