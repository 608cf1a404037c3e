//! Deadlines: no grant comes after its wait's deadline, no timeout comes before it, and no wait lasts beyond it.

use super::{Held, Invariant, Outcome, State, shown};
use elockd_core::{Command, Input, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "deadlines hold",
    guards: "A wait ends when its MS milliseconds are over. It ends earlier only if it is granted, its connection \
             ends, or the daemon shuts down. It is never granted after its deadline.",
    given: None,
    told: Some(told),
    state: Some(state),
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Outcome { observed, to, .. } = outcome;
    let wait = observed.waits().of(*to).map(|(_, wait)| wait);
    match outcome.output {
        Output::Reply(Reply::Got { name, .. } | Reply::Ended { name, .. })
            if wait.is_some_and(|wait| wait.is_due(observed.now())) =>
        {
            Err(format!("{to:?} was given {} at {} ms, after its deadline", shown(name), observed.now().0))
        }
        Output::Reply(Reply::GetTimeout { name, .. } | Reply::EndTimeout { name, .. }) => {
            // The end of its connection ends a wait too, and a request with MS 0 times out at once.
            let has_ended = observed.cut_off(*to).is_some();
            let asked_for_none = match outcome.input {
                Input::Command(conn, Command::Get(wish)) => conn == to && wish.ms() == Some(0),
                Input::Command(conn, Command::AwaitEnd { ms, .. }) => conn == to && *ms == 0,
                _ => false,
            };
            let is_due = wait.map_or(has_ended || asked_for_none, |wait| wait.is_due(observed.now()));
            if is_due { Ok(()) } else { Err(format!("{to:?} gave up {} too early", shown(name))) }
        }
        _ => Ok(()),
    }
}

fn state(state: &State<'_>) -> Held {
    let now = state.observed.now();
    match state.observed.waits().all().find(|wait| wait.is_due(now)) {
        Some(wait) => {
            let (conn, deadline) = (wait.conn, wait.deadline.0);
            Err(format!("{conn:?} waits at {} ms, and its deadline was at {deadline} ms", now.0))
        }
        None => Ok(()),
    }
}
