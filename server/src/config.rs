//! What the server is told before it starts, beside the machine's own configuration.

use std::time::Duration;

/// The server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The lock machine's: limits, switches, storage.
    pub machine: elockd_core::Config,
    /// Bytes a request line may have, its `\n` not counted.
    pub max_line_bytes: usize,
    /// Bytes that all listings under way may take together; one that would pass it is answered
    /// `0 Too Large`. Each entry counts its name, its holder, and three bytes.
    pub max_listing_bytes: usize,
    /// How long a connection with unsent replies may take not a byte of them until it is closed and
    /// loses its locks; `None` is for ever.
    pub write_timeout: Option<Duration>,
    /// How long connections may take to receive their last replies when the server shuts down.
    pub shutdown_timeout: Duration,
    /// Called when the machine panics. The binary ends the process there; without it every connection
    /// panics from then on.
    pub on_panic: Option<fn()>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            machine: elockd_core::Config::default(),
            max_line_bytes: 8192,
            max_listing_bytes: 64 << 20,
            write_timeout: Some(Duration::from_secs(15)),
            shutdown_timeout: Duration::from_secs(5),
            on_panic: None,
        }
    }
}
