//! Turns the machine's deadlines into `Tick`s: sleeps until something is due, does one slice of it, and
//! lets everybody else run before the next.
//!
//! With an idle limit it also looks in from time to time while nothing is due. So if nobody was served for a while, for
//! example because the process was stopped, the hub knows, and does not take it for the silence of connections.

use crate::clock::Clock;
use crate::hub::Hub;
use elockd_core::{Now, mark};
use std::future::poll_fn;
use tokio::time::sleep_until;

/// The shortest and the longest time between two looks, in milliseconds. In between it is a quarter of the idle limit.
const BETWEEN_LOOKS_MS: (u64, u64) = (50, 1000);

/// Runs until it is dropped. `idle_ms` is the idle limit, or 0.
pub(crate) async fn run(hub: &Hub, clock: Clock, idle_ms: u64) {
    let (shortest, longest) = BETWEEN_LOOKS_MS;
    let every_ms = (idle_ms > 0).then(|| (idle_ms / 4).clamp(shortest, longest));
    if let Some(ms) = every_ms {
        hub.expect_rests_up_to(clock.now(), 2 * ms);
    }
    loop {
        let now = clock.now();
        let due = hub.tick(now);
        if due.is_some_and(|due| due <= now) {
            tokio::task::yield_now().await;
            continue;
        }
        // If nothing will ever be due, there is nobody who could be idle, and it sleeps on.
        let due = due.map(|due| every_ms.map_or(due, |ms| due.min(Now(now.0 + ms))));
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
