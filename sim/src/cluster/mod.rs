//! A cluster over a simulated network: production nodes, with faults, and clients that see one set of locks.
//!
//! A seed decides everything. It draws a `plan`: how many nodes there are, how fast their clocks go, and what goes
//! wrong when. The `world` runs it: nodes on hosts of their own (`node`), with disks that lose what was not synced
//! (`disk`),
//! and clients that say lines to any node (`client`). What clients see is recorded (`history`), and so is what replicas
//! apply (`replicas`) and what was done to the world (`happenings`). The `invariants` judge that.
//!
//! [`run`] runs a seed, and [`Clusters`] runs many.

mod client;
mod common;
mod dialogue;
mod disk;
mod happenings;
mod history;
mod invariants;
mod links;
mod marks;
mod node;
mod plan;
mod replicas;
mod seeds;
mod wires;
mod world;

pub use marks::ClusterMarks;
pub use seeds::Clusters;
pub use world::{ClusterReport, run};

/// What goes wrong in a run, one line for each mishap.
#[must_use]
pub fn told(seed: u64) -> Vec<String> {
    plan::ClusterPlan::draw(seed).mishaps.iter().map(ToString::to_string).collect()
}

/// The name of a node's host.
fn node_name(number: u16) -> String {
    format!("node-{number}")
}
