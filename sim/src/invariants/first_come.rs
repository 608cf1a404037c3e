//! First come, first served: whoever is granted a lock is the first in its line, and nobody gets past a line
//! but with `sg`, or by holding the lock already.

use super::{Invariant, Outcome, Verdict, shown};
use elockd_core::{Command, Input, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "first come, first served",
    guards: "Waits for a lock are served strictly in the order in which they began, and whoever asks for a lock \
             that others wait for gets in line behind them.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Verdict {
    let Output::Reply(Reply::Got { kind, name, .. }) = outcome.output else { return Ok(()) };
    let lock = (*kind, name.to_vec());
    let Some(head) = outcome.belief.waits().head(&lock) else { return Ok(()) };
    let to = outcome.to;
    // The old verb is the one that knows no lines.
    let is_old = matches!(
        outcome.input,
        Input::Command(conn, Command::Get(wish)) if *conn == to && wish.kind() == *kind && !wish.heeds_line()
    );
    if head.conn == to || is_old || outcome.belief.is_holder(to, *kind, name) {
        return Ok(());
    }
    Err(format!("{to:?} was given {kind:?} {}, and {:?} was first in line", shown(name), head.conn))
}
