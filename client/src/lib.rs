//! A client of the network lock daemon elockd.

#![forbid(unsafe_code)]

mod answer;
mod backoff;
pub mod blocking;
mod client;
mod connection;
mod ended;
mod error;
mod guard;
mod hold;
mod holder;
mod keeper;
mod lead;
mod link;
mod lost;
mod name;
mod pool;
mod rate;
mod request;
mod server;
mod session;
mod settings;
mod slot;
mod transport;

pub use answer::Answer;
pub use client::Client;
pub use connection::Connection;
pub use elockd_core::wire::{Group, Role, Row};
pub use elockd_core::{Addr, Command, Kind, Reply, Subject, Verb, Wish};
pub use ended::EndRequest;
pub use error::{Error, Refusal};
pub use guard::{Guard, Guards, Watch};
pub use hold::State;
pub use holder::Holder;
pub use lost::Lost;
pub use rate::RateRequest;
pub use request::LockRequest;
pub use server::{DEFAULT_PORT, ParseServerError, Server};
pub use session::Session;
pub use settings::{Builder, HEARTBEAT, LOST_AFTER};
pub use slot::Slot;
pub use transport::{Net, NetStream, PEER_TIMEOUT, Transport};
