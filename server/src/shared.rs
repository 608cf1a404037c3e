//! What all tasks of a server share.

use crate::clock::Clock;
use crate::config::Config;
use crate::hub::Hub;
use elockd_core::Machine;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio_util::task::TaskTracker;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: Clock,
    /// Bytes that listings under way have taken.
    pub(crate) listing_bytes: AtomicUsize,
    /// The tasks of connections: a shutdown waits for them.
    pub(crate) sessions: TaskTracker,
}

impl Shared {
    /// A fresh machine, holding nothing, and a clock that starts now.
    pub(crate) fn new(config: Config) -> Self {
        let hub = Arc::new(Hub::new(Machine::new(config.machine.clone()), config.on_panic));
        Self {
            config,
            hub,
            clock: Clock::start(),
            listing_bytes: AtomicUsize::new(0),
            sessions: TaskTracker::new(),
        }
    }
}
