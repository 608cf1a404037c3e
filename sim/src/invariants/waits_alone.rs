//! While a connection waits, none of its later requests is run.

use super::{Given, Held, Invariant};
use elockd_core::Input;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "who waits says nothing else",
    guards: "While a connection waits for a lock, none of its later requests is run.",
    given: Some(given),
    told: None,
    state: None,
};

fn given(given: &Given<'_>) -> Held {
    match given.input {
        Input::Command(conn, command) if given.observed.waits().of(*conn).is_some() => {
            Err(format!("{command:?} of {conn:?} is run while it waits"))
        }
        _ => Ok(()),
    }
}
