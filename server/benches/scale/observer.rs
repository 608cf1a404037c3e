//! The fifty others, and the latency that they notice.

use crate::Stage;
use crate::support::Failure;
use crate::support::servers::Server;
use crate::support::spread::quantile_us;
use elockd_load::{Latencies, Watch};
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Room for this many replies: minutes of the fastest loop. Unused room takes no memory.
const ROOM: usize = 60_000_000;
/// How long the loop needs to reach its speed.
const SETTLE: Duration = Duration::from_millis(300);

/// Connections that are being watched.
pub(crate) struct Observer {
    watch: Watch,
}

/// A stretch of time.
pub(crate) type Stretch = (Instant, Instant);

/// The latencies of the others in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noticed {
    pub(crate) replies: usize,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) worst_us: f64,
}

impl Observer {
    /// Begins to watch. With `fill`, another connection takes these locks meanwhile.
    pub(crate) fn start(stage: &Stage, server: &Server, fill: Option<Range<usize>>) -> Result<Self, Failure> {
        let watch = Watch::start(server.target, stage.arguments.observers, ROOM, fill)?;
        Ok(Self { watch })
    }

    /// Lets time pass while nothing else happens. Returns that stretch.
    pub(crate) fn quiet(&self, stage: &Stage) -> Result<Stretch, Failure> {
        sleep(SETTLE);
        let begin = Instant::now();
        self.pass(Duration::from_secs_f64(stage.arguments.quiet_seconds))?;
        Ok((begin, Instant::now()))
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) -> Result<(), Failure> {
        sleep(time);
        if self.watch.has_failed() { Err("the watched connections failed".into()) } else { Ok(()) }
    }

    /// How many locks the filler has taken so far.
    pub(crate) fn held(&self) -> usize {
        self.watch.held()
    }

    /// Ends the watch. Waits a little first, so that late replies are in it too.
    pub(crate) fn stop(self) -> Result<Latencies, Failure> {
        sleep(SETTLE);
        Ok(self.watch.stop()?)
    }
}

impl Noticed {
    pub(crate) fn of(latencies: &Latencies, (begin, end): Stretch) -> Self {
        let sorted = latencies.between(begin, end);
        let at = |part| quantile_us(&sorted, part);
        Self {
            replies: sorted.len(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            worst_us: at(1.0),
        }
    }
}
