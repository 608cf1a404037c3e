//! The idle limit: connections that say nothing for too long are ended. Time in which the driver served nobody is a
//! lapse. Nobody can tell who would have spoken then, so it does not count.

use super::{Cause, Machine, Output, Reason};
use crate::storage::Id;
use crate::table::Connection;
use crate::types::{Conn, Now};

impl Machine {
    /// Takes the last `ms` milliseconds before `now` out of what counts as silence.
    pub(super) fn lapse(&mut self, now: Now, ms: u64) {
        let passed = now.0.saturating_sub(self.now.0);
        self.connections.lapse(ms.min(passed));
    }

    /// Ends every connection whose idle limit is reached, the longest idle first. This comes before the input itself,
    /// so that no reply depends on whether a `Tick` came in between. There is one exception: if several hold too much
    /// together, other inputs leave them to ticks, and each `Tick` ends as many as may end in one step, at least one.
    #[inline]
    pub(super) fn close_idle(&mut self, is_tick: bool, out: &mut impl FnMut(Conn, Output<'_>)) {
        if self.connections.oldest().is_some_and(|oldest| self.is_idle(oldest)) {
            self.close_some_idle(is_tick, out);
        }
    }

    /// The same, if there is one.
    #[cold]
    fn close_some_idle(&mut self, is_tick: bool, out: &mut impl FnMut(Conn, Output<'_>)) {
        let (few, is_all) = self.idle_of_one_step();
        if !is_all {
            mark!(IdleEndsLeft);
            if !is_tick {
                return;
            }
        }
        for _ in 0..few {
            let id = self.connections.oldest().expect("it was just counted");
            let conn = self.connections[id].conn();
            mark!(ConnectionWasIdle);
            self.close(id, Cause::Idle, out);
            out(conn, Output::Disconnect(Reason::Idle));
        }
    }

    /// Counts a connection's silence from now on, if there is an idle limit.
    pub(super) fn begin_silence(&mut self, id: Id<Connection>) {
        if self.config.limits.idle_ms > 0 {
            self.connections.link(id, self.now);
            self.expect(self.idle_deadline(id));
        }
    }

    fn is_idle(&self, id: Id<Connection>) -> bool {
        // Compares durations, not deadlines: near the end of time a deadline would saturate.
        self.now.0 - self.connections.active(id).0 >= self.idle_limit()
    }

    /// How many of the idle connections may end in one step, the longest idle first, and whether these are all. Each
    /// counts as its holds and one more.
    fn idle_of_one_step(&self) -> (u32, bool) {
        let mut left = u64::from(self.config.limits.step_holds);
        let mut few = 0;
        for (id, _) in self.connections.by_activity().take_while(|(id, _)| self.is_idle(*id)) {
            let weight = self.weight(id);
            if few > 0 && weight > left {
                return (few, false);
            }
            left = left.saturating_sub(weight);
            few += 1;
        }
        (few, true)
    }

    /// What the end of a connection counts as.
    fn weight(&self, id: Id<Connection>) -> u64 {
        let holds = self.connections[id].tenure().map_or(0, |tenure| self.holds.tenure(tenure).holds());
        u64::from(holds) + 1
    }

    pub(super) fn idle_deadline(&self, id: Id<Connection>) -> Now {
        Now(self.connections.active(id).0.saturating_add(self.idle_limit()))
    }

    fn idle_limit(&self) -> u64 {
        self.config.limits.idle_ms + u64::from(bug!(IdleOneLate))
    }
}
