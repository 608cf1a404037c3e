//! Accepting without end: which errors are nothing, and which are waited out and told of once.

use super::{Listener, Peer};
use elockd_core::mark;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

/// How long it waits after an error.
const RETRY: Duration = Duration::from_millis(100);

/// A listener whose errors are dealt with: what runs out (file descriptors, memory) comes back when connections
/// end, and until then it tries again at a slow pace.
pub struct Acceptor<L> {
    listener: L,
    is_failing: bool,
}

impl<L: Listener> Acceptor<L> {
    /// For a listener, of which no error is known.
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
