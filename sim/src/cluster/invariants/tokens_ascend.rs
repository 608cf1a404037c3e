//! Guards: **a fencing token is greater than every token of an earlier hold of the lock, across nodes and their
//! deaths**; and no two holds have one token.

use crate::cluster::history::Point;
use crate::cluster::marks::ClusterMarks;
use crate::cluster::world::ClusterRun;
use elockd_core::{Command, Kind, Reply};
use elockd_model_tests::reference::line_of;
use std::collections::{BTreeMap, BTreeSet};

/// A token that a client was told.
struct ToldToken {
    client: u8,
    conn: usize,
    token: u64,
    /// When the get of its hold was sent.
    asked: Point,
    answered: Point,
}

pub(super) fn judge(run: &ClusterRun<'_>, marks: &mut ClusterMarks) -> Result<(), String> {
    let mut locks: BTreeMap<(Kind, Vec<u8>), Vec<ToldToken>> = BTreeMap::new();
    for (number, conn) in run.history.conns.iter().enumerate() {
        // When the get of each hold was sent.
        let mut asked: BTreeMap<(Kind, Vec<u8>), Point> = BTreeMap::new();
        // A session may come with holds that its client never heard of, and asking again gets those. What was not
        // released since is as old as it may be.
        let mut is_resumed = false;
        let mut released: BTreeSet<(Kind, Vec<u8>)> = BTreeSet::new();
        for request in &conn.requests {
            let Some((_, told)) = &request.answer else { continue };
            match (&request.command, request.reply()) {
                (Command::Get(_), Some(Reply::Got { kind, name, .. })) => {
                    let is_new = !is_resumed || released.contains(&(line_of(kind), name.to_vec()));
                    let sent = if is_new { request.sent } else { Point::default() };
                    // Asking again changes nothing: then the hold is older.
                    asked.entry((kind, name.to_vec())).or_insert(sent);
                }
                (Command::Release(kind, name), Some(reply)) => {
                    asked.remove(&(*kind, name.clone()));
                    if matches!(reply, Reply::Released { .. }) {
                        released.insert((line_of(*kind), name.clone()));
                    }
                }
                (Command::ReleaseAll, Some(_)) => {
                    asked.clear();
                    is_resumed = false;
                }
                (Command::Resume(_), Some(Reply::Resumed { .. })) => {
                    is_resumed = true;
                    released.clear();
                }
                (_, Some(Reply::Fenced { kind, name, token })) => {
                    let at = asked.get(&(kind, name.to_vec())).copied().unwrap_or_default();
                    let told =
                        ToldToken { client: conn.client, conn: number, token, asked: at, answered: *told };
                    locks.entry((kind, name.to_vec())).or_default().push(told);
                }
                _ => {}
            }
        }
    }
    let mut owners: BTreeMap<u64, (u8, &(Kind, Vec<u8>))> = BTreeMap::new();
    for (lock, tokens) in &locks {
        for told in tokens {
            let (client, of) = *owners.entry(told.token).or_insert((told.client, lock));
            if (client, of) != (told.client, lock) {
                return Err(format!("clients {client} and {} were both told {}", told.client, told.token));
            }
            let earlier =
                tokens.iter().filter(|other| other.answered < told.asked && other.conn != told.conn);
            for other in earlier {
                marks.tokens_compared += 1;
                if other.token >= told.token {
                    let (conn, token) = (other.conn, other.token);
                    return Err(format!(
                        "#{conn} was told {token} of {lock:?}, and #{} got it later with {}",
                        told.conn, told.token
                    ));
                }
            }
        }
    }
    Ok(())
}
