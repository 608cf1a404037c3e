//! The invariants of waits and fencing tokens, looked at one by one, as part of [`Machine::check`].

use super::{Violation, ensure};
use crate::machine::Machine;
use crate::storage::Id;
use crate::table::{Hold, Lock, Tie, Tokens};
use crate::types::{ByKind, Kind, Now};

use std::collections::BTreeSet;

impl Machine {
    /// Each line is in order, and none of the waits in it could have been granted by now.
    pub(crate) fn check_lines(&self) -> Result<(), Violation> {
        ensure!(self.holds.is_calm(), "lines were left to be looked at");
        ensure!(self.grants.is_empty(), "grants were left to be told");
        let mut waits = ByKind::default();
        for (id, lock) in self.holds.locks.slots().iter() {
            if let Hold::Tied(tie) = *lock.hold() {
                waits[lock.kind()] += self.check_line(id, lock, &self.holds.ties.locks[tie])?;
            }
        }
        ensure!(waits == self.holds.waiting_by_kind, "{waits:?} waits in lines, not as counted");
        let slots = &self.holds.waits.slots;
        ensure!(waits.total() == slots.len(), "waits in no line");
        ensure!(waits.total() == 0 || !self.draining, "somebody waits while nothing is granted any more");
        ensure!(self.counters.peak_waiters >= slots.len(), "more waits than the peak");
        self.check_every_wait_can_end()
    }

    fn check_line(&self, id: Id<Lock>, lock: &Lock, tie: &Tie) -> Result<u32, Violation> {
        ensure!(!tie.is_stirred, "the line of {id:?} was left to be looked at");
        let (mut count, mut ahead, mut last_order) = (0, None, 0);
        for (wait_id, wait) in self.holds.waits.line(tie.first_wait) {
            ensure!(wait.lock == id, "a wait for {:?} is in the line of {id:?}", wait.lock);
            ensure!(wait.ahead == ahead, "{id:?}: broken link in its line");
            ensure!(wait.order > last_order, "{id:?}: its line is out of order");
            ensure!(
                lock.kind() == Kind::Shared || wait.limit == 1,
                "a wait for exclusive {id:?} with a limit"
            );
            let by = self.connections.slots().at(wait.by.position());
            ensure!(
                by.is_some_and(|(_, connection)| connection.wait() == Some(wait_id)),
                "{id:?}: a wait that is not its connection's"
            );
            (ahead, last_order) = (Some(wait_id), wait.order);
            count += 1;
        }
        ensure!(tie.last_wait == ahead, "{id:?}: its line ends elsewhere");
        ensure!(count == tie.waits, "{id:?}: {count} waits, counted {}", tie.waits);
        ensure!(count <= self.config.limits.waiters_per_name, "{id:?}: {count} wait, too many");
        ensure!(self.holds.grantable(id).is_none(), "{id:?} could be granted to the head of its line");
        Ok(count)
    }

    /// What would be granted if everybody who can released everything, over and over: every wait.
    fn check_every_wait_can_end(&self) -> Result<(), Violation> {
        let waits = &self.holds.waits;
        let mut standing: BTreeSet<u32> =
            waits.by_beginning().map(|id| waits.slots[id].by.position()).collect();
        // Each line with the first in it that would not be granted.
        let heads = waits.by_beginning().filter(|id| waits.slots[*id].ahead.is_none());
        let mut lines: Vec<_> = heads.map(|id| (waits.slots[id].lock, Some(id))).collect();
        while !standing.is_empty() {
            let before = standing.len();
            for (lock, next) in &mut lines {
                let owners = self.holds.holder_tenures(*lock);
                let owners = owners.filter_map(|tenure| self.holds.tenures[tenure].owner);
                let left = owners.filter(|owner| standing.contains(&owner.position())).count();
                // Whoever is granted beside those that are left releases too.
                while let Some(wait) = next.map(|next| &waits.slots[next])
                    && (wait.limit == 0 || left < wait.limit as usize)
                {
                    standing.remove(&wait.by.position());
                    *next = wait.behind;
                }
            }
            ensure!(standing.len() < before, "{before} waits could never be granted");
        }
        Ok(())
    }

    /// The orders of waits over all lines: by beginning, and by deadline.
    pub(crate) fn check_waits(&self) -> Result<(), Violation> {
        let waits = &self.holds.waits;
        let (mut count, mut older, mut last_order, mut last_began) = (0, None, 0, Now(0));
        for id in waits.by_beginning() {
            let wait = &waits.slots[id];
            ensure!(wait.older == older, "broken link before wait {id:?}");
            ensure!(wait.order > last_order, "wait {id:?} is out of the order of beginning");
            ensure!((last_began..=self.now).contains(&wait.began), "wait {id:?} did not begin in its order");
            ensure!(wait.deadline > self.now, "wait {id:?} should have ended at {:?}", wait.deadline);
            (older, last_order, last_began) = (Some(id), wait.order, wait.began);
            count += 1;
        }
        ensure!(waits.newest == older, "the order of beginning ends elsewhere");
        ensure!(count == waits.slots.len(), "{count} waits in the order of beginning");
        ensure!(last_order <= waits.last_order, "a wait that is still to come");
        let mut set = BTreeSet::new();
        for (id, is_right) in waits.timers.set_ones(&waits.slots) {
            ensure!(is_right, "the deadline of wait {id:?} lies in the wrong slot");
            ensure!(set.insert(id.position()), "the deadline of wait {id:?} is set twice");
        }
        ensure!(set.len() == waits.slots.len() as usize, "{} deadlines are set", set.len());
        let first = waits.by_beginning().map(|id| waits.slots[id].deadline).min();
        ensure!(
            waits.timers.next().is_some() == first.is_some() && waits.timers.next() <= first,
            "the first deadline is at {first:?}, expected from {:?}",
            waits.timers.next()
        );
        self.check_ends_of_waits()
    }

    /// Each wait that began goes on or has ended, and is in the wait times then.
    fn check_ends_of_waits(&self) -> Result<(), Violation> {
        let counters = &self.counters;
        let going_on = u64::from(self.holds.waits.slots.len());
        let answered = counters.waits_granted + counters.waits_timed_out + counters.waits_drained;
        ensure!(
            counters.waits >= answered + going_on,
            "{} waits began, {answered} were answered and {going_on} go on",
            counters.waits
        );
        // Wide enough for what a damaged snapshot may claim.
        let timed: u128 = self.holds.wait_times.iter().map(|(_, times)| u128::from(times.count())).sum();
        ensure!(
            timed + u128::from(going_on) == u128::from(counters.waits),
            "{timed} wait times, {going_on} go on"
        );
        Ok(())
    }

    /// No two holds have the same token, none has one that is still to come, and a shared one has none.
    pub(crate) fn check_tokens(&self) -> Result<(), Violation> {
        let mut tokens = BTreeSet::new();
        for (id, lock) in self.holds.locks.slots().iter() {
            let Hold::Tied(tie) = *lock.hold() else { continue };
            let token = self.holds.ties.locks[tie].token;
            ensure!(token < self.tokens.next, "{id:?} has token {token}, which is still to come");
            ensure!(token == 0 || tokens.insert(token), "{id:?} has token {token}, and another has it too");
            ensure!(token == 0 || lock.kind() == Kind::Exclusive, "shared {id:?} has a token");
        }
        ensure!(self.tokens.last <= Tokens::MAX, "{:?}", self.tokens);
        ensure!(self.tokens.next >= 1 && self.tokens.next <= self.tokens.last + 1, "{:?}", self.tokens);
        Ok(())
    }
}
