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
mod latest;
pub mod lease;
mod merge;
mod message;
pub mod net;
mod node;
mod propose;
pub mod raft;
mod served;
mod status;
pub mod store;
mod wire;

pub use charter::{Charter, CharterError};
pub use clock::{Clock, Moment};
pub use door::{Door, Inside, NodeInput, Service, door};
pub use latest::{LatestReceiver, NoSender};
pub use message::{ControlAnswer, ControlRequest};
pub use node::{Addresses, Fatal, Founding, Kit, LEVELS, Node, NodeConfig, NodeFigures, StartError};
pub use served::Served;
pub use status::{Condition, MemberStatus, NodeReport, StatusRecord};
pub use wire::Malformed;
