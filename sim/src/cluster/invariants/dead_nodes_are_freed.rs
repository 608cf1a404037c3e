//! Guards: **a dead node's connections are over, and their locks free, within the cluster's timeout of its death, or of
//! the last change of leader where that came later**.

use super::TIMEOUT_MS;
use crate::cluster::marks::ClusterMarks;
use crate::cluster::world::ClusterRun;

/// Messages on their way, and steps of this simulation.
const SLACK_MS: u32 = 100;

pub(super) fn judge(run: &ClusterRun<'_>, marks: &mut ClusterMarks) -> Result<(), String> {
    let ClusterRun { nodes, happenings, ledger, .. } = run;
    for (death_ms, node, death) in happenings.deaths() {
        // What is applied shows what was open. A connection of which the log never heard holds nothing.
        let open = ledger.conns.iter().filter(|((of, _), logged)| {
            *of == node && logged.opened_ms < death_ms && logged.ended_ms.is_none_or(|ms| ms >= death_ms)
        });
        let over_ms = open.map(|(_, logged)| logged.ended_ms.unwrap_or(run.end_ms)).max();
        let Some(over_ms) = over_ms else { continue };
        let change_ms = happenings.elections().filter(|ms| *ms <= over_ms).last().unwrap_or(0);
        let bound_ms = death_ms.max(change_ms) + TIMEOUT_MS + SLACK_MS;
        let from_ms = death_ms.saturating_sub(TIMEOUT_MS);
        let until_ms = bound_ms.min(over_ms);
        if !happenings.links_were_well(from_ms, until_ms)
            || happenings.fewest_running(*nodes, from_ms, until_ms) <= nodes / 2
        {
            continue;
        }
        marks.deaths_timed += 1;
        if over_ms > bound_ms {
            return Err(format!(
                "node {node} died at {death_ms} ms ({death:?}), the leader changed last at {change_ms} ms, and its \
                 connections were over at {over_ms} ms"
            ));
        }
    }
    Ok(())
}
