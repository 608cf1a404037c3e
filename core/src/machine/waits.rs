//! The ends of waits: by a grant, at the deadline, with the connection, or because the daemon drains.

use super::Machine;
use super::input::Cause;
use super::output::Output;
use crate::probe::{Mark, reach};
use crate::storage::Id;
use crate::table::{Aim, Connection, Lock, Wait};
use crate::types::{Conn, Kind, Now};
use crate::wire::{Reply, Verb};

/// A wait that was granted or for an end that has come, and whose connection is not told yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    /// The wait's order.
    order: u64,
    to: Id<Connection>,
    lock: Id<Lock>,
    /// Holders, including this one. `None` if the wait was for the lock's end.
    holders: Option<u32>,
}

impl Machine {
    /// Ends the waits whose deadlines have come, the oldest deadline first. Lines must be settled only afterwards: a
    /// wait that is due is never granted, even if the end of another wait would let it in.
    #[inline]
    pub(crate) fn end_due_waits(&mut self, out: &mut impl FnMut(Conn, Output<'_>)) {
        while let Some(id) = self.holds.due(self.now) {
            mark!(WaitTimedOut);
            self.counters.waits_timed_out += 1;
            self.answer(id, timed_out, out);
            let by = self.end_wait(id);
            self.is_active_again(by);
        }
    }

    /// Grants from each dirty line, head after head, while the head can be granted. Ends the waits for ends that have
    /// come. Tells the connections in the order in which their waits began. Costs O(1) for each line and each grant,
    /// and a sort of the grants.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each input would pay for a call")]
    pub(crate) fn settle(&mut self, why: Mark, out: &mut impl FnMut(Conn, Output<'_>)) {
        if self.holds.has_dirty_line() {
            self.settle_dirty(why, out);
        }
    }

    fn settle_dirty(&mut self, why: Mark, out: &mut impl FnMut(Conn, Output<'_>)) {
        let mut grants = std::mem::take(&mut self.grants);
        let mut has_end = false;
        while let Some(lock) = self.holds.next_dirty() {
            while let Some(id) = self.holds.ended(lock) {
                grants.push(self.end_ended(id));
                has_end = true;
            }
            while let Some(id) = self.holds.grantable(lock) {
                reach(why);
                grants.push(self.grant(id));
            }
        }
        if grants.len() > 1 {
            mark!(SeveralGrantsAtOnce);
            if !bug!(GrantsOutOfOrder) {
                grants.sort_unstable_by_key(|grant| grant.order);
            }
        }
        for Grant { to, lock, holders, .. } in grants.iter().copied() {
            self.is_active_again(to);
            let lock = &self.holds.locks()[lock];
            let conn = self.connections[to].conn();
            let (kind, name) = (lock.kind(), self.holds.locks().name(lock));
            let reply = match holders {
                Some(holders) => Reply::Got { kind, holders, name },
                None => Reply::Ended { kind, name },
            };
            out(conn, Output::Reply(reply));
        }
        if has_end {
            // Only now: until here their names were needed.
            for grant in &grants {
                self.holds.free_unheld(grant.lock);
            }
        }
        grants.clear();
        self.grants = grants;
    }

    /// Ends a wait for an end that has come.
    fn end_ended(&mut self, id: Id<Wait>) -> Grant {
        let wait = self.holds.end_ended(id, self.now);
        self.connections.take_wait(wait.by(), wait.place());
        self.counters.waits_granted += 1;
        Grant { order: wait.order(), to: wait.by(), lock: wait.lock(), holders: None }
    }

    fn grant(&mut self, id: Id<Wait>) -> Grant {
        let to = self.holds.waits()[id].by();
        let tenure = self.connections[to].tenure().unwrap_or_else(|| self.begin_tenure(to));
        let (wait, holders) = self.holds.grant(id, tenure, self.now);
        let lock = wait.lock();
        self.connections.take_wait(to, wait.place());
        let tally = self.connections[to].tally();
        self.connections.tally_mut(tally).add_hold(wait.place().outer_bytes());
        self.counters.waits_granted += 1;
        self.note_peaks(self.holds.tenure(tenure).holds(), self.holds.name(lock).len(), self.memory());
        Grant { order: wait.order(), to, lock, holders: Some(holders) }
    }

    /// Ends the wait of a connection that ends. If the peer only sent FIN, it is told that it got nothing.
    pub(crate) fn abandon(&mut self, id: Id<Wait>, cause: Cause, out: &mut impl FnMut(Conn, Output<'_>)) {
        if cause == Cause::Eof {
            mark!(WaitEndedByFin);
            self.counters.waits_timed_out += 1;
            self.answer(id, timed_out, out);
        } else {
            mark!(WaitingConnectionDied);
        }
        self.end_wait(id);
    }

    /// Begins a node's drain: nothing is granted to its connections from now on. Ends each of their waits with a reply,
    /// in the order in which they began. Those who stood behind them may be next.
    pub(crate) fn drain(&mut self, node: u16, out: &mut impl FnMut(Conn, Output<'_>)) {
        self.connections.set_drains(node, true);
        self.draining = true;
        let is_its = |wait: &Wait| self.connections[wait.by()].conn().node() == node;
        let by_beginning = self.holds.waits().by_beginning();
        let of_node = by_beginning.filter(|(_, wait)| is_its(wait) && !bug!(DrainForgetsWaits));
        let ended: Vec<_> = of_node.map(|(id, _)| id).collect();
        for id in ended {
            mark!(DrainEndedAWait);
            self.counters.waits_drained += 1;
            self.answer(id, |_, _, _| Reply::ShuttingDown, out);
            let by = self.end_wait(id);
            self.is_active_again(by);
        }
        self.settle(Mark::GrantByDrain, out);
    }

    /// Age of the oldest current wait at a time that is not before the machine's; 0 if nobody waits.
    pub(crate) fn longest_wait_ms(&self, now: Now) -> u64 {
        let waits = self.holds.waits();
        waits.oldest().map_or(0, |oldest| now.0 - waits[oldest].began().0)
    }

    /// Tells a waiting connection why it does not get what it waits for.
    fn answer(
        &mut self,
        id: Id<Wait>,
        reply: impl FnOnce(Aim, Kind, &[u8]) -> Reply<'_>,
        out: &mut impl FnMut(Conn, Output<'_>),
    ) {
        let wait = &self.holds.waits()[id];
        let (kind, aim) = (wait.place().kind(), wait.place().aim());
        let verb = match aim {
            Aim::Lock { .. } => Verb::that_waits_for(kind),
            Aim::End => Verb::that_awaits_the_end_of(kind),
        };
        self.counters.failures[verb] += 1;
        out(
            self.connections[wait.by()].conn(),
            Output::Reply(reply(aim, kind, self.holds.name(wait.lock()))),
        );
    }

    /// Ends a wait. Returns whose it was.
    fn end_wait(&mut self, id: Id<Wait>) -> Id<Connection> {
        let wait = self.holds.end_wait(id, self.now);
        self.connections.take_wait(wait.by(), wait.place());
        wait.by()
    }

    /// Begins a connection's idle time anew. Called when its wait ends.
    fn is_active_again(&mut self, id: Id<Connection>) {
        if self.config.limits.idle_ms > 0 && bug!(WaitingIsIdle) {
            self.connections.touch(id, self.now);
        } else {
            self.begin_silence(id);
        }
    }
}

/// What is said at the deadline of a wait.
const fn timed_out(aim: Aim, kind: Kind, name: &[u8]) -> Reply<'_> {
    match aim {
        Aim::Lock { .. } => Reply::GetTimeout { kind, name },
        Aim::End => Reply::EndTimeout { kind, name },
    }
}
