//! Names are exact: a reply has the very name of its request.

use super::{Held, Invariant, Outcome, shown};
use elockd_core::{Command, Input, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "names are exact",
    guards: "No name is shortened, hashed into another, or cut at a strange byte.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Output::Reply(reply) = outcome.output else { return Ok(()) };
    let name = match reply {
        Reply::Got { name, .. }
        | Reply::GetFailure { name, .. }
        | Reply::GetTimeout { name, .. }
        | Reply::GetDeadlock { name, .. }
        | Reply::QueueFull { name, .. }
        | Reply::Ended { name, .. }
        | Reply::EndTimeout { name, .. }
        | Reply::EndDeadlock { name, .. }
        | Reply::EndQueueFull { name, .. }
        | Reply::Fenced { name, .. }
        | Reply::NotHeld { name, .. }
        | Reply::Stolen { name, .. }
        | Reply::Kicked { addr: name, .. }
        | Reply::Released { name, .. }
        | Reply::ReleaseFailure { name, .. }
        | Reply::Inspected { name, .. }
        | Reply::OutOfMemory { name }
        | Reply::TooManyLocks { name } => *name,
        Reply::UnknownCommand { verb } => *verb,
        _ => return Ok(()),
    };
    // A connection that waits has sent its request earlier.
    let waited_for = outcome.observed.waits().of(outcome.to).map(|((_, name), _)| &name[..]);
    let cut_off = outcome.observed.cut_off(outcome.to).map(|((_, name), _)| &name[..]);
    let asked = waited_for.or(cut_off).or(match outcome.input {
        Input::Command(conn, Command::Unknown(verb)) if *conn == outcome.to => Some(&verb[..]),
        Input::Command(conn, command) if *conn == outcome.to => command.name().map(|name| &name[..]),
        _ => None,
    });
    if asked == Some(name) {
        return Ok(());
    }
    Err(format!("{:?} was told of {}, having asked {:?}", outcome.to, shown(name), outcome.input))
}
