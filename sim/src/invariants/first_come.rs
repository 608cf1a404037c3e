//! First come, first served: a granted wait is the first in its line. Only `sg`, and a connection that already holds
//! the lock, get past a line.

use super::{Held, Invariant, Outcome, shown};
use elockd_core::{Command, Input, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "first come, first served",
    guards: "Waits for a lock are granted strictly in the order in which they began. No other request gets a lock \
             that somebody waits for.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Output::Reply(Reply::Got { kind, name, .. }) = outcome.output else { return Ok(()) };
    let lock = (*kind, name.to_vec());
    let Some(head) = outcome.observed.waits().head(&lock) else { return Ok(()) };
    let to = outcome.to;
    // `sg` is the old verb, which knows no lines.
    let is_old = matches!(
        outcome.input,
        Input::Command(conn, Command::Get(wish)) if *conn == to && wish.kind() == *kind && !wish.heeds_line()
    );
    // Who holds it in another way goes on in this one.
    let mut kinds = [Some(*kind), kind.rival()].into_iter().flatten();
    let is_holder = kinds.any(|kind| outcome.observed.is_holder(to, kind, name));
    if head.conn == to || is_old || is_holder {
        return Ok(());
    }
    Err(format!("{to:?} was given {kind:?} {}, and {:?} was first in line", shown(name), head.conn))
}
