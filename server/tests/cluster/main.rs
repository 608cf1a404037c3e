//! Goal: a cluster of real daemons keeps its promises, whatever becomes of its processes, their disks and the network.
//! Method: each node is a process of its own on loopback, with a state directory of its own, set up by the commands
//! that operators have. Nodes are killed, stopped, cut off, restarted, removed and replaced, under clients that record
//! what they were told. Times have room for a busy machine: what counts is the order of things.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../tls/authority.rs"]
mod authority;
mod bridge;
mod certificates;
mod deaths;
mod disks;
mod everyday;
mod judge;
mod load;
mod members;
mod nodes;
mod pauses;
mod quorum;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
