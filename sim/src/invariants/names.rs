//! Names are exact: a reply is about the very name that was asked for.

use super::{Invariant, Outcome, Verdict, shown};
use elockd_core::{Command, Input, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "names are exact",
    guards: "no name is shortened, hashed into another, or cut at a strange byte.",
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Verdict {
    let Output::Reply(reply) = outcome.output else { return Ok(()) };
    let name = match reply {
        Reply::Got { name, .. }
        | Reply::GetFailure { name }
        | Reply::Released { name, .. }
        | Reply::ReleaseFailure { name, .. }
        | Reply::Inspected { name, .. }
        | Reply::TooManyLocks { name } => *name,
        Reply::UnknownCommand { verb } => *verb,
        _ => return Ok(()),
    };
    let asked = match outcome.input {
        Input::Command(
            conn,
            Command::Get(_, name)
            | Command::Release(_, name)
            | Command::Inspect(_, name)
            | Command::Unknown(name),
        ) if *conn == outcome.to => Some(&name[..]),
        _ => None,
    };
    if asked == Some(name) {
        return Ok(());
    }
    Err(format!("{:?} was told of {}, having asked {:?}", outcome.to, shown(name), outcome.input))
}
