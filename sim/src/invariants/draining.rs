//! A shutdown grants nothing: from its beginning no connection becomes a holder, and every wait has ended.

use super::{Held, Invariant, Outcome, State, shown};
use elockd_core::{Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "a shutdown grants nothing",
    guards: "From the beginning of an orderly shutdown nothing is granted any more, and every wait is answered \
             `0 Shutting Down`",
    given: None,
    told: Some(told),
    state: Some(state),
};

fn told(outcome: &Outcome<'_>) -> Held {
    match outcome.output {
        Output::Reply(Reply::Got { name, .. }) if outcome.observed.is_draining() => {
            Err(format!("{:?} was given {} during the shutdown", outcome.to, shown(name)))
        }
        Output::Wait if outcome.observed.is_draining() => {
            Err(format!("{:?} waits for a lock during the shutdown", outcome.to))
        }
        Output::Reply(Reply::ShuttingDown) if !outcome.observed.is_draining() => {
            Err(format!("{:?} was told of a shutdown, and there is none", outcome.to))
        }
        _ => Ok(()),
    }
}

fn state(state: &State<'_>) -> Held {
    match state.observed.waits().conns().next() {
        Some(conn) if state.observed.is_draining() => Err(format!("{conn:?} still waits in the shutdown")),
        _ => Ok(()),
    }
}
