//! Accounts: nobody is told anything about a lock whose name its account may not see, and whoever sees its own figures
//! alone sees exactly those.

use super::{Held, Invariant, Outcome, shown};
use crate::observed::Observed;
use elockd_core::{Account, Conn, Output, OwnFigures, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "accounts are kept apart",
    guards: "Nobody learns a name, holds a lock or moves a figure beyond the rights of its account.",
    given: None,
    told: Some(told),
    state: None,
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Outcome { observed, to, .. } = outcome;
    let Some(origin) = observed.origin(*to) else { return Ok(()) };
    let profile = observed.accounts().of(origin.account);
    let name = match outcome.output {
        Output::Reply(Reply::OwnFigures(figures)) => return figures_are_its_own(figures, observed),
        Output::Reply(Reply::Figures { .. }) if !profile.all_figures => {
            return Err(format!("{to:?} of {} was shown all figures", profile.name));
        }
        Output::Reply(
            Reply::Got { name, .. }
            | Reply::GetFailure { name, .. }
            | Reply::GetTimeout { name, .. }
            | Reply::GetDeadlock { name, .. }
            | Reply::QueueFull { name, .. }
            | Reply::Ended { name, .. }
            | Reply::EndTimeout { name, .. }
            | Reply::EndDeadlock { name, .. }
            | Reply::EndQueueFull { name, .. }
            | Reply::Released { name, .. }
            | Reply::ReleaseFailure { name, .. }
            | Reply::Fenced { name, .. }
            | Reply::NotHeld { name, .. }
            | Reply::Inspected { name, .. }
            | Reply::TooManyLocks { name },
        ) => *name,
        _ => return Ok(()),
    };
    if profile.sees(name) {
        return Ok(());
    }
    Err(format!("{to:?} of {} was told of {}", profile.name, shown(name)))
}

fn figures_are_its_own(figures: &OwnFigures<'_>, observed: &Observed) -> Held {
    let is_its = |conn: &Conn| of(observed, *conn) == Some(figures.account);
    let waits =
        observed.open().keys().filter(|conn| is_its(conn)).filter_map(|conn| observed.waits().of(*conn));
    let ends = waits.clone().filter(|(_, wait)| wait.still.is_some()).count();
    let held: usize =
        observed.open().iter().filter(|(conn, _)| is_its(conn)).map(|(_, held)| held.len()).sum();
    let left = observed.sessions().values().filter(|session| session.origin.account == figures.account);
    let left: usize = left.map(|session| session.held.len()).sum();
    let counted =
        [observed.open().keys().filter(|conn| is_its(conn)).count(), held + left, waits.count() - ends, ends];
    let told = [figures.connections, figures.holds, figures.waiters, figures.end_waiters].map(|n| n as usize);
    if told == counted {
        Ok(())
    } else {
        Err(format!(
            "{} was told {told:?} connections, holds, waits and waits for ends, counted {counted:?}",
            figures.name
        ))
    }
}

fn of(observed: &Observed, conn: Conn) -> Option<Account> {
    observed.origin(conn).map(|origin| origin.account)
}
