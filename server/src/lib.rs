//! The lock server: elockd's lock machine behind sockets.
//!
//! The machine ([`elockd_core`]) decides everything about locks. This crate brings it connections:
//! [`hub`] puts a lock around the machine and gives each connection a mailbox. A [`gate`] is what a session speaks to.
//! A [`Server`] accepts from any [`listen::Listener`] and runs one task for each connection. Time comes from tokio's
//! clock and bytes from the listener's streams, so that a simulation can drive all of it.

pub mod access;
mod clock;
pub mod config;
pub mod gate;
pub mod hub;
pub mod listen;
mod places;
mod quoted;
mod server;
mod session;
mod shared;
mod ticker;
pub mod tokens;
mod watch;

pub use config::{Config, Tunables};
pub use places::MOST_OPERATORS;
pub use server::Server;
pub use watch::{Latency, LatencySnapshot, Monitor};

/// The exit status of a process whose machine panicked: `EX_SOFTWARE` of BSD's sysexits.
pub const EXIT_PANIC: i32 = 70;

/// The exit status of a node that could not close its sockets in time when its lease was over: `EX_TEMPFAIL` of BSD's
/// sysexits.
pub const EXIT_LATE: i32 = 75;

/// Ends the process with [`EXIT_PANIC`]: what a daemon does when its machine panics
/// ([`Config::on_panic`]).
pub fn end_process() {
    std::process::exit(EXIT_PANIC);
}
