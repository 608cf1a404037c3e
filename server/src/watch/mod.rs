//! What can be seen of a running server from outside the protocol: figures, the latency of commands, locks that are
//! held for long.

mod latency;
mod monitor;
pub(crate) mod overdue;

pub use latency::{Latency, LatencySnapshot};
pub use monitor::Monitor;
