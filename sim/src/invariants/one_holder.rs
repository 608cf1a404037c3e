//! An exclusive lock has one holder: no connection is told "success" while another holds the lock in the observed
//! state.

use super::{Held, Invariant, Outcome, shown};
use elockd_core::{Kind, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "one holder",
    guards: "At most one connection holds an exclusive lock at any moment of the daemon's order of events.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Output::Reply(Reply::Got { kind: Kind::Exclusive, name, .. }) = outcome.output else { return Ok(()) };
    let holders = outcome.observed.locks(Kind::Exclusive).get(*name);
    match holders.and_then(|holders| holders.iter().find(|holder| **holder != outcome.to)) {
        Some(holder) => Err(format!("{:?} was given {}, which {holder:?} holds", outcome.to, shown(name))),
        None => Ok(()),
    }
}
