//! What exporters see of a running server, and the few things that whoever runs it may change. It decides
//! nothing, and whoever looks holds the hub's lock for no longer than it takes to copy figures.

use crate::config::Tunables;
use crate::gate::{Gate, Local};
use crate::shared::Shared;
use crate::watch::{Latency, LatencySnapshot};
use elockd_core::Figures;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A view of a server. It can be cloned, and stays valid after the server's end.
pub struct Monitor<G: Gate = Local> {
    shared: Arc<Shared<G>>,
}

impl<G: Gate> Clone for Monitor<G> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<G: Gate> Monitor<G> {
    pub(crate) fn new(shared: Arc<Shared<G>>) -> Self {
        Self { shared }
    }

    /// Looks at the machine's figures. Nobody else runs a command meanwhile: copy, and work afterwards.
    pub fn figures<R>(&self, look: impl FnOnce(Figures<'_>) -> R) -> R {
        self.shared.gate.hub().figures(look)
    }

    /// How long commands took; nothing, unless [`Config::measure_latency`](crate::Config::measure_latency) is set.
    #[must_use]
    pub fn latency(&self) -> LatencySnapshot {
        self.shared.latency.as_ref().map(Latency::snapshot).unwrap_or_default()
    }

    /// Listings that were answered `0 Too Large`, since the start.
    #[must_use]
    pub fn listings_refused(&self) -> u64 {
        self.shared.listings_refused.load(Ordering::Relaxed)
    }

    /// Holds that had lasted longer than the warning time when that was last looked at.
    #[must_use]
    pub fn long_holds(&self) -> u64 {
        self.shared.long_holds.load(Ordering::Relaxed)
    }

    /// Reservations of fencing tokens that failed, since the start.
    #[must_use]
    pub fn token_failures(&self) -> u64 {
        self.shared.token_failures.load(Ordering::Relaxed)
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.shared.sessions.is_closed()
    }

    /// Changes what can be changed while the server runs.
    pub fn tune(&self, tunables: Tunables) {
        self.shared.tunables.send_replace(tunables);
    }
}
