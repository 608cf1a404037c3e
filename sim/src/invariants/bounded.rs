//! Limits hold, and nobody is refused below one.

use super::{Invariant, Outcome, State, Verdict};
use elockd_core::{Kind, Output, Reason, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "bounded",
    guards: "Connections, locks, names, lines, listings and unsent replies have limits, and what is over one \
             is refused with a reply.",
    told: Some(told),
    state: Some(state),
};

fn told(outcome: &Outcome<'_>) -> Verdict {
    let Outcome { belief, to, limits, .. } = outcome;
    match outcome.output {
        Output::Reply(Reply::Got { name, .. }) if name.len() > usize::from(limits.name_bytes) => {
            return Err(format!("{to:?} was given a name of {} bytes", name.len()));
        }
        Output::Reply(Reply::TooManyLocks { .. }) => {
            let own = belief.open().get(to).map_or(0, |held| held.len() as u64);
            let all: u64 = Kind::ALL.iter().map(|kind| belief.holds(*kind)).sum();
            if own < u64::from(limits.locks_per_connection) && all < u64::from(limits.locks) {
                return Err(format!("{to:?} was refused a lock with {own} of its own and {all} in all"));
            }
        }
        Output::Disconnect(Reason::TooManyConnections) => {
            // The one that is refused was taken note of when it came.
            let others = belief.open().len() as u64 - 1;
            if others < u64::from(limits.connections) {
                return Err(format!("{to:?} was refused beside {others} connections"));
            }
        }
        _ => {}
    }
    Ok(())
}

fn state(state: &State<'_>) -> Verdict {
    let State { belief, limits, .. } = state;
    let connections = belief.open().len();
    if connections > limits.connections as usize {
        return Err(format!("{connections} connections, and {} may be", limits.connections));
    }
    let all: u64 = Kind::ALL.iter().map(|kind| belief.holds(*kind)).sum();
    if all > u64::from(limits.locks) {
        return Err(format!("{all} holds, and {} may be", limits.locks));
    }
    for (conn, held) in belief.open() {
        if held.len() > limits.locks_per_connection as usize {
            return Err(format!("{conn:?} has {} holds, {} may be", held.len(), limits.locks_per_connection));
        }
    }
    Ok(())
}
