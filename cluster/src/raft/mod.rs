//! The consensus engine, openraft. Only files of this folder name it.

use std::io;

/// What committed entries are given to, in their order. The engine does not read them.
pub trait Committed: Send + 'static {
    /// Applies the next entry.
    fn apply(&mut self, index: u64, entry: &[u8]);

    /// The state, to be written as bytes later, on another thread.
    fn copy(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send>;

    /// Replaces the state by that of a snapshot whose last entry is `index`.
    ///
    /// # Errors
    ///
    /// If the bytes are no state.
    fn install(&mut self, index: u64, state: &[u8]) -> io::Result<()>;
}
