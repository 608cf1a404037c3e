//! What must hold in every run of a cluster. Each invariant has a file, which begins with the sentence that it guards.
//! They go by what clients saw, by what replicas applied, and by what was done to the world.
//!
//! Two more are looked at while a run goes on: replicas agree, and cluster time ascends (`replicas`); and at its end
//! every client gets every lock (`world`).

mod answered_in_time;
mod dead_nodes_are_freed;
mod exactly_once;
mod holds;
mod linear;
mod one_holder;
mod survivors_keep_their_locks;
mod tokens_ascend;

use super::marks::ClusterMarks;
use super::world::ClusterRun;

/// The lease of a node, in milliseconds.
const LEASE_MS: u32 = 1_600;
/// The cluster's timeout, in milliseconds.
const TIMEOUT_MS: u32 = 2_500;

/// Judges a run.
///
/// # Errors
///
/// What did not hold.
pub(super) fn judge(run: &ClusterRun<'_>, marks: &mut ClusterMarks) -> Result<(), String> {
    type Judge = fn(&ClusterRun<'_>, &mut ClusterMarks) -> Result<(), String>;
    let judges: [(&str, Judge); 7] = [
        ("one holder", one_holder::judge),
        ("exactly once", exactly_once::judge),
        ("tokens ascend", tokens_ascend::judge),
        ("answered in time", answered_in_time::judge),
        ("survivors keep their locks", survivors_keep_their_locks::judge),
        ("dead nodes are freed", dead_nodes_are_freed::judge),
        ("clients see one order", linear::judge),
    ];
    for (name, judge) in judges {
        judge(run, marks).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(())
}
