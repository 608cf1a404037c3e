//! Accepting that never stops: some errors are ignored, others are waited out and reported once.

use super::{Listener, Peer};
use elockd_core::mark;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// Pause after an error.
const RETRY: Duration = Duration::from_millis(100);

/// A listener that handles its errors. If file descriptors or memory run out, they come back when connections end.
/// Until then it tries again at a slow pace.
pub struct Acceptor<L> {
    listener: L,
    is_failing: bool,
}

impl<L: Listener> Acceptor<L> {
    /// An acceptor of a listener. No error is known yet.
    pub fn new(listener: L) -> Self {
        Self { listener, is_failing: false }
    }

    /// Waits for the next connection. It is safe to cancel.
    pub async fn next(&mut self) -> (L::Stream, Peer) {
        let Self { listener, is_failing } = self;
        loop {
            match listener.accept().await {
                Ok(connection) => {
                    if std::mem::take(is_failing) {
                        info!("accepting again on {listener}");
                    }
                    return connection;
                }
                // The peer was gone before it was accepted.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) => {
                    mark!(AcceptFailed);
                    if !std::mem::replace(is_failing, true) {
                        warn!("cannot accept on {listener}, trying again every {RETRY:?}: {error}");
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }
}
