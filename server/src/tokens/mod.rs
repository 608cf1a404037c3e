//! Fencing tokens: where the ranges come from that the machine may give out. A source reserves a range in a way that
//! no later daemon can miss; the keeper hands it to the machine, and asks for the next one before the last is used up.
//! Locks never wait for it: when nothing can be reserved, `f` answers `0 No Tokens` in the end, and that is all.

mod clock;
mod file;
mod keeper;
mod ranges;

pub use clock::ClockTokens;
pub use file::{FileTokens, StateError};
pub use ranges::Ranges;

pub(crate) use keeper::Keeper;

use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::pin::Pin;

/// The highest fencing token there can be: the highest whole number that JSON, and JavaScript, can tell from its
/// neighbours.
pub const HIGHEST_TOKEN: u64 = (1 << 53) - 1;

/// A reservation under way.
pub type Reserving<'a> = Pin<Box<dyn Future<Output = io::Result<RangeInclusive<u64>>> + Send + 'a>>;

/// Where fencing tokens come from.
pub trait TokenSource: Send + 'static {
    /// Reserves the next range: all of it above every range before, whoever reserved that. Only what is handed back
    /// counts: after an error, or when it is dropped half way, the same range may come again.
    ///
    /// # Errors
    ///
    /// When it cannot be made sure that no later daemon gives out the same tokens. It is asked again later.
    fn reserve(&mut self) -> Reserving<'_>;
}
