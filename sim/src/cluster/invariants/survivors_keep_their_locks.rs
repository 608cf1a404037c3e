//! Guards: **a connection to a node that stays in contact with most others outlives the death of any other node, the
//! leader too**.

use crate::cluster::history::SeenEnd;
use crate::cluster::marks::ClusterMarks;
use crate::cluster::world::ClusterRun;

/// What went wrong before this time has no consequences any more, in milliseconds.
const AFTERMATH_MS: u32 = 6_000;

pub(super) fn judge(run: &ClusterRun<'_>, marks: &mut ClusterMarks) -> Result<(), String> {
    let ClusterRun { nodes, happenings, history, .. } = run;
    let is_calm = |node: u16, ms: u32| {
        let from_ms = ms.saturating_sub(AFTERMATH_MS);
        let deaths = happenings.deaths().filter(|(death_ms, ..)| (from_ms..=ms).contains(death_ms)).count();
        deaths <= 1
            && happenings.links_were_well(from_ms, ms)
            && happenings.ran(node, from_ms, ms)
            && happenings.fewest_running(*nodes, from_ms, ms) > nodes / 2
    };
    for (number, conn) in history.conns.iter().enumerate() {
        if let Some((at, SeenEnd::Closed | SeenEnd::NoQuorum)) = conn.ended
            && at.ms > conn.opened.ms + AFTERMATH_MS / 4
            && is_calm(conn.node, at.ms)
        {
            return Err(format!(
                "#{number} at node {} ended at {} ms, and that node was in contact with most others",
                conn.node, at.ms
            ));
        }
        let end_ms = conn.ended.map_or(run.end_ms, |(at, _)| at.ms);
        let others = happenings.deaths().filter(|(ms, node, _)| {
            // Until then the death would have ended it.
            *node != conn.node
                && conn.opened.ms < *ms
                && ms + 2_500 < end_ms
                && is_calm(conn.node, ms + 2_500)
        });
        marks.survivors += others.count() as u64;
    }
    Ok(())
}
