//! Turns the machine's deadlines into `Tick`s: sleeps until something is due, does one slice of it, and
//! lets everybody else run before the next.

use crate::clock::Clock;
use crate::hub::Hub;
use elockd_core::mark;
use std::future::poll_fn;
use tokio::time::sleep_until;

/// Runs until it is dropped.
pub(crate) async fn run(hub: &Hub, clock: Clock) {
    loop {
        let now = clock.now();
        let due = hub.tick(now);
        if due.is_some_and(|due| due <= now) {
            tokio::task::yield_now().await;
            continue;
        }
        let due_earlier = poll_fn(|cx| hub.poll_due_before(due, cx.waker()));
        match due.and_then(|due| clock.instant(due)) {
            // A millisecond may be cut off on the way to the timer; the loop just comes round again.
            Some(instant) => tokio::select! {
                biased;
                () = due_earlier => mark!(TickerWokenEarly),
                () = sleep_until(instant) => {}
            },
            None => due_earlier.await,
        }
    }
}
