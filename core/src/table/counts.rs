//! How much the table holds: names, holds and waits now, and how long past holds and waits lasted. The counts change in
//! the same step as what they count. Nothing is decided here.

use super::line::Aim;
use super::lock::Lock;
use super::memory;
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
    /// What holds and waits count for the limit of memory.
    memory: u64,
    waiting: ByKind<u32>,
    ending: ByKind<u32>,
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

    /// Bytes of those names that are stored outside the slots.
    pub(crate) fn name_bytes(&self) -> u64 {
        self.name_bytes
    }

    /// Waits in lines now.
    pub(crate) fn waiting(&self) -> ByKind<u32> {
        self.waiting
    }

    /// Waits for ends now.
    pub(crate) fn ending(&self) -> ByKind<u32> {
        self.ending
    }

    /// How long past holds lasted. Dead holds are missing until they are swept.
    pub(crate) fn hold_times(&self) -> &ByKind<Times> {
        &self.hold_times
    }

    /// How long past waits lasted.
    pub(crate) fn wait_times(&self) -> &ByKind<Times> {
        &self.wait_times
    }

    /// Bytes that the live holds take: a slot for each name, a record for each further holder, and names too long for
    /// their slots. Dead holds are left out, so that no figure depends on how far sweeping has come. The indexes are
    /// left out too. They take 4 to 8 bytes for each name or record, and up to 32 after a peak.
    #[inline]
    pub(crate) fn live_bytes(&self) -> u64 {
        let names = self.held.map(u64::from).total();
        let holds = self.live.map(u64::from).total();
        names * Slab::<Lock>::slot_bytes() as u64
            + (holds - names) * Slab::<TiedHold>::slot_bytes() as u64
            + self.name_bytes
    }

    /// What holds and waits count for the limit of memory.
    #[inline]
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    /// Counts a hold that began.
    #[inline]
    pub(super) fn add_hold(&mut self, kind: Kind) {
        self.memory += memory::HOLD;
        self.live[kind] += 1;
    }

    /// Counts a hold that ended.
    #[inline]
    pub(super) fn remove_hold(&mut self, kind: Kind) {
        self.memory -= memory::HOLD;
        self.live[kind] -= 1;
    }

    /// Counts a name that got its first holder. `outer_bytes` of it are stored outside its slot.
    #[inline]
    pub(super) fn add_name(&mut self, kind: Kind, outer_bytes: u64) {
        self.held[kind] += 1;
        self.name_bytes += outer_bytes;
        self.memory += memory::NAME + outer_bytes;
    }

    /// Counts a name that lost its last holder. `outer_bytes` of it were stored outside its slot.
    #[inline]
    pub(super) fn remove_name(&mut self, kind: Kind, outer_bytes: u64) {
        self.held[kind] -= 1;
        self.name_bytes -= outer_bytes;
        self.memory -= memory::NAME + outer_bytes;
    }

    /// Counts the end of a tenure with all its `holds`. `soles` of these were sole holds, and their names had
    /// `outer_bytes` outside the slots.
    pub(super) fn remove_tenure(&mut self, holds: ByKind<u32>, soles: ByKind<u32>, outer_bytes: u64) {
        for kind in Kind::ALL {
            self.live[kind] -= holds[kind];
            self.held[kind] -= if bug!(OrphaningKeepsSoleCounts) { 0 } else { soles[kind] };
        }
        self.name_bytes -= outer_bytes;
        let (holds, names) = (holds.map(u64::from).total(), soles.map(u64::from).total());
        self.memory -= holds * memory::HOLD + names * memory::NAME + outer_bytes;
    }

    /// Counts how long a hold lasted.
    #[inline]
    pub(super) fn note_hold(&mut self, kind: Kind, ms: u64) {
        self.hold_times[kind].note(ms);
    }

    /// Counts a wait that began.
    pub(super) fn add_wait(&mut self, kind: Kind, aim: Aim) {
        self.going_on(aim)[kind] += 1;
        self.memory += memory::WAIT;
    }

    /// Counts a wait that ended after `ms` milliseconds.
    pub(super) fn remove_wait(&mut self, kind: Kind, aim: Aim, ms: u64) {
        self.going_on(aim)[kind] -= 1;
        self.memory -= memory::WAIT;
        self.wait_times[kind].note(ms);
    }

    fn going_on(&mut self, aim: Aim) -> &mut ByKind<u32> {
        match aim {
            Aim::Lock { .. } => &mut self.waiting,
            Aim::End => &mut self.ending,
        }
    }

    /// Restores from a snapshot how long past holds and waits lasted.
    pub(super) fn restore_times(&mut self, hold_times: ByKind<Times>, wait_times: ByKind<Times>) {
        (self.hold_times, self.wait_times) = (hold_times, wait_times);
    }
}
