//! The wire: request lines in, reply lines out. Pure, like the machine, and knows nothing of it but the
//! types of commands and replies. What the lines mean is written down in `docs/protocol.md`.

mod decode;
mod encode;

pub use decode::{Decoder, parse};
pub use encode::{encode, encode_reason};
