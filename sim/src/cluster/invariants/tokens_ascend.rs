//! Guards: **a fencing token is greater than every token of an earlier hold of the lock, across nodes and their
//! deaths**; and no two holds have one token.

use crate::cluster::history::Point;
use crate::cluster::marks::ClusterMarks;
use crate::cluster::world::ClusterRun;
use elockd_core::{Command, Kind, Reply};
use std::collections::BTreeMap;

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
        // When the last get of each lock was sent that succeeded. A hold that was resumed is as old as it may be.
        let mut asked: BTreeMap<(Kind, Vec<u8>), Point> = BTreeMap::new();
        for request in &conn.requests {
            let Some((_, told)) = &request.answer else { continue };
            match (&request.command, request.reply()) {
                (Command::Get(_), Some(Reply::Got { kind, name, .. })) => {
                    // Asking again changes nothing: then the hold is older.
                    asked.entry((kind, name.to_vec())).or_insert(request.sent);
                }
                (Command::Release(kind, name), Some(_)) => drop(asked.remove(&(*kind, name.clone()))),
                (Command::ReleaseAll, Some(_)) => asked.clear(),
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
