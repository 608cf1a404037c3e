//! The client side of elockd. For now it is the load generator alone, which the benchmarks drive; it knows of
//! the wire what `docs/protocol.md` says, and nothing of the server's code.

#![forbid(unsafe_code)]

pub mod load;
