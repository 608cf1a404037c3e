//! A shutdown grants nothing: from its beginning on no connection becomes a holder.

use super::{Invariant, Outcome, Verdict, shown};
use elockd_core::{Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "a shutdown grants nothing",
    guards: "From the beginning of an orderly shutdown nothing is granted any more",
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Verdict {
    match outcome.output {
        Output::Reply(Reply::Got { name, .. }) if outcome.belief.is_draining() => {
            Err(format!("{:?} was given {} during the shutdown", outcome.to, shown(name)))
        }
        Output::Reply(Reply::ShuttingDown) if !outcome.belief.is_draining() => {
            Err(format!("{:?} was told of a shutdown, and there is none", outcome.to))
        }
        _ => Ok(()),
    }
}
