//! Guards: **a request runs at most once, however often its node sends it on, in the order of its connection; and what
//! was answered has run**.

use crate::cluster::marks::ClusterMarks;
use crate::cluster::world::ClusterRun;

pub(super) fn judge(run: &ClusterRun<'_>, marks: &mut ClusterMarks) -> Result<(), String> {
    for (number, conn) in run.history.conns.iter().enumerate() {
        let answered = conn.requests.iter().filter(|asked| asked.answer.is_some()).count();
        let Some(logged) = run.ledger.conns.get(&(conn.node, conn.address)) else {
            if answered > 0 {
                return Err(format!("#{number} was answered, and is not in the log"));
            }
            continue;
        };
        let sent = conn.requests.iter().map(|asked| &asked.command);
        let ran = logged.commands.len();
        if ran > conn.requests.len() || !sent.zip(&logged.commands).all(|(sent, ran)| sent == ran) {
            return Err(format!("#{number} sent {:?}, and {:?} ran", conn.requests, logged.commands));
        }
        if answered > ran {
            return Err(format!("#{number} was answered {answered} requests, and {ran} ran"));
        }
        marks.connections_logged += 1;
    }
    let Some(((node, address), _)) = run.ledger.conns.iter().find(|((node, address), logged)| {
        let is_it =
            |conn: &crate::cluster::history::ClientConn| (conn.node, conn.address) == (*node, *address);
        !logged.commands.is_empty() && !run.history.conns.iter().any(is_it)
    }) else {
        return Ok(());
    };
    Err(format!("the log has requests from {address} at node {node}, and nobody was there"))
}
