//! Connections that each get and release a lock of their own, on a separate thread, while something else happens. It
//! records when every single reply came, and how long it took.

use super::filler::Filler;
use super::meter::Meter;
use super::script::Script;
use super::{LoadError, Protocol, Target, name, steady};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The first name of watched connections. It is above those of any scenario.
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
    /// How long it took, in nanoseconds, at most 4.29 s.
    pub latency_ns: u32,
}

/// Every reply of a watch.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// When the watch began.
    pub began: Instant,
    /// The replies, in the order in which they came.
    pub samples: Vec<Sample>,
}

impl Watch {
    /// Watches `connections` connections, on a thread with this one's affinity. With `fill`, another connection takes
    /// the locks with these numbers meanwhile, and keeps them until the watch ends. There is room for `room` replies.
    ///
    /// # Errors
    ///
    /// If it cannot connect to the target.
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
            steady::play(&[target.address], &scripts, filler.as_mut(), &mut meter)?;
            Ok(Latencies { began: meter.began, samples: meter.samples })
        });
        Ok(Self { stop, held, thread })
    }

    /// How many locks the filler has got so far.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Whether it has failed, and so ended by itself. [`Watch::stop`] returns why.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the watch.
    ///
    /// # Errors
    ///
    /// Any failure of the run.
    pub fn stop(self) -> Result<Latencies, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Latencies {
    /// The latencies of all requests that were in progress at any moment between two points in time, from the shortest
    /// to the longest, in nanoseconds.
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
