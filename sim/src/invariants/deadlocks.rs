//! Deadlocks: a wait that could never be granted does not begin, and no other wait is refused as a deadlock. The
//! definition decides, from the holds and the waits there are.

use super::{Held, Invariant, Outcome, shown};
use crate::observed::{Wanted, wanted};
use elockd_core::{Input, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "deadlocks are refused",
    guards: "A wait is refused as a deadlock exactly if no releases could ever lead to its grant.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let to = outcome.to;
    let is_refused = match outcome.output {
        Output::Wait => false,
        Output::Reply(Reply::GetDeadlock { .. } | Reply::EndDeadlock { .. }) => true,
        _ => return Ok(()),
    };
    let asked = match outcome.input {
        Input::Command(conn, command) if *conn == to => wanted(command),
        _ => None,
    };
    let Some(Wanted { lock, limit, is_end, .. }) = asked else {
        return Err(format!("{to:?} waits, and did not ask to"));
    };
    if outcome.observed.could_serve(to, &lock, (limit, is_end)) != is_refused {
        return Ok(());
    }
    let what = if is_refused { "was refused a wait that is no deadlock" } else { "waits for ever" };
    Err(format!("{to:?} {what}: {:?} {}", lock.0, shown(&lock.1)))
}
