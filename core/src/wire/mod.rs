//! The language: request lines in, reply lines out. Pure, like the machine. What the lines mean is written down in
//! `docs/protocol.md`.

mod decoder;
pub mod listing;
mod reply;
mod request;
mod verb;

pub use decoder::Decoder;
pub use reply::{Listing, Reply, Subject, encode, encode_reason};
pub use request::{Command, parse};
pub use verb::Verb;
