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

    /// Ends the connections whose idle limit is reached, the longest idle first. This comes before the input itself,
    /// so that no reply depends on whether a `Tick` came in between. There is one exception: if they hold too much
    /// together, the rest is left to the next input. A connection counts as its holds and one more, and one always
    /// ends.
    pub(super) fn close_idle(&mut self, out: &mut impl FnMut(Conn, Output<'_>)) {
        let (mut ended, most) = (0, u64::from(self.config.limits.step_holds));
        while let Some(id) = self.connections.oldest() {
            // Compares durations, not deadlines: near the end of time a deadline would saturate.
            if self.now.0 - self.connections.active(id).0 < self.idle_limit() {
                return;
            }
            let holds = self.connections[id].tenure().map_or(0, |tenure| self.holds.tenure(tenure).holds());
            let with_it = ended + u64::from(holds) + 1;
            if ended > 0 && with_it > most {
                mark!(IdleEndsLeft);
                return;
            }
            ended = with_it;
            let conn = self.connections[id].conn();
            mark!(ConnectionWasIdle);
            self.close(id, Cause::Idle, out);
            out(conn, Output::Disconnect(Reason::Idle));
        }
    }

    pub(super) fn idle_deadline(&self, id: Id<Connection>) -> Now {
        Now(self.connections.active(id).0.saturating_add(self.idle_limit()))
    }

    fn idle_limit(&self) -> u64 {
        self.config.limits.idle_ms + u64::from(bug!(IdleOneLate))
    }
}
