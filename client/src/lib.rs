//! A client of the network lock daemon elockd.

#![forbid(unsafe_code)]

mod answer;
mod connection;
mod error;
mod holder;
mod lost;
mod name;
mod server;
mod transport;

pub use answer::Answer;
pub use connection::Connection;
pub use elockd_core::wire::{Group, Role, Row};
pub use elockd_core::{Addr, Command, Kind, Reply, Subject, Verb, Wish};
pub use error::{Error, Refusal};
pub use holder::Holder;
pub use lost::Lost;
pub use server::{DEFAULT_PORT, ParseServerError, Server};
pub use transport::{Net, NetStream, PEER_TIMEOUT, Transport};
