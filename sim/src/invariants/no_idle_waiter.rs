//! Nobody waits in vain: the first in a line waits only while the lock cannot be granted to it.

use super::{Held, Invariant, State, shown};
use std::collections::BTreeSet;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "no waiter while it could be granted",
    guards: "As soon as a lock can be granted to the first that waits for it, it is granted.",
    given: None,
    told: None,
    state: Some(state),
};

fn state(state: &State<'_>) -> Held {
    let observed = state.observed;
    for (lock, mut line) in observed.waits().lines() {
        if observed.could_be_granted(lock) {
            let (kind, name) = (lock.0, shown(&lock.1));
            let head = line.next().map(|wait| wait.conn);
            return Err(format!("{head:?} waits for {kind:?} {name}, which could be granted to it"));
        }
    }
    for ((kind, name), waits) in observed.waits().ends() {
        for wait in waits {
            if wait.still.as_ref().is_none_or(BTreeSet::is_empty) {
                let (conn, name) = (wait.conn, shown(name));
                return Err(format!("{conn:?} waits for the end of {kind:?} {name}, which has come"));
            }
        }
    }
    Ok(())
}
