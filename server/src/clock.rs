//! The daemon's clock: it turns the runtime's monotonic time into the machine's, and back.

use elockd_core::Now;
use std::time::Duration;
use tokio::time::Instant;

/// A clock that started at `Now(0)`. Under a simulated runtime it is simulated too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Whole milliseconds since the start.
    pub(crate) fn now(&self) -> Now {
        self.at(Instant::now())
    }

    /// What it showed at an instant that is not before its start.
    pub(crate) fn at(&self, instant: Instant) -> Now {
        let millis = instant.duration_since(self.start).as_millis();
        Now(u64::try_from(millis).expect("a clock runs for less than 500 million years"))
    }

    /// When the clock will show this time; `None` is after all time that the runtime can count.
    pub(crate) fn instant(&self, at: Now) -> Option<Instant> {
        self.start.checked_add(Duration::from_millis(at.0))
    }
}
