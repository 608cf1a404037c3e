//! Accepting that never stops: some errors are ignored, others are waited out. The log is told of them now and then.

use super::{Listener, Peer};
use elockd_core::mark;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

/// Pause after an error.
const RETRY: Duration = Duration::from_millis(100);
/// Time between two lines of the log about errors.
const BETWEEN_LINES: Duration = Duration::from_mins(1);
/// Time without an error after which errors are over.
const QUIET: Duration = Duration::from_secs(10);

/// A listener that handles its errors. If file descriptors or memory run out, they come back when connections end.
/// Until then it tries again at a slow pace.
pub struct Acceptor<L> {
    listener: L,
    /// Set while errors are not over.
    trouble: Option<Trouble>,
}

/// Errors that are not over.
struct Trouble {
    told_at: Instant,
    /// Errors since the log was told of one.
    untold: u64,
    last_at: Instant,
    /// Whether something was accepted since the last error.
    has_accepted: bool,
}

impl<L: Listener> Acceptor<L> {
    /// An acceptor of a listener. No error is known yet.
    pub fn new(listener: L) -> Self {
        Self { listener, trouble: None }
    }

    /// Waits for the next connection. It is safe to cancel.
    pub async fn next(&mut self) -> (L::Stream, Peer) {
        loop {
            let over_at = self.trouble.as_ref().filter(|trouble| trouble.has_accepted);
            let over_at = over_at.map(|trouble| trouble.last_at + QUIET);
            let accepted = tokio::select! {
                biased;
                () = reached(over_at) => {
                    info!("accepting again on {}", self.listener);
                    self.trouble = None;
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok(connection) => {
                    if let Some(trouble) = &mut self.trouble {
                        trouble.has_accepted = true;
                    }
                    return connection;
                }
                // The peer was gone before it was accepted.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) => {
                    mark!(AcceptFailed);
                    self.note(&error);
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Tells the log of an error, unless it was told not long ago.
    fn note(&mut self, error: &io::Error) {
        let (listener, now) = (&self.listener, Instant::now());
        match &mut self.trouble {
            None => {
                warn!("cannot accept on {listener}, trying again every {RETRY:?}: {error}");
                let trouble = Trouble { told_at: now, untold: 0, last_at: now, has_accepted: false };
                self.trouble = Some(trouble);
            }
            Some(trouble) => {
                trouble.untold += 1;
                trouble.last_at = now;
                trouble.has_accepted = false;
                if now - trouble.told_at >= BETWEEN_LINES {
                    warn!(
                        "cannot accept on {listener}, {} times since it was last reported, trying again every \
                         {RETRY:?}: {error}",
                        trouble.untold
                    );
                    trouble.told_at = now;
                    trouble.untold = 0;
                }
            }
        }
    }
}

/// Ready from a point in time on. `None` never comes.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
