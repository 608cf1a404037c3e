//! Each connection is told once how its wait has ended. A connection that neither asked nor waits is told nothing.

use super::{Held, Invariant, Outcome};
use elockd_core::{Input, Output};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "who waits is told once",
    guards: "While a connection waits for a lock, none of its later requests is run. It is told once how its wait \
             has ended.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Outcome { observed, input, to, output, .. } = outcome;
    let has_asked = matches!(input, Input::Command(conn, _) if conn == to);
    let waits = observed.waits().of(*to).is_some() || observed.cut_off(*to).is_some();
    match output {
        Output::Reply(reply) if !has_asked && !waits => {
            Err(format!("{to:?} was told {reply:?}, and neither asked nor waits"))
        }
        _ => Ok(()),
    }
}
