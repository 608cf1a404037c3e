//! The verdict on a run whose log is complete. There are three kinds of judges, from the one that trusts the server
//! most to the one that trusts it least:
//!
//! * [`replay`] trusts the witness about the machine's inputs, and gives the same inputs to the reference model;
//! * [`connections`], [`ends`] and [`shutdown`] compare what the witness says of each connection with what its client
//!   says;
//! * [`linear`], [`sessions`], [`tokens`] and [`accounts`] use only what the clients say: is there an order of events
//!   that explains it, did each key give what was held under it, did fencing tokens ascend for all clients, across all
//!   lives of the server, and did nobody have more than its account may?

pub mod accounts;
pub mod connections;
pub mod ends;
pub mod keys;
pub mod linear;
mod listings;
pub mod replay;
pub mod sessions;
pub mod shutdown;
pub mod tokens;

use crate::history::{Connection, History, Place};
use crate::log::{Entry, Violation};
use crate::plan::Plan;
use elockd_core::Conn;

/// A finding of a judge: its place in the log, its connection, and what is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The place in the log where it shows.
    pub place: Place,
    /// The connection that it is about.
    pub conn: Option<Conn>,
    /// The violated invariant.
    pub check: &'static str,
    /// What is wrong.
    pub what: String,
}

/// Timers count whole milliseconds.
const SLACK_MS: u32 = 3;

/// Whether something is right; if not, the place in the log where it shows, and what is wrong.
type Found = Result<(), (Place, String)>;

/// A finding about one connection.
fn connection_finding(connection: &Connection, check: &'static str, place: Place, what: &str) -> Finding {
    let conn = connection.server.as_ref().map(|server| server.conn);
    let who = match &connection.client {
        Some(client) => format!("{} ({})", client.client, connection.addr),
        None => connection.addr.to_string(),
    };
    Finding { place, conn, check, what: format!("{who}: {what}") }
}

/// How much of a run could be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Locks whose history was explained.
    pub linear: u64,
    /// Locks whose history only a search explained, because the server's own order does not explain it.
    pub searched: u64,
    /// Holds that were taken over with `resume`, and are known to have been there all the time.
    pub passed: u64,
    /// Listings that were checked.
    pub listings: u64,
    /// Fencing tokens that clients were shown.
    pub tokens: u64,
    /// Requests that were refused because of an account's rules, or for want of a login.
    pub refused: u64,
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
        .and_then(|()| sessions::judge(&history).map(|passed| judged.passed = passed))
        .and_then(|()| tokens::judge(&history, &mut judged))
        .and_then(|()| accounts::judge(plan, &history).map(|refused| judged.refused = refused));
    match verdict {
        Ok(()) => Ok(judged),
        Err(Finding { place, conn, check, what }) => {
            let at_ms = entries.get(place).map_or(0, |entry| entry.at_ms);
            Err(Violation { at_ms, check, what, conn })
        }
    }
}
