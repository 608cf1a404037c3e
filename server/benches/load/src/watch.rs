//! Connections that each get and release a lock of their own, on a separate thread, while something else happens. It
//! records when every single reply came, and how long it took.

use super::etcd::{self, Failing};
use super::filler::Filler;
use super::meter::Meter;
use super::script::Script;
use super::{LoadError, Protocol, Target, name, steady};
use std::net::SocketAddr;
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
    /// How often a client of etcd had to ask again. elockd's never do.
    pub asked_again: u64,
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
        let held = Arc::new(AtomicUsize::new(0));
        let filler = fill.map(|names| Filler::new(target.address, names, Arc::clone(&held)));
        let mut filler = filler.transpose()?;
        let begin = move |meter: &mut Recorder| {
            steady::play(&[target.address], &scripts(connections), filler.as_mut(), meter).map(|()| 0)
        };
        Ok(Self::begin(begin, held, room))
    }

    /// Watches connections that are spread evenly over the nodes of a cluster. Clients of etcd ask again if they are
    /// refused, or not answered within `etcd_patience`; those of elockd never do.
    #[must_use]
    pub fn start_over(
        addresses: Vec<SocketAddr>,
        protocol: Protocol,
        connections: usize,
        room: usize,
        etcd_patience: Duration,
    ) -> Self {
        let begin = move |meter: &mut Recorder| {
            if protocol == Protocol::EtcdGrpc {
                let names: Vec<_> = (0..connections).map(|who| name(FIRST_NAME + who)).collect();
                etcd::play(&addresses, &names, Failing::AsksAgain { after: etcd_patience }, meter)
            } else {
                steady::play(&addresses, &scripts(connections), None, meter).map(|()| 0)
            }
        };
        Self::begin(begin, Arc::default(), room)
    }

    fn begin(
        play: impl FnOnce(&mut Recorder) -> Result<u64, LoadError> + Send + 'static,
        held: Arc<AtomicUsize>,
        room: usize,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut meter = Recorder { stop: Arc::clone(&stop), began: Instant::now(), samples: vec![], room };
        let thread = std::thread::spawn(move || {
            meter.samples.reserve_exact(room);
            let asked_again = play(&mut meter)?;
            Ok(Latencies { began: meter.began, samples: meter.samples, asked_again })
        });
        Self { stop, held, thread }
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

fn scripts(connections: usize) -> Vec<Script> {
    let script = |who| Script::uncontended(Protocol::Elockd, &name(FIRST_NAME + who), 1);
    (0..connections).map(script).collect()
}

impl Latencies {
    /// The latencies of all requests that were answered between two points in time, sorted as
    /// [`between`](Self::between) does. So a wait that begins in this time and lasts longer is not among them.
    #[must_use]
    pub fn answered_between(&self, from: Instant, to: Instant) -> Vec<u32> {
        let [from, to] = [from, to].map(|point| point.saturating_duration_since(self.began).as_micros());
        let is_within = |sample: &&Sample| (from..=to).contains(&u128::from(sample.at_us));
        let mut within: Vec<u32> =
            self.samples.iter().filter(is_within).map(|sample| sample.latency_ns).collect();
        within.sort_unstable();
        within
    }

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
