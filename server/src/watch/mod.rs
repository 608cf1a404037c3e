//! What a running server shows outside the protocol: figures, the latency of commands, and locks that are held for
//! long. Also handshakes that failed.

mod failures;
mod latency;
mod monitor;
pub(crate) mod overdue;

pub(crate) use failures::Failures;
pub use latency::{Latency, LatencySnapshot};
pub use monitor::Monitor;
