//! The invariants of waits and fencing tokens, checked one by one, as part of [`Machine::check`].

use super::{Violation, ensure};
use crate::machine::Machine;
use crate::storage::Id;
use crate::table::{Aim, Lock, State, Tie, Tokens};
use crate::types::{ByKind, Now};

use std::collections::BTreeSet;

impl Machine {
    /// Each line is in order, and its head cannot be granted now.
    pub(super) fn check_lines(&self) -> Result<(), Violation> {
        ensure!(!self.holds.has_dirty_line(), "lines were left dirty");
        ensure!(self.grants.is_empty(), "grants were left to be told");
        let (mut waits, mut ends) = (ByKind::default(), ByKind::default());
        for (id, lock) in self.holds.locks().slots().iter() {
            if let State::Tied(tie) = self.holds.state(id) {
                let tie = &self.holds.ties()[tie];
                self.check_line(id, lock, tie, &mut waits)?;
                self.check_ends(id, tie, &mut ends)?;
                let count = tie.awaiting();
                ensure!(count <= self.config.limits.waiters_per_name, "{id:?}: {count} wait, too many");
            }
        }
        ensure!(waits == self.holds.counts().waiting(), "{waits:?} waits in lines, not as counted");
        ensure!(ends == self.holds.counts().ending(), "{ends:?} waits for ends, not as counted");
        let all = self.holds.waits().len();
        ensure!(waits.total() + ends.total() == all, "waits in no line");
        ensure!(self.counters.peak_waiters >= all, "more waits than the peak");
        self.check_every_wait_can_end()
    }

    /// Checks a line, and counts its waits by kind.
    fn check_line(
        &self,
        id: Id<Lock>,
        lock: &Lock,
        tie: &Tie,
        counted: &mut ByKind<u32>,
    ) -> Result<(), Violation> {
        ensure!(!tie.is_dirty(), "the line of {id:?} was left dirty");
        let waits = self.holds.waits();
        let count =
            tie.line().check(waits).map_err(|broken| Violation(format!("line of {id:?}: {broken}")))?;
        let mut last_order = 0;
        for (wait_id, wait) in tie.line().iter(waits) {
            ensure!(wait.lock() == id, "a wait for {:?} is in the line of {id:?}", wait.lock());
            ensure!(wait.order() > last_order, "{id:?}: its line is out of order");
            let kind = wait.place().kind();
            let is_fine = match wait.place().aim() {
                Aim::Lock { limit } => kind.is_counted() || limit == 1,
                Aim::End => false,
            };
            ensure!(is_fine, "a wait in the line of {id:?} is for {:?}", wait.place().aim());
            ensure!(
                kind.space() == lock.kind().space(),
                "a wait for another name space in the line of {id:?}"
            );
            counted[kind] += 1;
            let by = self.connections.slots().get(wait.by());
            ensure!(
                by.is_some_and(|connection| connection.wait() == Some(wait_id)),
                "{id:?}: a wait that is not its connection's"
            );
            last_order = wait.order();
        }
        ensure!(count == tie.line().len(), "{id:?}: {count} waits, counted {}", tie.line().len());
        ensure!(self.holds.grantable(id).is_none(), "{id:?} could be granted to the head of its line");
        Ok(())
    }

    /// The waits for the end of a lock are in order, and none of them is over. Counts them by kind.
    fn check_ends(&self, id: Id<Lock>, tie: &Tie, counted: &mut ByKind<u32>) -> Result<(), Violation> {
        let waits = self.holds.waits();
        let count =
            tie.ends().check(waits).map_err(|broken| Violation(format!("ends of {id:?}: {broken}")))?;
        let mut last_order = 0;
        for (wait_id, wait) in tie.ends().iter(waits) {
            ensure!(wait.lock() == id, "a wait for the end of {:?} is listed by {id:?}", wait.lock());
            ensure!(wait.place().aim() == Aim::End, "{id:?} lists a wait for a lock as one for its end");
            ensure!(wait.order() > last_order, "{id:?}: waits for its end are out of order");
            let by = self.connections.slots().get(wait.by());
            ensure!(
                by.is_some_and(|connection| connection.wait() == Some(wait_id)),
                "{id:?}: a wait for its end that is not its connection's"
            );
            counted[wait.place().kind()] += 1;
            let older = self.holds.holders_before(id, wait.order());
            ensure!(older > 0, "{id:?}: somebody waits for an end that has come");
            last_order = wait.order();
        }
        ensure!(count == tie.ends().len(), "{id:?}: {count} waits for its end, counted {}", tie.ends().len());
        Ok(())
    }

