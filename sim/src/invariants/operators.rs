//! Operators: `steal` ends the hold of the holder, and `kick` ends the connections from an address or with a registered
//! name. Nobody else can do either. A connection whose lock was stolen finds out as soon as it asks.

use super::{Held, Invariant, Outcome, shown};
use crate::observed::Observed;
use elockd_core::{Account, Command, Conn, Input, Output, Reason, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "operators alone kick and steal",
    guards: "Only an operator can end what is another's. After `steal` the old holder does not hold the lock, and \
             `r` and `f` tell it so",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Outcome { observed, to, .. } = outcome;
    let is_operator =
        |conn: &Conn| observed.origin(*conn).is_some_and(|origin| origin.account == Account::ADMIN);
    match outcome.output {
        Output::Reply(Reply::Stolen { .. } | Reply::Kicked { .. }) if !is_operator(to) => {
            Err(format!("{to:?} is no operator, and could do it"))
        }
        Output::Reply(Reply::NotAllowed { .. }) if is_operator(to) => {
            Err(format!("{to:?} is an operator, and was not allowed to"))
        }
        Output::Reply(Reply::Stolen { kind, was_held, name }) => {
            let is_held = observed.holders(*kind, name) > 0;
            if *was_held == is_held {
                Ok(())
            } else {
                Err(format!("{to:?} was told that {} was held: {was_held}, it was: {is_held}", shown(name)))
            }
        }
        Output::Reply(Reply::Kicked { connections, addr }) => {
            let here = observed.open().keys().filter(|conn| is_meant(observed, **conn, addr)).count();
            let left = observed.sessions().values().filter(|session| session.is_meant(addr)).count();
            if *connections as usize == here + left {
                Ok(())
            } else {
                Err(format!(
                    "{to:?} was told of {connections} connections at or called {}, there are {here} and {left} sessions",
                    shown(addr)
                ))
            }
        }
        Output::Disconnect(Reason::Kicked) => match outcome.input {
            // Whether the sender was an operator was checked when it got its reply.
            Input::Command(_, Command::Kick(addr)) if is_meant(observed, *to, addr) => Ok(()),
            other => Err(format!("{to:?} was closed by {other:?}")),
        },
        Output::Reply(Reply::Released { kind, name } | Reply::Fenced { kind, name, .. })
            if observed.is_stolen(*to, *kind, name) =>
        {
            Err(format!("{to:?} was robbed of {} and still has it", shown(name)))
        }
        _ => Ok(()),
    }
}

/// Whether `kick` with this address or name means a connection.
fn is_meant(observed: &Observed, conn: Conn, wanted: &[u8]) -> bool {
    let is_at = observed.origin(conn).is_some_and(|origin| origin.addr.to_string().as_bytes() == wanted);
    is_at || observed.registered(conn) == Some(wanted)
}
