//! What the server is told before it starts, beside the machine's own configuration.

use crate::access::Access;
use std::sync::Arc;
use std::time::Duration;

/// The server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The lock machine's: limits, switches, storage.
    pub machine: elockd_core::Config,
    /// The accounts and their rules. `None` is no accounts: everybody may do what clients may, and nobody says who they
    /// are.
    pub access: Option<Arc<Access>>,
    /// Connections allowed at a time that must say whose they are and have not.
    pub max_unauthenticated: u32,
    /// How long a connection that must say whose it is may take to do so.
    pub auth_timeout: Duration,
    /// Bytes a request line may have, its `\n` not counted.
    pub max_line_bytes: usize,
    /// Bytes that all listings under way may take together; one that would pass it is answered
    /// `0 Too Large`. Each entry counts its name, its holder, and three bytes.
    pub max_listing_bytes: usize,
    /// Sockets that clients may have open at a time, closing ones among them. It must be at least the machine's
    /// limit of connections.
    pub max_sockets: usize,
    /// Sockets that may be open at a time although their connection has ended or was refused. One more, and
    /// the oldest of them is closed.
    pub max_closing: usize,
    /// Sockets that may be open at a time although their handshake is not over. One more, and the oldest of them is
    /// closed.
    pub max_handshakes: usize,
    /// How long a handshake may take: all that comes before the first line.
    pub handshake_timeout: Duration,
    /// How long a connection with unsent replies may take not a byte of them until it is closed and
    /// loses its locks; `None` is for ever.
    pub write_timeout: Option<Duration>,
    /// How long connections may take to receive their last replies when the server shuts down.
    pub shutdown_timeout: Duration,
    /// Whether to log every connection, get, release and orphan, by name.
    pub verbose: bool,
    /// How long a lock may be held until a warning of it is logged; `None` is for ever.
    pub warn_held: Option<Duration>,
    /// Whether to take how long commands take, for exporters. It costs each batch a reading of the clock.
    pub measure_latency: bool,
    /// Called when the machine panics. The binary ends the process there; without it every connection
    /// panics from then on.
    pub on_panic: Option<fn()>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            machine: elockd_core::Config::default(),
            access: None,
            max_unauthenticated: 1000,
            auth_timeout: Duration::from_secs(10),
            max_line_bytes: 8192,
            max_listing_bytes: 64 << 20,
            max_sockets: usize::MAX,
            max_closing: 1000,
            max_handshakes: 1000,
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Some(Duration::from_secs(15)),
            shutdown_timeout: Duration::from_secs(5),
            verbose: false,
            warn_held: None,
            measure_latency: false,
            on_panic: None,
        }
    }
}

/// The part of a [`Config`] that can change while the server runs; see there for what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunables {
    /// Bytes that all listings under way may take together.
    pub max_listing_bytes: usize,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long a connection may take not a byte of its replies.
    pub write_timeout: Option<Duration>,
    /// How long connections may take to receive their last replies.
    pub shutdown_timeout: Duration,
    /// Whether to log what connections do, of those that open from now on.
    pub verbose: bool,
    /// How long a lock may be held until a warning of it is logged.
    pub warn_held: Option<Duration>,
}

impl Config {
    /// The part that can change.
    #[must_use]
    pub fn tunables(&self) -> Tunables {
        Tunables {
            max_listing_bytes: self.max_listing_bytes,
            handshake_timeout: self.handshake_timeout,
            write_timeout: self.write_timeout,
            shutdown_timeout: self.shutdown_timeout,
            verbose: self.verbose,
            warn_held: self.warn_held,
        }
    }

    /// Changes that part.
    pub fn tune(&mut self, tunables: Tunables) {
        let Tunables {
            max_listing_bytes,
            handshake_timeout,
            write_timeout,
            shutdown_timeout,
            verbose,
            warn_held,
        } = tunables;
        self.max_listing_bytes = max_listing_bytes;
        self.handshake_timeout = handshake_timeout;
        self.write_timeout = write_timeout;
        self.shutdown_timeout = shutdown_timeout;
        self.verbose = verbose;
        self.warn_held = warn_held;
    }
}
