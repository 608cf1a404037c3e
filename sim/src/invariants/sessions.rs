//! Sessions: a key opens what was left by the connection that was told it, and nothing else. Whoever says it has those
//! very holds, and the connection that had them ends. (The judge `oracle/sessions.rs` sees the same without the
//! witness.)

use super::{Held, Invariant, Outcome};
use elockd_core::{Account, Command, Conn, Input, Output, Reason, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "a key opens its own session",
    guards: "Only who says the key, of the same account, has them again.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Outcome { observed, input, to, output, limits } = outcome;
    let asked = match input {
        Input::Command(conn, command) if conn == to => Some(command),
        _ => None,
    };
    match (output, asked) {
        (Output::Reply(Reply::Lingers { key, ms }), Some(Command::Linger(asked))) => {
            if ms != asked || *ms > limits.linger_ms || key.is_some() != (*ms > 0) {
                return Err(format!("{to:?} asked for {asked} ms of grace, and was given {ms}"));
            }
            let own = observed.grace(*to).map(|grace| &grace.key[..]);
            let is_others = |key: &[u8]| observed.graces().any(|grace| grace.key == key);
            match key {
                Some(key) if own.is_none_or(|own| own != *key) && (own.is_some() || is_others(key)) => {
                    Err(format!("{to:?} was told another key than before, or another's"))
                }
                _ => Ok(()),
            }
        }
        (Output::Reply(Reply::LingerFailure), Some(Command::Linger(ms))) if *ms <= limits.linger_ms => {
            Err(format!("{to:?} was refused {ms} ms of grace, and {} are allowed", limits.linger_ms))
        }
        (
            Output::Reply(reply @ (Reply::Resumed { .. } | Reply::ResumeFailure)),
            Some(Command::Resume(key)),
        ) => {
            let expected = may_have(outcome, *to, key).filter(|_| !observed.is_draining());
            let told = match reply {
                Reply::Resumed { holds } => Some(*holds as usize),
                _ => None,
            };
            if told == expected {
                Ok(())
            } else {
                Err(format!("{to:?} said a key that gives it {expected:?} holds, and was told {told:?}"))
            }
        }
        (Output::Disconnect(Reason::Resumed), _) => match input {
            Input::Command(by, Command::Resume(_)) if by != to && observed.held_by(*to).is_empty() => Ok(()),
            other => Err(format!("{to:?} was ended as if it were resumed, by {other:?}")),
        },
        _ => Ok(()),
    }
}

/// How many holds a key gives to a connection. `None` if it gives nothing.
fn may_have(outcome: &Outcome<'_>, to: Conn, key: &[u8]) -> Option<usize> {
    let observed = outcome.observed;
    let account = |conn: Conn| -> Option<Account> {
        let left = observed.sessions().get(&conn).map(|session| &session.origin);
        observed.origin(conn).or(left).map(|origin| origin.account)
    };
    let old = observed.opened_by(key)?;
    let is_right = old == to || (observed.held_by(to).is_empty() && account(old) == account(to));
    is_right.then(|| observed.held_by(old).len())
}
