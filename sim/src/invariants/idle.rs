//! The idle limit: a connection that has sent nothing for that long is ended. (The reference model, which replays the
//! run, sees that no connection is ended early.)

use super::{Held, Invariant, State};
use elockd_core::Now;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "idle connections end",
    guards: "With an idle limit (`--idle-timeout`), a connection that says nothing for that long is ended, \
             and no other is.",
    given: None,
    told: None,
    state: Some(state),
};

fn state(state: &State<'_>) -> Held {
    let limit = state.limits.idle_ms;
    let is_due = |active: &Now| limit > 0 && state.now.0 - active.0 >= limit;
    match state.active.iter().find(|(_, active)| is_due(active)) {
        Some((conn, active)) => {
            Err(format!("{conn:?} lives at {} ms and has been silent since {}", state.now.0, active.0))
        }
        None => Ok(()),
    }
}
