//! Who holds what: locks, ties, tenures, waits and connections, as structures that stay consistent by themselves.
//! They know neither limits nor replies.

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
