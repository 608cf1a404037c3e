//! Goal: the program `elock` does what its page says. Method: the program itself is run, against the real server in
//! this process, with clients that speak the protocol themselves.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod accounts;
mod check;
mod cluster;
mod cluster_page;
mod daemon;
mod margin;
#[path = "../support/network.rs"]
mod network;
mod operators;
mod others;
mod page;
mod processes;
mod proxy;
mod real_cluster;
mod running;
mod ssh;
mod terminal;
mod tls;
mod tools;
mod views;
mod waiting;

use processes::{Deadline, Guarded, PATIENCE, poll, run, told};
