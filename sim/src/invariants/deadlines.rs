//! Deadlines: no grant comes after its wait's, no timeout before it, and no wait is there beyond it.

use super::{Invariant, Outcome, State, Verdict, shown};
use elockd_core::{Command, Input, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "deadlines hold",
    guards: "A wait ends when its MS milliseconds are over, not earlier without a reason, and it is never granted \
             after that.",
    given: None,
    told: Some(told),
    state: Some(state),
};

fn told(outcome: &Outcome<'_>) -> Verdict {
    let Outcome { belief, to, .. } = outcome;
    let wait = belief.waits().of(*to).map(|(_, wait)| wait);
    match outcome.output {
        Output::Reply(Reply::Got { name, .. }) if wait.is_some_and(|wait| wait.is_due(belief.now())) => {
            Err(format!("{to:?} was given {} at {} ms, after its deadline", shown(name), belief.now().0))
        }
        Output::Reply(Reply::GetTimeout { name, .. }) => {
            // The end of its connection ends a wait, too, and who asks for no time has none.
            let has_ended = belief.cut_off(*to).is_some();
            let asked_for_none = matches!(
                outcome.input,
                Input::Command(conn, Command::Get(wish)) if conn == to && wish.ms() == Some(0)
            );
            let is_due = wait.map_or(has_ended || asked_for_none, |wait| wait.is_due(belief.now()));
            if is_due { Ok(()) } else { Err(format!("{to:?} gave up {} too early", shown(name))) }
        }
        _ => Ok(()),
    }
}

fn state(state: &State<'_>) -> Verdict {
    let now = state.belief.now();
    match state.belief.waits().all().find(|wait| wait.is_due(now)) {
        Some(wait) => {
            let (conn, deadline) = (wait.conn, wait.deadline.0);
            Err(format!("{conn:?} waits at {} ms, and its deadline was at {deadline} ms", now.0))
        }
        None => Ok(()),
    }
}
