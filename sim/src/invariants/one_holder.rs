//! An exclusive lock has one holder, a lock that is written has one, and nobody reads beside it: no connection is told
//! "success" while another holds the lock in the observed state.

use super::{Held, Invariant, Outcome, shown};
use elockd_core::{Kind, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "one holder",
    guards: "At most one connection holds an exclusive lock, or writes a lock, at any moment of the daemon's order \
             of events.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Output::Reply(Reply::Got { kind, name, .. }) = outcome.output else { return Ok(()) };
    let beside = match kind {
        Kind::Shared => &[][..],
        Kind::Exclusive => &[Kind::Exclusive],
        Kind::Read => &[Kind::Write],
        Kind::Write => &[Kind::Read, Kind::Write],
    };
    let holders = beside.iter().filter_map(|kind| outcome.observed.locks(*kind).get(*name)).flatten();
    match holders.into_iter().find(|holder| **holder != outcome.to) {
        Some(holder) => Err(format!("{:?} was given {}, which {holder:?} holds", outcome.to, shown(name))),
        None => Ok(()),
    }
}
