//! Limits hold, and no request is refused below its limit.

use super::{Held, Invariant, Outcome, State};
use crate::observed::Observed;
use elockd_core::{Account, Addr, Conn, Output, Reason, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "bounded",
    guards: "Connections, locks, waits, names, lines, listings and memory have limits, and a request that exceeds one \
             is refused with a reply.",
    given: None,
    told: Some(told),
    state: Some(state),
};

fn told(outcome: &Outcome<'_>) -> Held {
    let Outcome { observed, to, limits, .. } = outcome;
    let account = observed.origin(*to).map(|origin| origin.account).unwrap_or_default();
    let quotas = observed.accounts().of(account).quotas;
    match outcome.output {
        Output::Reply(Reply::Got { name, .. }) if name.len() > usize::from(limits.name_bytes) => {
            return Err(format!("{to:?} was given a name of {} bytes", name.len()));
        }
        Output::Reply(Reply::TooManyLocks { .. }) => {
            let own = observed.open().get(to).map_or(0, |held| held.len() as u64);
            let all = in_account(observed, account).locks;
            if own < u64::from(limits.locks_per_connection)
                && all < u64::from(quotas.locks.unwrap_or(limits.locks))
            {
                return Err(format!("{to:?} was refused a lock with {own} of its own and {all} in all"));
            }
        }
        Output::Reply(Reply::QueueFull { kind, name } | Reply::EndQueueFull { kind, name }) => {
            let all = in_account(observed, account).waits;
            let line = observed.waits().awaiting(&(*kind, name.to_vec()));
            if all < u64::from(quotas.waiters.unwrap_or(limits.waiters))
                && line < limits.waiters_per_name as usize
            {
                return Err(format!("{to:?} may not wait with {line} in line and {all} waits in all"));
            }
        }
        Output::Disconnect(Reason::TooManyConnections) => {
            // The refused connection was noted when it opened, so it is not counted here.
            let others = in_account(observed, account).connections - 1;
            let neighbours = neighbours(observed, *to);
            let of_address = u64::from(limits.connections_per_address);
            if others < u64::from(limits.connections) && (of_address == 0 || neighbours < of_address) {
                return Err(format!("{to:?} was refused beside {others} connections"));
            }
        }
        _ => {}
    }
    Ok(())
}

fn state(state: &State<'_>) -> Held {
    let State { observed, limits, .. } = state;
    let listed = observed.accounts().iter().map(|(account, _)| account);
    for account in listed.chain([Account::default()]) {
        let quotas = observed.accounts().of(account).quotas;
        let (most_locks, most_waits) =
            (quotas.locks.unwrap_or(limits.locks), quotas.waiters.unwrap_or(limits.waiters));
        let AccountCounts { connections, locks, waits } = in_account(observed, account);
        if connections > u64::from(limits.connections) && account != Account::ADMIN {
            return Err(format!("{connections} connections, and {} may be", limits.connections));
        }
        if locks > u64::from(most_locks) {
            return Err(format!("{locks} holds and waits, and {most_locks} may be"));
        }
        if waits > u64::from(most_waits) {
            return Err(format!("{waits} waits, and {most_waits} may be"));
        }
    }
    for (conn, held) in observed.open() {
        // A wait counts as the hold that it may become.
        let held = held.len() + usize::from(waits_for_a_lock(observed, *conn));
        if held > limits.locks_per_connection as usize {
            return Err(format!(
                "{conn:?} has {held} holds and waits, {} may be",
                limits.locks_per_connection
            ));
        }
    }
    let lines = observed.waits().lines().map(|(lock, _)| lock);
    for lock in lines.chain(observed.waits().ends().map(|(lock, _)| lock)) {
        let waits = observed.waits().awaiting(lock);
        if waits > limits.waiters_per_name as usize {
            return Err(format!("{waits} wait for {lock:?}, {} may", limits.waiters_per_name));
        }
    }
    Ok(())
}

/// Whether a connection waits for a lock, and not for the end of one.
fn waits_for_a_lock(observed: &Observed, conn: Conn) -> bool {
    observed.waits().of(conn).is_some_and(|(_, wait)| wait.still.is_none())
}

/// How many connections beside this one come from its IP address.
fn neighbours(observed: &Observed, conn: Conn) -> u64 {
    let ip = |conn: Conn| match observed.origin(conn).map(|origin| origin.addr) {
        Some(Addr::Ip(addr)) => Some(addr.ip()),
        _ => None,
    };
    let open = observed.open().keys().filter(|other| **other != conn);
    open.filter(|other| ip(conn).is_some() && ip(**other) == ip(conn)).count() as u64
}

/// What counts for one account. A wait counts as the hold that it may become.
#[derive(Clone, Copy, Debug, Default)]
struct AccountCounts {
    connections: u64,
    locks: u64,
    waits: u64,
}

fn in_account(observed: &Observed, account: Account) -> AccountCounts {
    let mut counts = AccountCounts::default();
    for (conn, held) in observed.open() {
        if observed.origin(*conn).is_some_and(|origin| origin.account == account) {
            let waits = u64::from(observed.waits().of(*conn).is_some());
            counts.connections += 1;
            counts.waits += waits;
            counts.locks += held.len() as u64 + u64::from(waits_for_a_lock(observed, *conn));
        }
    }
    for session in observed.sessions().values().filter(|session| session.origin.account == account) {
        counts.locks += session.held.len() as u64;
    }
    counts
}
