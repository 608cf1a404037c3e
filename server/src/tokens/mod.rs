//! Fencing tokens: the sources of the ranges that the machine may give out. A source reserves a range in such a way
//! that no later daemon can give out the same tokens. The keeper hands the range to the machine, and reserves the
//! next one before the last is used up. Locks never wait for that: if nothing can be reserved, only `f` fails, with
//! `0 No Tokens`.

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

/// The highest fencing token. It is the highest whole number that JSON and JavaScript can tell from its neighbours.
pub const HIGHEST_TOKEN: u64 = (1 << 53) - 1;

/// A reservation in progress.
pub type Reserving<'a> = Pin<Box<dyn Future<Output = io::Result<RangeInclusive<u64>>> + Send + 'a>>;

/// A source of fencing tokens.
pub trait TokenSource: Send + 'static {
    /// Reserves the next range. All of it is above every range before, even those that other daemons reserved. Only a
    /// returned range counts: after an error, or if the future is dropped half way, the same range may come again.
    ///
    /// # Errors
    ///
    /// It is not certain that no later daemon gives out the same tokens. The keeper asks again later.
    fn reserve(&mut self) -> Reserving<'_>;
}
