//! Only a holder releases: a release succeeds if, and only if, the connection holds the lock.

use super::{Held, Invariant, Outcome, shown};
use elockd_core::{Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "only a holder releases",
    guards: "No other connection can release a lock, by any command, under any name.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let (kind, name, succeeded) = match outcome.output {
        Output::Reply(Reply::Released { kind, name }) => (*kind, *name, true),
        Output::Reply(Reply::ReleaseFailure { kind, name }) => (*kind, *name, false),
        _ => return Ok(()),
    };
    if outcome.observed.is_holder(outcome.to, kind, name) == succeeded {
        return Ok(());
    }
    let (to, is) =
        (outcome.to, if succeeded { "released and did not hold" } else { "holds and cannot release" });
    Err(format!("{to:?} {is} {kind:?} {}", shown(name)))
}
