//! The language: request lines in, reply lines out. Pure, like the machine. `docs/protocol.md` says what the lines
//! mean.

mod decoder;
mod foreign;
pub mod listing;
mod one_line;
mod reply;
mod request;
mod row;
mod slice;
mod text;
mod unknown;
mod verb;
mod wish;

pub use decoder::Decoder;
pub use foreign::{Beginning, Foreign};
pub use reply::{Listing, Reply, Subject};
pub use request::{Command, Refusal, parse};
pub use row::{Group, Role, Row, read_rows};
pub use text::{encode, encode_reason, read_figures, read_me, read_reason};
pub use verb::{Right, Verb, VerbSet};
pub use wish::Wish;