    /// Every wait can still be granted: by the releases of connections that do not wait, and then of those granted
    /// thereby, and so on.
    fn check_every_wait_can_end(&self) -> Result<(), Violation> {
        let waits = self.holds.waits();
        let mut standing: BTreeSet<u32> =
            waits.by_beginning().map(|(_, wait)| wait.by().position()).collect();
        // Each line with the first in it that would not be granted.
        let locks: BTreeSet<_> = waits.by_beginning().map(|(_, wait)| wait.lock().position()).collect();
        let locks = locks.into_iter().filter_map(|position| self.holds.locks().slots().at(position));
        let mut lines: Vec<_> = locks.map(|(lock, _)| (lock, self.holds.line_head(lock))).collect();
        while !standing.is_empty() {
            let before = standing.len();
            for (lock, next) in &mut lines {
                let owners = self.holds.holder_tenures(*lock);
                let owners = owners.filter_map(|tenure| self.holds.tenure(tenure).owner());
                let left = owners.filter(|owner| standing.contains(&owner.position())).count() as u32;
                // A connection that is granted beside the holders that are left releases too.
                while let Some(wait) = next.map(|next| &waits[next])
                    && wait.place().has_room_beside(left, self.holds.locks()[*lock].kind())
                {
                    standing.remove(&wait.by().position());
                    *next = wait.place().behind();
                }
            }
            for (_, wait) in waits.by_beginning().filter(|(_, wait)| wait.place().aim() == Aim::End) {
                let (ties, lock) = (self.holds.ties(), wait.lock());
                let older = ties.holds_from(self.holds.oldest_tied(lock)).map(|(_, hold)| hold);
                let mut older = older.take_while(|hold| hold.order() < wait.order());
                let stays = |tenure| {
                    let owner = self.holds.tenure(tenure).owner();
                    owner.is_some_and(|owner| standing.contains(&owner.position()))
                };
                if !older.any(|hold| stays(hold.tenure())) {
                    standing.remove(&wait.by().position());
                }
            }
            ensure!(standing.len() < before, "{before} waits could never be granted");
        }
        Ok(())
    }

    /// The orders of all waits: by beginning, and by deadline.
    pub(super) fn check_waits(&self) -> Result<(), Violation> {
        let waits = self.holds.waits();
        let listed = waits.check_beginnings();
        let listed = listed.map_err(|broken| Violation(format!("waits by beginning: {broken}")))?;
        ensure!(listed == waits.len(), "{listed} waits in the order of beginning");
        let (mut last_order, mut last_began) = (0, Now(0));
        for (id, wait) in waits.by_beginning() {
            ensure!(wait.order() > last_order, "wait {id:?} is out of the order of beginning");
            ensure!(
                (last_began..=self.now).contains(&wait.began()),
                "wait {id:?} did not begin in its order"
            );
            ensure!(wait.deadline() > self.now, "wait {id:?} should have ended at {:?}", wait.deadline());
            (last_order, last_began) = (wait.order(), wait.began());
        }
        ensure!(last_order <= self.holds.ties().last_order(), "a wait has a higher order than the last one");
        let set = waits.check_deadlines().map_err(Violation)?;
        ensure!(set == waits.len(), "{set} deadlines are set");
        let first = waits.by_beginning().map(|(_, wait)| wait.deadline()).min();
        let next = waits.next_due();
        ensure!(
            next.is_some() == first.is_some() && next <= first,
            "the first deadline is at {first:?}, expected from {next:?}"
        );
        self.check_ends_of_waits()
    }

    /// Each wait that began either goes on, or has ended and is in the wait times.
    fn check_ends_of_waits(&self) -> Result<(), Violation> {
        let counters = &self.counters;
        let going_on = u64::from(self.holds.waits().len());
        let answered = counters.waits_granted + counters.waits_timed_out + counters.waits_drained;
        ensure!(
            counters.waits >= answered + going_on,
            "{} waits began, {answered} were answered and {going_on} go on",
            counters.waits
        );
        // `u128`, because a damaged snapshot may claim any number.
        let timed: u128 =
            self.holds.counts().wait_times().iter().map(|(_, times)| u128::from(times.count())).sum();
        ensure!(
            timed + u128::from(going_on) == u128::from(counters.waits),
            "{timed} wait times, {going_on} go on"
        );
        Ok(())
    }

    /// No two holds have the same token. No hold has a token that is still to come.
    pub(super) fn check_tokens(&self) -> Result<(), Violation> {
        let mut tokens = BTreeSet::new();
        for (id, hold) in self.holds.ties().holds().iter() {
            let Some(token) = hold.token() else { continue };
            ensure!(token < self.tokens.next(), "{id:?} has token {token}, which is still to come");
            ensure!(tokens.insert(token), "{id:?} has token {token}, and another has it too");
        }
        ensure!(self.tokens.last() <= Tokens::MAX, "{:?}", self.tokens);
        ensure!((1..=self.tokens.last() + 1).contains(&self.tokens.next()), "{:?}", self.tokens);
        Ok(())
    }
}
