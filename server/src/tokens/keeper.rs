//! The keeper: reserves fencing tokens ahead of their use, whenever fewer than half a range is left. When that fails
//! it says so once, tries again every second, and says once that it works again.

use super::TokenSource;
use crate::clock::Clock;
use crate::hub::Hub;
use std::future::poll_fn;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{info, warn};

/// How long it waits after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Reserves for one machine.
pub(crate) struct Keeper {
    source: Box<dyn TokenSource>,
    /// Fewer tokens than these are not enough.
    few: u64,
    is_failing: bool,
}

impl Keeper {
    pub(crate) fn new(source: impl TokenSource) -> Self {
        // Before the first range there is none to go by, and any token is enough.
        Self { source: Box::new(source), few: 1, is_failing: false }
    }

    /// Runs until it is dropped. `tried` is told when the first reservation has been made, or has failed; `failures`
    /// counts those that fail.
    pub(crate) async fn run(
        mut self,
        hub: &Hub,
        clock: Clock,
        failures: &AtomicU64,
        tried: oneshot::Sender<()>,
    ) {
        let mut tried = Some(tried);
        loop {
            poll_fn(|cx| hub.poll_tokens_below(self.few, cx.waker())).await;
            let reserved = self.source.reserve().await;
            let handed_over = reserved.and_then(|range| self.hand_over(hub, clock, &range));
            let has_failed = handed_over.is_err();
            self.tell(handed_over);
            if let Some(tried) = tried.take() {
                // Nobody waits for it once the server has ended.
                let _ = tried.send(());
            }
            if has_failed {
                failures.fetch_add(1, Ordering::Relaxed);
                sleep(RETRY).await;
            }
        }
    }

    /// Gives a range to the machine.
    ///
    /// # Errors
    ///
    /// When it is still in want of tokens then, so that asking again at once would go on without end.
    fn hand_over(&mut self, hub: &Hub, clock: Clock, range: &RangeInclusive<u64>) -> io::Result<()> {
        let (first, last) = (*range.start(), *range.end());
        // At the end of all tokens a range may be shorter than half of the one before.
        self.few = last.saturating_sub(first).div_ceil(2).max(1);
        hub.tokens(clock.now(), first, last);
        match hub.poll_tokens_below(self.few, Waker::noop()) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => {
                Err(io::Error::other(format!("those from {first} to {last} were reserved before")))
            }
        }
    }

    /// Tells of a failure after a success, and of a success after a failure.
    fn tell(&mut self, reserved: io::Result<()>) {
        match reserved {
            Ok(()) if std::mem::take(&mut self.is_failing) => info!("reserving fencing tokens works again"),
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!(
                        "cannot reserve fencing tokens, trying again every second; locks go on, and `f` answers \
                         0 No Tokens once none are left: {error}"
                    );
                }
            }
        }
    }
}
