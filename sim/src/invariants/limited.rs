//! Limited shares: whoever asked for a share with a limit is given it only below that.

use super::{Invariant, Outcome, Verdict, shown};
use elockd_core::{Command, Input, Kind, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "limits of shares hold",
    guards: "Nobody is given a limited share that as many hold already as its LIMIT allows.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Verdict {
    let Output::Reply(Reply::Got { kind: Kind::Shared, holders, name }) = outcome.output else {
        return Ok(());
    };
    let to = outcome.to;
    let waited = outcome.belief.waits().of(to).map(|(_, wait)| wait.limit);
    let asked = match outcome.input {
        Input::Command(conn, Command::Get(wish)) if *conn == to && wish.kind() == Kind::Shared => {
            wish.limit()
        }
        _ => 0,
    };
    let limit = waited.unwrap_or(asked);
    if limit == 0 || *holders <= limit || outcome.belief.is_holder(to, Kind::Shared, name) {
        return Ok(());
    }
    Err(format!("{to:?} was given {}, of which {limit} may be, as one of {holders}", shown(name)))
}
