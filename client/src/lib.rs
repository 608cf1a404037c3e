//! A client of the network lock daemon elockd: locks by name, among many machines.
//!
//! [`Client`] is where to begin. [`Client::lock`] and its likes ask for a lock, and give a [`Guard`]. The guard says at
//! once when its lock can no longer be counted on. `docs/clients.md` in the repository has all that guards promise,
//! with numbers, and what no client can promise.
//!
//! ```no_run
//! use elockd_client::{Client, Error};
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("127.0.0.1:9999").await?;
//! let guard = client.lock("cron.daily").wait(Duration::from_secs(5)).await?;
//! println!("the lock is ours: {}", guard.is_held());
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`blocking`] is the same without async.
//!
//! # Inside
//!
//! Everything is generic over a [`Transport`], and time comes from tokio's clock alone. So a simulation can drive it.
//!
//! * A [`Connection`] sends requests and returns whole [answers](Answer). The protocol's text is elockd-core's.
//! * A link is a connection with what it carries: its daemon, its registered name, its grace.
//! * A hold is what is known of one lock, and decides by the clock whether it can be counted on.
//! * A keeper is the task that owns the link of one or more holds. It asks, notices, releases and resumes.
//! * The pool has links that carry nothing.
//! * Tries decide which address is next after one that failed, and when.

#![forbid(unsafe_code)]

mod access_token;
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
mod resume;
mod server;
mod session;
mod settings;
mod slot;
#[cfg(feature = "ssh")]
pub mod ssh;
mod times;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod tries;

pub use access_token::AccessToken;
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
pub use settings::Builder;
pub use slot::Slot;
pub use times::{CLUSTER_GRACE_PERCENT, CLUSTER_HEARTBEAT, CLUSTER_LOST_AFTER, HEARTBEAT, LOST_AFTER};
#[cfg(feature = "tls")]
pub use tls::{TlsOptions, TlsServer};
pub use transport::{Net, NetStream, PEER_TIMEOUT, Transport};
