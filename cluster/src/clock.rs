//! The clock of leases. It goes on while the machine sleeps, which the clock of timers does not.

use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A point in time of one node's own clock, in milliseconds. Times of two nodes say nothing of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// So many milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`. 0 if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A clock that tells moments.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Clock {
    /// The system's clock that counts from its start, and counts on while the machine sleeps.
    #[must_use]
    pub fn system() -> Self {
        Self::of(|| {
            let time = clock_gettime(ClockId::Boottime);
            // Neither is negative: it counts from the system's start.
            Moment(time.tv_sec.unsigned_abs() * 1000 + time.tv_nsec.unsigned_abs() / 1_000_000)
        })
    }

    /// A clock of one's own, for tests and simulations.
    pub fn of(now: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// A clock that stands until its hand is moved.
    #[must_use]
    pub fn by_hand() -> (Self, Arc<AtomicU64>) {
        let hand = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&hand);
        (Self::of(move || Moment(read.load(Ordering::SeqCst))), hand)
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn the_systems_clock_counts_milliseconds() {
        let clock = Clock::system();
        let (began, instant) = (clock.now(), Instant::now());
        std::thread::sleep(Duration::from_millis(30));
        let (passed, most) = (clock.now().since(began), instant.elapsed().as_millis() + 1);
        assert!((29..=most).contains(&u128::from(passed)), "{passed} of {most} ms");
    }

    #[test]
    fn a_clock_by_hand_stands() {
        let (clock, hand) = Clock::by_hand();
        assert_eq!((clock.now(), clock.now()), (Moment(0), Moment(0)));
        hand.store(7, Ordering::SeqCst);
        assert_eq!(clock.now(), Moment(7));
        assert_eq!((Moment(3).since(Moment(7)), Moment(3).plus(4)), (0, Moment(7)));
    }
}
