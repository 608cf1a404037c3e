//! Who holds what: locks, ties, tenures, waits and connections, as structures that stay consistent by themselves.
//! They know neither limits nor replies. Fields are private to each file; what the machine may ask or do has a name.
//!
//! ```text
//!                tally              tenure             soles
//!     Account's <------- Connection -------> Tenure ===========> Lock     found by kind and name
//!       Tally              |    ^  <------    ||                  |
//!                          |    |    owner    || tied             | once tied
//!                     wait |    | by          \/                  v
//!                          |    |          TiedHold <=========== Tie
//!                          v    |                      holds     ||
//!     Timers ============> Wait   <==============================++
//!             by deadline                       line
//! ```
//! A double arrow is a list, which goes through the values themselves (`storage/list.rs`). Besides those that are drawn
//! there are all waits by beginning, connections by last activity, and dead tenures to be swept. [`Holds`] has all but
//! the connections; its `Counts` say how much there is. What a lock is, free, sole or tied, is asked of
//! [`Holds::state`], and [`Lock`] has the diagram.

mod account;
mod connection;
mod counts;
mod holds;
mod line;
mod lock;
mod moment;
mod name;
mod tenure;
mod tie;
mod timers;
mod times;
mod tokens;
mod wait;

pub(crate) use account::TallyId;
pub(crate) use connection::{Connection, Connections, Registered};
pub(crate) use holds::{Found, Holds, State};
pub(crate) use lock::{Lock, Locks};
pub(crate) use moment::Moment;
pub(crate) use tenure::Tenure;
pub(crate) use tie::{Tie, TiedHold};
pub use times::Times;
pub(crate) use tokens::Tokens;
pub(crate) use wait::Wait;
