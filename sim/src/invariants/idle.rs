//! The idle limit: a connection that has sent nothing for that long is ended. (The reference model, which replays the
//! run, sees that no connection is ended early.)

use super::{Held, Invariant, State};
use elockd_core::{Figure, Now};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "idle connections end",
    guards: "With an idle limit (`--idle-timeout`), a connection that says nothing for that long is ended, \
             and no other is.",
    given: None,
    told: None,
    state: Some(state),
};

/// Connections that hold much together end in several steps, with other inputs in between. The last of them may be this
/// many milliseconds late.
const LATE_MS: u64 = 10;

fn state(state: &State<'_>) -> Held {
    let limit = state.limits.idle_ms;
    let over = |active: Now| if limit > 0 { (state.now.0 - active.0).checked_sub(limit) } else { None };
    let late = state.active.iter().filter_map(|(conn, active)| Some((conn, active, over(*active)?)));
    match late.max_by_key(|(.., ms)| *ms) {
        Some((conn, active, ms)) if ms > LATE_MS || !may_be_late(state) => {
            Err(format!("{conn:?} lives at {} ms and has been silent since {}", state.now.0, active.0))
        }
        _ => Ok(()),
    }
}

/// Whether there was ever so much that it may not end in one step.
fn may_be_late(state: &State<'_>) -> bool {
    let mut most = 0;
    state.machine.figures().each(true, &mut |key, figure| match figure {
        Figure::Number(number) if ["peak_holds", "peak_connections"].contains(&key) => most += number,
        _ => {}
    });
    most > u64::from(state.limits.step_holds)
}
