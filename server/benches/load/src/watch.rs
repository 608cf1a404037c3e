//! Connections that get and release, each a lock of its own, on a thread of their own, while something else goes
//! on: how long every single reply took, and when it came.

use super::filler::Filler;
use super::meter::Meter;
use super::script::Script;
use super::{LoadError, Protocol, Target, name, steady};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Where the names of watched connections begin: above those of any scenario.
const FIRST_NAME: usize = 1_000_000_000;

/// Connections that are being watched.
pub struct Watch {
    stop: Arc<AtomicBool>,
    held: Arc<AtomicUsize>,
    thread: JoinHandle<Result<Latencies, LoadError>>,
}

/// One reply.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it came, in microseconds since the watch began.
    pub at_us: u32,
    /// How long it took, in nanoseconds; a reply that took longer than 4.29 s took that.
    pub latency_ns: u32,
}

/// Every reply there was.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// When the watch began.
    pub began: Instant,
    /// In the order in which they came.
    pub samples: Vec<Sample>,
}

impl Watch {
    /// Watches so many connections, on a thread that has this one's affinity. With `fill` another connection takes
    /// the locks with these numbers meanwhile, and keeps them until the watch ends. There is room for `room` replies.
    ///
    /// # Errors
    ///
    /// When the target cannot be connected to.
    pub fn start(
        target: Target,
        connections: usize,
        room: usize,
        fill: Option<Range<usize>>,
    ) -> Result<Self, LoadError> {
        let (stop, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let filler = fill.map(|names| Filler::new(target.address, names, Arc::clone(&held)));
        let mut filler = filler.transpose()?;
        let mut meter = Recorder { stop: Arc::clone(&stop), began: Instant::now(), samples: vec![], room };
        let thread = std::thread::spawn(move || {
            let script = |who| Script::uncontended(Protocol::Elockd, &name(FIRST_NAME + who), 1);
            let scripts: Vec<_> = (0..connections).map(script).collect();
            meter.samples.reserve_exact(room);
            steady::play(target.address, &scripts, filler.as_mut(), &mut meter)?;
            Ok(Latencies { began: meter.began, samples: meter.samples })
        });
        Ok(Self { stop, held, thread })
    }

    /// How many locks the filler was given so far.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Whether it has ended by itself: it failed, and [`Watch::stop`] says why.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// Whatever a run may fail of, while it was watched.
    pub fn stop(self) -> Result<Latencies, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Latencies {
    /// The latencies of what was under way at any moment between two points in time, from the shortest to the
    /// longest, in nanoseconds.
    #[must_use]
    pub fn between(&self, from: Instant, to: Instant) -> Vec<u32> {
        let [from, to] = [from, to].map(|point| point.saturating_duration_since(self.began));
        let mut within: Vec<u32> = self
            .samples
            .iter()
            .filter(|sample| {
                let end = Duration::from_micros(sample.at_us.into());
                end >= from && end.saturating_sub(Duration::from_nanos(sample.latency_ns.into())) <= to
            })
            .map(|sample| sample.latency_ns)
            .collect();
        within.sort_unstable();
        within
    }
}

struct Recorder {
    stop: Arc<AtomicBool>,
    began: Instant,
    samples: Vec<Sample>,
    room: usize,
}

impl Meter for Recorder {
    fn start(&mut self, now: Instant) {
        self.began = now;
    }

    fn goes_on(&mut self, _: Instant) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn record(&mut self, since: Instant, now: Instant, operations: u32) {
        assert!(self.samples.len() < self.room, "there is no room for more than {} replies", self.room);
        debug_assert!(operations <= 1, "one request at a time");
        if operations == 1 {
            let at_us = u32::try_from((now - self.began).as_micros()).unwrap_or(u32::MAX);
            let latency_ns = u32::try_from((now - since).as_nanos()).unwrap_or(u32::MAX);
            self.samples.push(Sample { at_us, latency_ns });
        }
    }
}
