//! Guards: **at most one client holds an exclusive lock, whatever node it is connected to**, no reader beside a writer,
//! and no more shares than the limit, from a success that a client has read until it has sent a release or seen the
//! end.

use super::holds::{SeenHold, seen};
use crate::cluster::client::SHARES;
use crate::cluster::marks::ClusterMarks;
use crate::cluster::world::ClusterRun;
use elockd_core::Kind;

pub(super) fn judge(run: &ClusterRun<'_>, marks: &mut ClusterMarks) -> Result<(), String> {
    let mut holds = seen(run.history, run.happenings);
    holds.sort_by_key(|hold| hold.from);
    for (nth, hold) in holds.iter().enumerate() {
        let is_beside =
            |other: &&SeenHold| other.conn != hold.conn && other.lock() == hold.lock() && other.meets(hold);
        marks.holds_compared += 1;
        let beside: Vec<&SeenHold> = holds[..nth].iter().filter(is_beside).collect();
        let is_wrong = match hold.kind {
            Kind::Exclusive | Kind::Write => !beside.is_empty(),
            Kind::Read => beside.iter().any(|other| other.kind == Kind::Write),
            // Each of them was there when this one began.
            Kind::Shared => beside.len() >= SHARES as usize,
        };
        if is_wrong {
            let told = |hold: &SeenHold| {
                let SeenHold { conn, kind, from, until, .. } = hold;
                let node = run.history.conns[*conn].node;
                format!("#{conn} at node {node} holds it ({kind:?}) from {} to {} ms", from.ms, until.ms)
            };
            let others: Vec<_> = beside.iter().map(|other| told(other)).collect();
            return Err(format!(
                "of \"{}\": {}, and {}",
                hold.name.escape_ascii(),
                others.join(", "),
                told(hold)
            ));
        }
    }
    Ok(())
}
