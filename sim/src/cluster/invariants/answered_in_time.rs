//! Guards: **each request is answered, or its connection ended, within a node's lease of its batch's sending**; a grant
//! to a wait within one and a half. A batch is sent at the latest when those before it are over.

use super::LEASE_MS;
use crate::cluster::history::{SeenEnd, waits_ms};
use crate::cluster::marks::ClusterMarks;
use crate::cluster::world::ClusterRun;

/// Messages on their way, clocks that are wrong, and a lapse whose last words take their time.
const SLACK_MS: u32 = 300;

pub(super) fn judge(run: &ClusterRun<'_>, marks: &mut ClusterMarks) -> Result<(), String> {
    for (number, conn) in run.history.conns.iter().enumerate() {
        let end = conn.ended.map(|(at, _)| at.ms);
        // Nobody is told of a power loss.
        if run.happenings.lost_power(conn.node, conn.opened.ms, end.unwrap_or(run.end_ms)) {
            continue;
        }
        for (nth, asked) in conn.requests.iter().enumerate() {
            let is_own_end = matches!(conn.ended, Some((_, SeenEnd::Dropped)));
            let over = asked.answer.as_ref().map(|(_, at)| at.ms).or(end);
            let over_ms = over.unwrap_or(run.end_ms);
            let waits_ms = waits_ms(&asked.command);
            let mut most_ms = 2 * LEASE_MS + SLACK_MS;
            if waits_ms > 0 {
                // A wait is as long as it said, in the time of the cluster, which stands still while nobody leads.
                let pauses = run.happenings.elections().filter(|ms| (asked.sent.ms..=over_ms).contains(ms));
                most_ms += waits_ms + LEASE_MS / 2 + LEASE_MS * pauses.count() as u32;
            }
            marks.requests_timed += 1;
            let took_ms = over_ms - asked.sent.ms;
            if took_ms > most_ms && !(is_own_end && asked.answer.is_none()) {
                return Err(format!(
                    "request {nth} of #{number} at node {}, sent at {} ms, took {took_ms} ms: more than {most_ms}",
                    conn.node, asked.sent.ms
                ));
            }
        }
    }
    Ok(())
}
