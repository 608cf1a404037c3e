//! The engine's times on the clock of leases. The engine's own clock may stand still while the machine sleeps, and the
//! clock of leases goes on: the difference between them grows in steps.
//!
//! A time is converted with the difference that was seen last before it. So it never comes out later than it was.

use crate::clock::{Clock, Moment};
use openraft::Instant;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// How many steps are remembered. Times between the first and the second come out too early.
const STEPS: usize = 16;
/// Milliseconds that the difference grows by before it is a step. Reading two clocks takes time.
const STEP_MS: u64 = 5;

/// Converts times.
#[derive(Debug)]
pub(crate) struct Calendar<I> {
    clock: Clock,
    began: I,
    steps: Mutex<VecDeque<Step>>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    /// Milliseconds of the engine's clock, since the calendar began.
    from: u64,
    /// What is to be added to them.
    difference: u64,
}

impl<I: Instant> Calendar<I> {
    pub(crate) fn new(clock: Clock) -> Self {
        let began = I::now();
        let step = Step { from: 0, difference: clock.now().0 };
        Self { clock, began, steps: Mutex::new(VecDeque::from([step])) }
    }

    /// Now, on the clock of leases.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Looks at both clocks. To be called now and then: at each change of the engine's state.
    pub(crate) fn look(&self) {
        // In this order: the difference comes out smaller than it is, and not larger.
        let lease = self.clock.now().0;
        let engine = self.since_began(I::now());
        let difference = lease.saturating_sub(engine);
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let last = steps.back_mut().expect("there is one from the beginning on");
        if difference > last.difference + STEP_MS {
            steps.push_back(Step { from: engine, difference });
            if steps.len() > STEPS {
                // The first one stays: its difference is the smallest.
                steps.remove(1);
            }
        } else {
            last.difference = last.difference.min(difference);
        }
    }

    /// When something was, on the clock of leases: then, or earlier.
    pub(crate) fn moment(&self, instant: I) -> Moment {
        let engine = self.since_began(instant);
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let step = steps.iter().rev().find(|step| step.from <= engine);
        let difference = step.expect("the first is from the beginning on").difference;
        Moment(engine + difference)
    }

    fn since_began(&self, instant: I) -> u64 {
        instant.saturating_duration_since(self.began).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft_rt_tokio::TokioInstant;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    /// Goal: a time never comes out later than it was, also when the machine slept since. Method: two clocks by hand.
    /// One of them stands still for a while.
    #[tokio::test(start_paused = true)]
    async fn a_time_before_a_sleep_stays_before_it() {
        let (clock, hand) = Clock::by_hand();
        let passes = async |ms| {
            hand.fetch_add(ms, Ordering::SeqCst);
            tokio::time::advance(Duration::from_millis(ms)).await;
        };
        hand.store(1_000, Ordering::SeqCst);
        let calendar = Calendar::<TokioInstant>::new(clock);
        passes(100).await;
        calendar.look();
        let before = TokioInstant::now();
        assert_eq!(calendar.moment(before), Moment(1_100));
        // Later, and nobody looked before the sleep.
        passes(10).await;
        let unseen = TokioInstant::now();
        hand.fetch_add(10_000, Ordering::SeqCst);
        passes(20).await;
        calendar.look();
        let after = TokioInstant::now();
        assert_eq!(calendar.moment(before), Moment(1_100));
        assert_eq!(calendar.moment(unseen), Moment(1_110));
        assert_eq!((calendar.moment(after), calendar.now()), (Moment(11_130), Moment(11_130)));
        // Long ago, with more steps behind it than are kept: earlier than it was.
        for _ in 0..2 * STEPS {
            hand.fetch_add(1_000, Ordering::SeqCst);
            passes(1).await;
            calendar.look();
        }
        assert!(calendar.moment(TokioInstant::now()) == calendar.now());
        assert!(calendar.moment(before) <= Moment(1_100), "{:?}", calendar.moment(before));
    }
}
