//! Limited shares: a request with LIMIT N is granted only while fewer than N connections hold the lock.

use super::{Held, Invariant, Outcome, shown};
use elockd_core::{Command, Input, Kind, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "limits of shares hold",
    guards: "A request with LIMIT N is never granted while N or more other connections hold the lock.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Output::Reply(Reply::Got { kind: Kind::Shared, holders, name }) = outcome.output else {
        return Ok(());
    };
    let to = outcome.to;
    let waited = outcome.observed.waits().of(to).map(|(_, wait)| wait.limit);
    let asked = match outcome.input {
        Input::Command(conn, Command::Get(wish)) if *conn == to && wish.kind() == Kind::Shared => {
            wish.limit()
        }
        _ => 0,
    };
    let limit = waited.unwrap_or(asked);
    if limit == 0 || *holders <= limit || outcome.observed.is_holder(to, Kind::Shared, name) {
        return Ok(());
    }
    Err(format!("{to:?} was given {}, of which {limit} may be, as one of {holders}", shown(name)))
}
