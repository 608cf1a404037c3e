//! Who holds what: locks, ties, tenures, waits and connections, as structures that stay consistent by themselves. They
//! refuse nothing and know no replies. Fields are private to each file. What the machine may ask or do is a method.
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
//! A double arrow is a list through the values themselves (`storage/list.rs`). Three more lists are not drawn: all
//! waits by beginning, connections by last activity, and dead tenures to be swept. [`Holds`] has all but the
//! connections. Its `Counts` tell how much there is. [`Holds::state`] tells whether a lock is free, sole or tied, and
//! [`Lock`] has the diagram.

mod account;
mod addresses;
mod connection;
mod counts;
mod grace;
mod hasher;
mod holds;
mod line;
mod lock;
pub(crate) mod memory;
mod moment;
mod name;
mod nodes;
mod tenure;
mod tie;
mod timers;
mod times;
mod tokens;
mod wait;

pub(crate) use account::{Tally, TallyId};
pub(crate) use addresses::Source;
pub(crate) use connection::{Connection, Connections};
pub(crate) use grace::{Grace, Graces, Key, Left, Registration};
pub(crate) use holds::{Found, Holds, State};
pub(crate) use line::Aim;
pub(crate) use lock::{Lock, Locks};
pub(crate) use moment::Moment;
pub(crate) use nodes::{Node, Nodes};
pub(crate) use tenure::Tenure;
pub(crate) use tie::{Tie, TiedHold};
pub use times::Times;
pub(crate) use tokens::Tokens;
pub(crate) use wait::Wait;
