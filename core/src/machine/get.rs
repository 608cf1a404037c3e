//! Getting a lock: at once, not at all, or by waiting. The order in which the questions are asked is part of the
//! protocol.

use super::Machine;
use super::deadlock::Prospect;
use crate::storage::Id;
use crate::table::{Aim, Connection, Found, Lock, TallyId, memory};
use crate::types::{Kind, Now};
use crate::wire::{Reply, Wish};

impl Machine {
    /// Dead holds that a get frees before it adds one. It frees two, so that live and dead holds together never take
    /// more storage than the peak of live ones did.
    const SWEEP_FOR_GET: u32 = 2;

    /// Gets a lock, and returns its new number of holders. If not granted, returns `Err` with the reply, or `Err(None)`
    /// if the connection now waits.
    #[inline]
    pub(crate) fn get<'a>(
        &mut self,
        id: Id<Connection>,
        wish: Wish<&'a [u8]>,
    ) -> Result<u32, Option<Reply<'a>>> {
        let (kind, name) = (wish.kind(), *wish.name());
        if self.drains(id) && !bug!(DrainStillGrants) {
            mark!(DrainRefusedAGet);
            return Err(Some(Reply::ShuttingDown));
        }
        // Must come before the look-up: sweeping would invalidate its result.
        if !bug!(GetsDoNotSweep) && self.holds.sweep(Self::SWEEP_FOR_GET) > 0 {
            mark!(GetSwept);
        }
        let (tenure, tally) = (self.connections[id].tenure(), self.connections[id].tally());
        let own = tenure.map_or(0, |tenure| self.holds.tenure(tenure).holds());
        let (has_too_many, has_quota) = self.has_too_many(own, tally);
        let found = self.holds.find(kind, name);
        if let Some(lock) = tenure.and_then(|tenure| self.holds.found_held(found, tenure)) {
            if self.holds.locks()[lock].kind() != kind {
                return self.change(lock, found, wish);
            }
            let more = u32::from(kind == Kind::Shared && bug!(AskingAgainCounts));
            return Ok(found.holders() + more);
        }
        if has_too_many {
            mark!(LocksRanOut);
            self.counters.locks_refused += 1;
            return Err(Some(Reply::TooManyLocks { name }));
        }
        if self.is_free(found, wish) {
            let memory = self.memory() + memory::of_get(name, found.holders());
            let outer_bytes = memory::outer_bytes(name.len());
            if memory > self.config.limits.memory_bytes
                || has_quota && !self.connections.tally(tally).has_memory(memory::OWN_HOLD + outer_bytes)
            {
                return Err(Some(self.out_of_memory(name)));
            }
            let tenure = tenure.unwrap_or_else(|| self.begin_tenure(id));
            let holders = self.holds.add(found, name, tenure, self.now);
            self.connections.tally_mut(tally).add_hold(outer_bytes);
            self.note_peaks(own + 1, name.len(), memory);
            return Ok(holders);
        }
        match wish.ms() {
            None => Err(Some(Reply::GetFailure { kind, name })),
            Some(ms) => {
                let deadline = Now(self.now.0.saturating_add(u64::from(ms)));
                // True for `ms` 0, and at the end of time, when no later deadline exists.
                if deadline == self.now {
                    return Err(Some(Reply::GetTimeout { kind, name }));
                }
                Err(self.wait(id, found, deadline, (kind, name, Aim::Lock { limit: limit_of(wish) })))
            }
        }
    }

    /// Changes how the asker holds a lock. Who reads beside others cannot write, and goes on reading: two that waited
    /// for each other to stop would wait for ever.
    #[cold]
    fn change<'a>(
        &mut self,
        lock: Id<Lock>,
        found: Found,
        wish: Wish<&'a [u8]>,
    ) -> Result<u32, Option<Reply<'a>>> {
        let (kind, name) = (wish.kind(), *wish.name());
        if found.holders() > 1 {
            mark!(ChangeWasRefused);
            return Err(Some(Reply::GetFailure { kind, name }));
        }
        mark!(KindOfAHoldChanged);
        self.counters.changes += 1;
        self.holds.change_kind(lock, kind, self.now);
        Ok(found.holders())
    }

    /// Whether one more hold would exceed a limit. `own` is the connection's number of holds, `tally` the count of its
    /// account. A wait counts as a hold. The second answer is whether the account has a quota of memory.
    #[inline]
    fn has_too_many(&self, own: u32, tally: TallyId) -> (bool, bool) {
        let limits = &self.config.limits;
        let limit = limits.locks_per_connection + u32::from(bug!(LocksOfAConnectionOffByOne));
        let tally = self.connections.tally(tally);
        let waits = if bug!(WaitIsNotReserved) { 0 } else { tally.waits() };
        let holds = if bug!(QuotaIsShared) { self.holds.counts().live().total() } else { tally.holds() };
        let all = u64::from(holds) + u64::from(waits);
        (own >= limit || all >= u64::from(tally.bounds().locks), tally.has_memory_quota())
    }

    #[inline]
    fn is_free(&self, found: Found, wish: Wish<&[u8]>) -> bool {
        let is_held_so = || found.lock().is_some_and(|lock| self.holds.locks()[lock].kind() == wish.kind());
        let aim = Aim::Lock { limit: limit_of(wish) };
        let has_room = aim.has_room_beside(found.holders(), is_held_so);
        let passes_line = wish.kind() == Kind::Read && bug!(ReaderPassesTheLine);
        let heeds_line =
            wish.heeds_line() && !passes_line && !(wish.ms().is_none() && bug!(SglIgnoresTheLine));
        has_room && (!heeds_line || self.holds.waiting_in(found.state()) == 0)
    }

    /// Begins a wait. If it would be a deadlock, or too many wait, returns the reply that says so.
    pub(crate) fn wait<'a>(
        &mut self,
        id: Id<Connection>,
        found: Found,
        deadline: Now,
        (kind, name, aim): (Kind, &'a [u8], Aim),
    ) -> Option<Reply<'a>> {
        let lock = found.lock().expect("a lock that is not free has a slot");
        let queue_full = match aim {
            Aim::Lock { .. } => Reply::QueueFull { kind, name },
            Aim::End => Reply::EndQueueFull { kind, name },
        };
        match self.prospect(id, lock, (kind, aim)) {
            Prospect::Grant => {}
            Prospect::Deadlock => {
                mark!(DeadlockRefused);
                self.counters.deadlocks_refused += 1;
                return Some(match aim {
                    Aim::Lock { .. } => Reply::GetDeadlock { kind, name },
                    Aim::End => Reply::EndDeadlock { kind, name },
                });
            }
            Prospect::Unknown => {
                mark!(SearchRefused);
                self.counters.queue_full += 1;
                self.counters.searches_refused += 1;
                return Some(queue_full);
            }
        }
        let limits = &self.config.limits;
        let for_name = limits.waiters_per_name + u32::from(bug!(QueueLimitOffByOne));
        let tally = self.connections.tally(self.connections[id].tally());
        if tally.waits() + tally.ends() >= tally.bounds().waiters
            || self.holds.awaiting_in(found.state()) >= for_name
        {
            mark!(QueueWasFull);
            self.counters.queue_full += 1;
            return Some(queue_full);
        }
        let outer_bytes = memory::outer_bytes(name.len());
        if !self.has_memory(memory::WAIT) || !tally.has_memory(memory::OWN_WAIT + outer_bytes) {
            return Some(self.out_of_memory(name));
        }
        let wait = self.holds.begin_wait(found, id, aim, (self.now, deadline));
        self.connections.set_wait(id, wait, (aim, outer_bytes));
        self.expect(self.holds.waits().nothing_before());
        if self.config.limits.idle_ms > 0 && !bug!(WaitingIsIdle) {
            self.connections.unlink(id);
        }
        self.counters.waits += 1;
        self.note_memory();
        let waiters = self.holds.waits().len();
        self.counters.peak_waiters = self.counters.peak_waiters.max(waiters);
        None
    }

    /// Raises the peaks after a get or a grant. `own` is the connection's number of holds with it, `memory` what all
    /// counts for the limit of memory.
    #[inline]
    pub(crate) fn note_peaks(&mut self, own: u32, name_bytes: usize, memory: u64) {
        let peaks = &mut self.counters;
        peaks.peak_connection_holds = peaks.peak_connection_holds.max(own);
        peaks.peak_holds = peaks.peak_holds.max(self.holds.counts().live().total());
        peaks.peak_lock_bytes = peaks.peak_lock_bytes.max(self.holds.counts().live_bytes());
        peaks.peak_name_bytes = peaks.peak_name_bytes.max(name_bytes as u32);
        peaks.peak_memory_bytes = peaks.peak_memory_bytes.max(memory);
    }
}

/// How many holders a get allows; 0 is no limit.
#[inline]
fn limit_of(wish: Wish<&[u8]>) -> u32 {
    let limit = wish.limit();
    limit + u32::from(limit > 0 && wish.kind() == Kind::Shared && bug!(WaitLimitOffByOne))
}
