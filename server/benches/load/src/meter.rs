//! What is recorded of a run: operations in a window of time. A callback is told of the window's edges.

use super::LoadError;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// The longest latency that is recorded exactly, in nanoseconds: a minute.
const HIGHEST_NS: u64 = 60_000_000_000;

/// An edge of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Counting begins.
    Begin,
    /// Counting ends.
    End,
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Operations that were finished in the window.
    pub operations: u64,
    /// All operations that were finished, including those of the warm-up and the end.
    pub total: u64,
    /// How long the window was.
    pub elapsed: Duration,
    /// How long each operation took, in nanoseconds, from the write of its request to the read of its reply.
    pub latency_ns: Histogram<u64>,
}

impl Report {
    /// Operations a second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency, in microseconds, that a part `quantile` (0.5, 0.99 …) of all operations did not exceed.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "latencies are far below 2^52 ns")]
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Records what a run does, and decides when it ends.
pub(super) trait Meter {
    /// Everything is prepared, and connections begin to speak.
    fn start(&mut self, now: Instant);

    /// Notes the time. Returns whether connections may go on.
    fn goes_on(&mut self, now: Instant) -> bool;

    /// Records `operations` operations that began at `since` and are finished.
    fn record(&mut self, since: Instant, now: Instant, operations: u32);
}

/// Counts between two points in time.
pub(super) struct Window<'e> {
    warm_up: Duration,
    measured: Duration,
    begin: Instant,
    end: Instant,
    state: State,
    total: u64,
    operations: u64,
    elapsed: Duration,
    latency_ns: Histogram<u64>,
    at_edge: &'e mut dyn FnMut(Edge),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Within,
    After,
}

impl<'e> Window<'e> {
    pub(super) fn new(warm_up: Duration, measured: Duration, at_edge: &'e mut dyn FnMut(Edge)) -> Self {
        let now = Instant::now();
        Self {
            warm_up,
            measured,
            begin: now,
            end: now,
            state: State::Before,
            total: 0,
            operations: 0,
            elapsed: Duration::ZERO,
            latency_ns: Histogram::new_with_bounds(1, HIGHEST_NS, 3).expect("these bounds are in order"),
            at_edge,
        }
    }

    pub(super) fn report(self) -> Result<Report, LoadError> {
        if self.operations == 0 || self.state != State::After {
            return Err(LoadError::Nothing);
        }
        let Self { total, operations, elapsed, latency_ns, .. } = self;
        Ok(Report { operations, total, elapsed, latency_ns })
    }
}

impl Meter for Window<'_> {
    fn start(&mut self, now: Instant) {
        self.begin = now + self.warm_up;
        self.end = self.begin + self.measured;
    }

    fn goes_on(&mut self, now: Instant) -> bool {
        if self.state == State::Before && now >= self.begin {
            self.state = State::Within;
            // The callback itself takes time, which must not count.
            (self.at_edge)(Edge::Begin);
            self.begin = Instant::now();
            self.end = self.begin + self.measured;
        } else if self.state == State::Within && now >= self.end {
            self.state = State::After;
            self.elapsed = now - self.begin;
            (self.at_edge)(Edge::End);
        }
        self.state != State::After
    }

    fn record(&mut self, since: Instant, now: Instant, operations: u32) {
        self.total += u64::from(operations);
        if self.state == State::Within {
            self.operations += u64::from(operations);
            let latency_ns = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
            self.latency_ns.saturating_record_n(latency_ns, u64::from(operations));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: operations before and after the window are not part of the rate, and each edge is told once.
    #[test]
    fn only_the_window_counts() {
        let mut edges = Vec::new();
        let mut at_edge = |edge| edges.push(edge);
        let (warm_up, measured) = (Duration::from_secs(1), Duration::from_secs(2));
        let mut window = Window::new(warm_up, measured, &mut at_edge);
        let start = Instant::now();
        window.start(start);
        assert!(window.goes_on(start));
        window.record(start, start, 10);
        assert!(window.goes_on(start + warm_up));
        let since = start + warm_up;
        window.record(since, since + Duration::from_micros(50), 3);
        assert!(!window.goes_on(start + Duration::from_mins(1)));
        window.record(start, start + Duration::from_mins(1), 5);
        assert!(!window.goes_on(start + Duration::from_secs(61)));
        let report = window.report().expect("something was measured");
        assert_eq!((report.operations, report.total), (3, 18));
        assert!((49.9..50.1).contains(&report.latency_us(0.5)), "{}", report.latency_us(0.5));
        assert_eq!(edges, [Edge::Begin, Edge::End]);
    }
}
