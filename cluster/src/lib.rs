//! Several nodes, one set of locks: the agreed log of inputs, who may serve, and the links between nodes.
//!
//! Every node runs the same lock machine over one log. A node speaks for the connections that it accepted. A node that
//! cannot reach the others lets go of its clients before anybody else may have their locks.
//!
//! This crate knows the machine, and no client's socket. A server comes to it by a [`Door`], and gives it a
//! [`Served`] machine to apply entries to.

#![forbid(unsafe_code)]

mod apply;
mod charter;
mod clock;
mod door;
pub mod lease;
mod merge;
mod message;
pub mod net;
mod node;
mod propose;
pub mod raft;
mod served;
pub mod store;
mod wire;

pub use charter::{Charter, CharterError};
pub use clock::{Clock, Moment};
pub use door::{Door, Inside, NodeInput, Service, door};
pub use message::{ControlAnswer, ControlRequest, MemberStatus, StatusRecord};
pub use node::{Addresses, Fatal, Founding, Kit, LEVELS, Node, NodeConfig, NodeFigures, StartError};
pub use served::Served;
pub use wire::Malformed;
