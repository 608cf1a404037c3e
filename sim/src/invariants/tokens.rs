//! Fencing tokens ascend. Each belongs to one hold and is shown only to its holder. (The judge `oracle/tokens.rs`
//! checks the same across the server's lives and without its witness.)

use super::{Held, Invariant, Outcome, shown};
use elockd_core::{Command, Input, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "tokens ascend",
    guards: "A fencing token is greater than every token that was given out before, for any lock, also before a \
             restart of the daemon. It stays with its hold until that ends.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Outcome { observed, to, .. } = outcome;
    let tokens = observed.tokens();
    let Input::Command(_, Command::Fence(kind, asked)) = outcome.input else { return Ok(()) };
    let (is_holder, token) =
        (observed.is_holder(*to, *kind, asked), tokens.of(*to, &(*kind, asked.to_vec())));
    let name = shown(asked);
    match outcome.output {
        Output::Reply(Reply::Fenced { .. } | Reply::NoTokens) if !is_holder => {
            Err(format!("{to:?} does not hold {name}, and was told of its token"))
        }
        Output::Reply(Reply::NotHeld { .. }) if is_holder => {
            Err(format!("{to:?} holds {name}, and was told that it does not"))
        }
        Output::Reply(Reply::NoTokens) if token.is_some() || tokens.left() > 0 => {
            Err(format!("{to:?} was told of no tokens for {name}, and {} are left", tokens.left()))
        }
        Output::Reply(Reply::Fenced { token: shown, .. }) => match token {
            Some(token) if token != *shown => {
                Err(format!("{to:?} was told {shown} for {name}, and {token} before"))
            }
            None if *shown <= tokens.highest() || *shown > tokens.last() => Err(format!(
                "{to:?} was told {shown} for {name}, and it has to be above {} and at most {}",
                tokens.highest(),
                tokens.last()
            )),
            Some(_) | None => Ok(()),
        },
        _ => Ok(()),
    }
}
