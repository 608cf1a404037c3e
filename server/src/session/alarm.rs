//! A point in time at which a session goes on. The deadline is the state. The runtime's timer is made from it, and can
//! be made again.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline, and the timer that wakes the task for it.
pub(super) struct Alarm {
    /// `None` is later than any time that the runtime can count.
    at: Option<Instant>,
    /// Set once the alarm has been polled before its deadline.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// An alarm that goes off after `time`.
    pub(super) fn after(time: Duration) -> Self {
        Self { at: Instant::now().checked_add(time), timer: None }
    }

    /// Sets it `time` after its deadline, to be used when it went off. After a pause that is in the past. Then at least
    /// half of the time is left.
    pub(super) fn set_again(&mut self, time: Duration) {
        let soonest = Instant::now().checked_add(time / 2);
        self.at = self.at.and_then(|at| at.checked_add(time)).max(soonest);
        self.timer = None;
    }

    /// Ready from the deadline on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        // The timer alone is not enough: it is not ready while a busy socket uses up the task's budget.
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(at))).as_mut().poll(cx)
    }
}
