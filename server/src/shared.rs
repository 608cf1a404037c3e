//! What all tasks of a server share.

use crate::access::Control;
use crate::clock::Clock;
use crate::config::{Config, Tunables};
use crate::gate::Gate;
use crate::places::{MOST_OPERATORS, Places};
use crate::watch::{Failures, Latency};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

pub(crate) struct Shared<G> {
    pub(crate) config: Config,
    /// The way of all connections to the machine.
    pub(crate) gate: G,
    pub(crate) clock: Clock,
    /// Bytes that clients' listings under way have taken.
    pub(crate) listing_bytes: Arc<AtomicUsize>,
    /// The same of operators' listings. They have as much, so that no client can keep them from looking.
    pub(crate) operators_listing_bytes: Arc<AtomicUsize>,
    /// Listings that were too large, since the start.
    pub(crate) listings_refused: AtomicU64,
    /// The accounts and their rules, if there are any.
    pub(crate) access: Option<Control>,
    /// How long commands took, where that is wanted.
    pub(crate) latency: Option<Latency>,
    /// Holds that had lasted longer than the warning time when that was last looked at.
    pub(crate) long_holds: AtomicU64,
    /// Reservations of fencing tokens that failed, since the start.
    pub(crate) token_failures: AtomicU64,
    /// Connections that spoke another protocol.
    pub(crate) foreign: Failures,
    /// Handshakes that failed.
    pub(crate) handshake_failures: Failures,
    /// What can change while the server runs.
    pub(crate) tunables: watch::Sender<Tunables>,
    /// The places of clients' sockets.
    pub(crate) clients: Arc<Places>,
    /// The places of operators' sockets.
    pub(crate) operators: Arc<Places>,
    /// The tasks of connections: a shutdown waits for them.
    pub(crate) sessions: TaskTracker,
}

impl<G: Gate> Shared<G> {
    /// For connections through a gate, with a clock that starts now.
    pub(crate) fn new(config: Config, gate: G) -> Self {
        Self {
            tunables: watch::Sender::new(config.tunables()),
            clients: Arc::new(Places::new(config.max_sockets, config.max_closing, config.max_handshakes)),
            operators: Arc::new(Places::new(MOST_OPERATORS, MOST_OPERATORS, 0)),
            access: config.access.clone().map(Control::new),
            latency: config.measure_latency.then(Latency::default),
            config,
            gate,
            clock: Clock::start(),
            listing_bytes: Arc::default(),
            operators_listing_bytes: Arc::default(),
            listings_refused: AtomicU64::new(0),
            long_holds: AtomicU64::new(0),
            token_failures: AtomicU64::new(0),
            foreign: Failures::default(),
            handshake_failures: Failures::default(),
            sessions: TaskTracker::new(),
        }
    }

    /// The places of sockets of this kind of peer.
    pub(crate) fn places(&self, is_operator: bool) -> &Arc<Places> {
        if is_operator { &self.operators } else { &self.clients }
    }

    /// What can change, as it is now. Not for every command: it takes a lock.
    pub(crate) fn tunables(&self) -> Tunables {
        *self.tunables.borrow()
    }
}
