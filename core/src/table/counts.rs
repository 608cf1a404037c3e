//! How much there is in the table: names, holds and waits now, and how long those lasted that are over. The counts
//! change in the same step as what they count; nothing is decided here.

use super::lock::Lock;
use super::tie::TiedHold;
use super::times::Times;
use crate::storage::Slab;
use crate::types::{ByKind, Kind};

/// What is counted, most of it by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    live: ByKind<u32>,
    held: ByKind<u32>,
    name_bytes: u64,
    waiting: ByKind<u32>,
    hold_times: ByKind<Times>,
    wait_times: ByKind<Times>,
}

impl Counts {
    /// Holds of live tenures.
    #[inline]
    pub(crate) fn live(&self) -> ByKind<u32> {
        self.live
    }

    /// Distinct names held now.
    pub(crate) fn held(&self) -> ByKind<u32> {
        self.held
    }

    /// Bytes of those names that stand outside the slots.
    pub(crate) fn name_bytes(&self) -> u64 {
        self.name_bytes
    }

    /// Waits now.
    pub(crate) fn waiting(&self) -> ByKind<u32> {
        self.waiting
    }

    /// How long the holds lasted that are over; without those that are dead and not yet swept.
    pub(crate) fn hold_times(&self) -> &ByKind<Times> {
        &self.hold_times
    }

    /// How long the waits lasted that are over.
    pub(crate) fn wait_times(&self) -> &ByKind<Times> {
        &self.wait_times
    }

    /// Bytes that the live holds take: a slot for each name, a record for each further holder, and
    /// names too long for their slots. It leaves out what is dead, so that no figure depends on how far
    /// sweeping has come, and the indexes, which take 4 to 8 bytes for each of those, and after a peak up to 32.
    #[inline]
    pub(crate) fn live_bytes(&self) -> u64 {
        let names = self.held.map(u64::from).total();
        let holds = self.live.map(u64::from).total();
        names * Slab::<Lock>::slot_bytes() as u64
            + (holds - names) * Slab::<TiedHold>::slot_bytes() as u64
            + self.name_bytes
    }

    /// A hold began.
    #[inline]
    pub(super) fn add_hold(&mut self, kind: Kind) {
        self.live[kind] += 1;
    }

    /// A hold is over.
    #[inline]
    pub(super) fn remove_hold(&mut self, kind: Kind) {
        self.live[kind] -= 1;
    }

    /// A name has its first holder; so many bytes of it stand outside its slot.
    #[inline]
    pub(super) fn add_name(&mut self, kind: Kind, outer_bytes: u64) {
        self.held[kind] += 1;
        self.name_bytes += outer_bytes;
    }

    /// A name has no holder any more; so many bytes of it stood outside its slot.
    #[inline]
    pub(super) fn remove_name(&mut self, kind: Kind, outer_bytes: u64) {
        self.held[kind] -= 1;
        self.name_bytes -= outer_bytes;
    }

    /// A tenure ended that held so much: these holds, of which `soles` were the only ones of their names, and so many
    /// bytes of those names stood outside their slots.
    pub(super) fn remove_tenure(&mut self, holds: ByKind<u32>, soles: ByKind<u32>, outer_bytes: u64) {
        for kind in Kind::ALL {
            self.live[kind] -= holds[kind];
            self.held[kind] -= if bug!(OrphaningKeepsSoleCounts) { 0 } else { soles[kind] };
        }
        self.name_bytes -= outer_bytes;
    }

    /// A hold lasted this long.
    #[inline]
    pub(super) fn note_hold(&mut self, kind: Kind, ms: u64) {
        self.hold_times[kind].note(ms);
    }

    /// A wait began.
    pub(super) fn add_wait(&mut self, kind: Kind) {
        self.waiting[kind] += 1;
    }

    /// A wait is over, which lasted this long.
    pub(super) fn remove_wait(&mut self, kind: Kind, ms: u64) {
        self.waiting[kind] -= 1;
        self.wait_times[kind].note(ms);
    }

    /// Sets what a snapshot says of holds and waits that are over.
    pub(super) fn restore_times(&mut self, hold_times: ByKind<Times>, wait_times: ByKind<Times>) {
        (self.hold_times, self.wait_times) = (hold_times, wait_times);
    }
}
