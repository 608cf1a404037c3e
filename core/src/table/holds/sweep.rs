//! The end of a tenure, and the storage that it leaves behind: the slots of its sole holds. They are freed a few at a
//! time, or used again by a get of the same name. Until then everybody sees these locks as free.

use super::Holds;
use crate::probe::{Mark, reach};
use crate::storage::{Broken, Id, List};
use crate::table::lock::Lock;
use crate::table::tenure::{Tenure, ToSweep};
use crate::types::{ByKind, Now};

/// What is dead and still has storage.
#[derive(Clone, Debug)]
pub(super) struct Dead {
    /// The first to be swept is at the front.
    tenures: List<ToSweep>,
    /// Their sole holds, whose storage is not freed yet.
    holds: u32,
}

impl Dead {
    pub(super) const NONE: Self = Self { tenures: List::EMPTY, holds: 0 };
}

impl Holds {
    /// Ends a tenure and all it holds, in one step. Nothing that comes later sees any of it. Costs O(1), and O(1) more
    /// for each tied hold. Sole holds leave storage behind for `sweep`. Returns how many holds ended, and the
    /// bytes of their names that are stored outside the slots.
    pub(crate) fn end(&mut self, id: Id<Tenure>, now: Now) -> (ByKind<u32>, u64) {
        let tenure = &mut self.tenures[id];
        tenure.end(now);
        let holds = ByKind::from_fn(|kind| tenure.count(kind));
        let soles = tenure.sole_count();
        let mut outer_bytes = tenure.sole_name_bytes();
        self.counts.remove_tenure(holds, soles, outer_bytes);
        while let Some(hold) = self.tenures[id].tied().first() {
            cost!(HoldEnded);
            let (left, of_name) = self.untie(hold, now);
            outer_bytes += of_name;
            reach(match left {
                0 => Mark::OrphaningFreedATiedLock,
                _ => Mark::OrphaningLeftOtherHolders,
            });
        }
        if soles.total() == 0 {
            self.tenures.remove(id);
        } else {
            mark!(OrphaningLeftSoleHolds);
            self.dead.holds += soles.total();
            self.dead.tenures.push_back(&mut self.tenures, id);
        }
        (holds, outer_bytes)
    }

    /// Frees the storage of up to `limit` dead holds, and of fewer if their names are very long. Returns how many it
    /// freed.
    #[inline]
    pub(crate) fn sweep(&mut self, limit: u32) -> u32 {
        if self.is_swept() { 0 } else { self.sweep_dead(limit) }
    }

    fn sweep_dead(&mut self, limit: u32) -> u32 {
        let (mut swept, mut work) = (0, 0_u64);
        while work < u64::from(limit) {
            let Some(tenure) = self.dead.tenures.first() else { break };
            cost!(SlotSwept);
            let lock = self.tenures[tenure].soles().first().expect("a dead tenure still has storage");
            self.take_from_dead(lock);
            let long_bytes = self.locks.remove(lock);
            swept += 1;
            work += 1 + long_bytes as u64 / Self::BYTES_PER_HOLD;
        }
        swept
    }

    /// So many bytes of a dead name count as one more hold to be swept: what is freed may make others move.
    const BYTES_PER_HOLD: u64 = 8 << 10;

    /// Whether `sweep` has nothing to do.
    #[inline]
    pub(crate) fn is_swept(&self) -> bool {
        self.dead.tenures.is_empty()
    }

    /// Takes a lock out of the list of its dead tenure. Removes the tenure if that was its last lock.
    pub(super) fn take_from_dead(&mut self, lock: Id<Lock>) {
        let tenure = self.unlink_sole(lock);
        let Self { locks, tenures, counts, dead, .. } = self;
        let (of, lock) = (&tenures[tenure], &locks[lock]);
        counts.note_hold(lock.kind(), lock.since().until(of.ended()));
        dead.holds -= 1;
        if of.soles().is_empty() {
            dead.tenures.remove(tenures, tenure);
            tenures.remove(tenure);
        }
    }

    /// Dead holds whose storage is not freed yet.
    pub(crate) fn dead(&self) -> u32 {
        self.dead.holds
    }

    /// The dead tenures, the first to be swept in front.
    pub(crate) fn dead_tenures(&self) -> impl Iterator<Item = (Id<Tenure>, &Tenure)> {
        self.dead.tenures.iter(&self.tenures)
    }

    /// Checks the links of the list of dead tenures. Returns how many are in it.
    ///
    /// # Errors
    ///
    /// The first link that is wrong.
    pub(crate) fn check_dead_tenures(&self) -> Result<u32, Broken> {
        self.dead.tenures.check(|id| self.tenures.get(id))
    }
}
