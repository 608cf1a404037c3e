//! Nobody waits in vain: the first in a line waits only while the lock cannot be granted to it.

use super::{Held, Invariant, State, shown};

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
    Ok(())
}
