//! The consensus engine, openraft. Only files of this folder name it.
//!
//! A node has one [`Engine`]. Entries that it proposes reach the [`Committed`] state of every node, in one order, once
//! a majority has them on its disks. What nodes ask each other comes in by [`Engine::answer`], and goes out by
//! [`Ask`](crate::net::Ask).

mod answer;
mod calendar;
mod engine;
mod log;
mod machine;
pub mod message;
mod network;
mod ordered;
mod proposal;
mod runtime;
mod standing;
#[cfg(test)]
mod tests;
mod types;

pub use engine::{Engine, EngineConfig, EngineError, EngineStore, MemberError};
pub use ordered::seed;
pub use proposal::{Proposal, ProposeError};
pub use runtime::{Pace, Seeded, Threads};
pub use standing::{Changes, Role, Standing};

use std::io;

type Raft<P> = openraft::Raft<types::Types<P>, machine::Machine<P>>;

/// What committed entries are given to, in their order. The engine does not read them.
pub trait Committed: Send + 'static {
    /// Applies the next entry.
    fn apply(&mut self, index: u64, entry: &[u8]);

    /// The state, to be written as bytes later, on another thread.
    fn copy(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send>;

    /// Replaces the state by that of a snapshot whose last entry is `index`. On another thread; nothing is applied
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// If the bytes are no state.
    fn install(&mut self, index: u64, state: &[u8]) -> io::Result<()>;
}
