//! The verdict on a run whose log is complete. Three judges, from the one that trusts the server most to the
//! one that trusts it least:
//!
//! * [`replay`] takes the witness's word for what the machine was given, and gives the same to the reference
//!   model;
//! * [`connections`], [`ends`] and [`shutdown`] hold what the witness says of each connection against what its
//!   client says;
//! * [`linear`] and [`tokens`] listen to the clients alone: is there any order of events that explains what they saw,
//!   and did fencing tokens ascend for all of them, whatever became of the server?

pub mod connections;
pub mod ends;
pub mod linear;
mod listings;
pub mod replay;
pub mod shutdown;
pub mod tokens;

use crate::history::{Connection, History, Place};
use crate::log::{Entry, Violation};
use crate::plan::Plan;
use elockd_core::Conn;

/// What a judge finds wrong: where in the log, whom it is about, and what it is.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The place in the log at which it shows.
    pub place: Place,
    /// Whom it is about.
    pub conn: Option<Conn>,
    /// Which claim falls.
    pub check: &'static str,
    /// What is wrong.
    pub what: String,
}

/// Timers count whole milliseconds.
const SLACK_MS: u32 = 3;

/// Whether something is right; if not, where in the log it shows, and what is wrong.
type Verdict = Result<(), (Place, String)>;

/// What is wrong with one connection.
fn connection_finding(connection: &Connection, check: &'static str, place: Place, what: &str) -> Finding {
    let conn = connection.server.as_ref().map(|server| server.conn);
    let who = match &connection.client {
        Some(client) => format!("{} ({})", client.client, connection.addr),
        None => connection.addr.to_string(),
    };
    Finding { place, conn, check, what: format!("{who}: {what}") }
}

/// How much of it could be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Locks whose history was explained.
    pub linear: u64,
    /// Locks for which that took a search, because the server's own order does not explain it.
    pub searched: u64,
    /// Listings that were checked.
    pub listings: u64,
    /// Fencing tokens that clients were shown.
    pub tokens: u64,
}

/// Judges a run.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn judge(plan: &Plan, entries: &[Entry]) -> Result<Judged, Violation> {
    let history = History::new(plan, entries);
    let mut judged = Judged::default();
    let verdict = connections::judge(plan, entries, &history)
        .and_then(|()| ends::judge(plan, entries, &history))
        .and_then(|()| shutdown::judge(plan, entries, &history))
        .and_then(|()| replay::judge(plan, entries, &history, &mut judged))
        .and_then(|()| linear::judge(plan, entries, &history, &mut judged))
        .and_then(|()| tokens::judge(&history, &mut judged));
    match verdict {
        Ok(()) => Ok(judged),
        Err(Finding { place, conn, check, what }) => {
            let at_ms = entries.get(place).map_or(0, |entry| entry.at_ms);
            Err(Violation { at_ms, check, what, conn })
        }
    }
}
