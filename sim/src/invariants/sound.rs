//! The machine is sound: every invariant of its own state holds, down to the links of its lists.

use super::{Held, Invariant, State};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "the machine is sound",
    guards: "A request that runs after that step sees none of it, and no request sees half of it.",
    given: None,
    told: None,
    state: Some(state),
};

fn state(state: &State<'_>) -> Held {
    state.machine.check().map_err(|violation| violation.to_string())
}
