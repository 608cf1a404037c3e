//! The definition of a deadlock, and nothing else. Every connection that does not wait releases everything. Every
//! connection that can then be served does the same, and so on until nothing changes. A connection that is still not
//! served never would be.
//!
//! The machine looks at a limited number of holds and waits to find that out. What it looks at, and in which order, is
//! part of the definition: it decides which waits are refused unseen.

use super::waits::{Wait, line_of, rival};
use elockd_core::{Conn, Kind};
use std::collections::BTreeMap;

type Locks = BTreeMap<(Kind, Vec<u8>), Vec<Conn>>;

/// What would become of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    Served,
    Never,
    /// It takes too long to find out.
    Unknown,
}

/// What would become of `wait` if it began now, at the end of its line. Locks are looked at one by one: first the one
/// asked for; then, for each of its holders in turn that waits, the lock that this one waits for; and so on. The search
/// is over as soon as the wait is sure to be served.
#[must_use]
pub(super) fn prospect(locks: &Locks, waits: &[Wait], asked_for: &Wait, most: usize) -> Prospect {
    if asked_for.still.as_ref().is_some_and(|still| still.contains(&asked_for.conn)) {
        return Prospect::Never;
    }
    if keeps_nobody_waiting(locks, waits, asked_for.conn, most) {
        return Prospect::Served;
    }
    let mut seen = vec![asked_for.lock()];
    let mut looked_at = 0;
    for at in 0.. {
        let Some(lock) = seen.get(at).cloned() else { break };
        let holders = holders_of(locks, &lock);
        // Behind one who holds it alone nobody need be looked at.
        let is_alone = lock.0 == Kind::Exclusive || lock.0 == Kind::Write && locks.contains_key(&lock);
        let is_in_line = |wait: &&Wait| wait.lock() == lock && wait.still.is_none();
        let line = waits.iter().filter(|wait| !is_alone && is_in_line(wait)).count();
        looked_at += holders.len() + line;
        if looked_at > most {
            return Prospect::Unknown;
        }
        if is_served(locks, waits, asked_for, &seen[..=at]) {
            return Prospect::Served;
        }
        for wait in holders.iter().filter_map(|holder| waits.iter().find(|wait| wait.conn == *holder)) {
            if !seen.contains(&wait.lock()) {
                seen.push(wait.lock());
            }
        }
    }
    Prospect::Never
}

/// Who holds a lock, in whatever way.
fn holders_of(locks: &Locks, (line, name): &(Kind, Vec<u8>)) -> Vec<Conn> {
    let of = |kind| locks.get(&(kind, name.clone())).cloned().unwrap_or_default();
    [of(*line), rival(*line).map(of).unwrap_or_default()].concat()
}

/// Whether nobody waits for what a connection holds. Of one that holds more than `most`, this is not asked.
fn keeps_nobody_waiting(locks: &Locks, waits: &[Wait], conn: Conn, most: usize) -> bool {
    let own: Vec<_> =
        locks.iter().filter(|(_, holders)| holders.contains(&conn)).map(|(lock, _)| lock).collect();
    let is_own = |wait: &Wait| own.iter().any(|(kind, name)| wait.lock() == (line_of(*kind), name.clone()));
    own.len() <= most && !waits.iter().any(is_own)
}

/// Whether `asked_for` is served in the end, if nobody is who waits for a lock that is not among those `seen`.
fn is_served(locks: &Locks, waits: &[Wait], asked_for: &Wait, seen: &[(Kind, Vec<u8>)]) -> bool {
    let waits: Vec<&Wait> = waits.iter().chain([asked_for]).collect();
    let mut served: Vec<&Wait> = Vec::new();
    loop {
        let is_served = |wait: &Wait| served.iter().any(|other| other.conn == wait.conn);
        let can_be_served = |wait: &Wait| {
            // All other holders have released it.
            let stays =
                |holder: &&Conn| waits.iter().any(|other| other.conn == **holder && !is_served(other));
            if let Some(still) = &wait.still {
                return seen.contains(&wait.lock()) && !still.iter().any(|holder| stays(&holder));
            }
            let left = |kind: Option<Kind>| {
                let holders = kind.and_then(|kind| locks.get(&(kind, wait.name.clone())));
                holders.map_or(0, |holders| holders.iter().filter(stays).count())
            };
            let mut ahead = waits
                .iter()
                .take_while(|other| other.conn != wait.conn)
                .filter(|other| other.lock() == wait.lock() && other.still.is_none());
            seen.contains(&wait.lock())
                && ahead.all(|other| is_served(other))
                && wait.fits(left(Some(wait.kind)), left(rival(wait.kind)))
        };
        match waits.iter().find(|wait| !is_served(wait) && can_be_served(wait)) {
            Some(next) => served.push(next),
            None => return is_served(asked_for),
        }
    }
}
