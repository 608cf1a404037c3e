//! The invariants of graces and of sessions, checked one by one, as part of [`Machine::check`].

use super::{Violation, ensure};
use crate::machine::Machine;
use crate::table::Tenure;
use crate::types::Now;

use std::collections::BTreeSet;

impl Machine {
    /// Each grace is its connection's, or it lingers and owns a tenure. Each that has time is found by its key.
    pub(super) fn check_graces(&self) -> Result<(), Violation> {
        let (mut numbers, mut left_by) = (BTreeSet::new(), BTreeSet::new());
        let (mut lingering, mut holds, mut first) = (0, 0, None::<Now>);
        for (id, grace) in self.graces.slots().iter() {
            let number = grace.number();
            ensure!(numbers.insert(number), "two graces have the number {number:?}");
            ensure!(
                self.connections.nodes().is_used(number),
                "the grace {number:?} is above the highest number"
            );
            // Else the connection could ask for a second one.
            let asked_first = self.connections.find(number);
            ensure!(
                asked_first.is_none() || asked_first == grace.owner(),
                "{number:?} is open, and the grace that it first asked for is another's"
            );
            let found = self.graces.find(grace.key().text());
            ensure!(found == (grace.ms() > 0).then_some(id), "the key of {number:?} opens {found:?}");
            if let Some(owner) = grace.owner() {
                let owner = self.connections.slots().get(owner);
                let is_own = owner.is_some_and(|connection| connection.grace() == Some(id));
                ensure!(is_own, "the grace {number:?} is not its connection's");
            }
            let Some((left, due)) = grace.left().zip(grace.due()) else { continue };
            ensure!(grace.ms() > 0, "the grace {number:?} was taken back and lingers");
            ensure!(left_by.insert(left.conn), "{:?} left two sessions", left.conn);
            ensure!(self.connections.nodes().is_used(left.conn), "a session of the future");
            ensure!(self.connections.find(left.conn).is_none(), "{:?} is open and left a session", left.conn);
            let tenure = self.holds.tenures().get(left.tenure);
            ensure!(
                tenure.is_some_and(|tenure| tenure.grace() == Some(id)),
                "{number:?} lingers without its tenure"
            );
            let own = tenure.map_or(0, Tenure::holds);
            ensure!(own <= self.counters.peak_connection_holds, "a session holds more than the peak");
            ensure!(own <= self.config.limits.locks_per_connection, "a session holds {own} locks");
            ensure!(due > self.now, "the session {number:?} was due at {due:?}");
            first = Some(first.map_or(due, |first| first.min(due)));
            (lingering, holds) = (lingering + 1, holds + own);
        }
        for (id, connection) in self.connections.slots().iter() {
            let grace = connection.grace().map(|grace| self.graces.slots().get(grace));
            let is_own = grace.is_none_or(|grace| grace.is_some_and(|grace| grace.owner() == Some(id)));
            ensure!(is_own, "{:?} has another's grace", connection.conn());
        }
        ensure!(
            self.graces.indexed() == self.graces.slots().len(),
            "the index of graces has strangers in it"
        );
        let counted = (self.graces.lingering(), self.graces.holds());
        ensure!(
            counted == (lingering, holds),
            "{lingering} sessions have {holds} holds, counted {counted:?}"
        );
        let set = self.graces.check_timers().map_err(Violation)?;
        ensure!(set == lingering, "{set} sessions have a timer");
        let next = self.graces.next_due();
        ensure!(
            next.is_some() == first.is_some() && next <= first,
            "the first session is due at {first:?}, expected from {next:?}"
        );
        Ok(())
    }
}
