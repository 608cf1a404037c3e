//! Warns of locks that have been held for long. From time to time it walks over all holds, a slice at a time like a
//! listing, so it never keeps the hub's lock for long. It releases nothing.

use crate::gate::Gate;
use crate::quoted::Quoted;
use crate::shared::Shared;
use elockd_core::{Addr, Conn, Kind, Listing, Now, Scan, Subject};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tracing::field::display;
use tracing::warn;

/// The most warnings of one walk. Further locks are only counted.
const MOST_WARNINGS: usize = 20;

/// Walks from time to time, until it is dropped.
pub(crate) async fn run(shared: &Shared<impl Gate>) {
    let mut tunables = shared.tunables.subscribe();
    // Holds that began at this time or earlier have been reported, under any limit.
    let mut warned_of = None;
    let mut rests_since = Instant::now();
    loop {
        let limit = tunables.borrow_and_update().warn_held;
        if limit.is_none() {
            shared.long_holds.store(0, Ordering::Relaxed);
        }
        // A change of settings does not delay the next walk: its time is counted from the last walk.
        let due = limit.and_then(|limit| rests_since.checked_add(pause(limit)));
        tokio::select! {
            biased;
            changed = tunables.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = until(due) => {
                let Some(limit) = limit else { continue };
                let walked_at = walk(shared, limit, warned_of).await;
                warned_of = warned_of.max(began_before(walked_at, limit));
                rests_since = Instant::now();
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The latest beginning of a hold that is as old as `limit` at this time; `None` if no hold can be that old.
fn began_before(at: Now, limit: Duration) -> Option<Now> {
    at.0.checked_sub(millis(limit)).map(Now)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Pause between two walks: a tenth of the limit, at least a second, at most a minute. So a warning is late by at
/// most a tenth of the limit, or by a second if that is more.
fn pause(limit: Duration) -> Duration {
    (limit / 10).clamp(Duration::from_secs(1), Duration::from_mins(1))
}

/// A hold that was reported in this walk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Overdue {
    conn: Conn,
    kind: Kind,
    name: Vec<u8>,
}

/// Walks over all holds and reports those of this node's connections that are overdue and began after `warned_of`.
/// Returns the time of the walk.
async fn walk(shared: &Shared<impl Gate>, limit: Duration, warned_of: Option<Now>) -> Now {
    let time = || shared.gate.time(shared.clock.now());
    let now = time();
    let limit_ms = millis(limit);
    let mut overdue = 0;
    let mut warned = BTreeSet::new();
    let mut unnamed = 0;
    for kind in Kind::ALL {
        let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: b"" });
        while !scan.is_done() {
            let mut reports = Vec::new();
            // This is read within the hub's lock: no hold of this slice began later.
            let mut read_at = None;
            shared.gate.hub().look(&mut scan, &mut |entry| {
                let at = *read_at.get_or_insert_with(time);
                if entry.conn.node() != shared.gate.node() {
                    return;
                }
                // Its age when the walk began. A hold that is younger than the walk is not overdue.
                let held_ms = entry.held_ms(at).saturating_sub(at.0 - now.0);
                if held_ms < limit_ms {
                    return;
                }
                overdue += 1;
                if warned_of.is_some_and(|warned_of| now.0.saturating_sub(held_ms) <= warned_of.0) {
                    return;
                }
                if warned.len() == MOST_WARNINGS {
                    unnamed += 1;
                    return;
                }
                let hold = Overdue { conn: entry.conn, kind, name: entry.name.to_vec() };
                // A hold that becomes tied during the walk is met twice.
                if warned.insert(hold.clone()) {
                    reports.push((
                        hold,
                        (entry.addr, entry.is_lingering),
                        entry.registered.map(<[u8]>::to_vec),
                        held_ms,
                    ));
                }
            });
            for (hold, addr, registered, held_ms) in reports {
                hold.report(addr, registered.as_deref(), held_ms);
            }
            yield_now().await;
        }
    }
    if unnamed > 0 {
        let limit = humantime::format_duration(limit);
        warn!(unnamed, "{unnamed} more locks have been held for longer than {limit}");
    }
    shared.long_holds.store(overdue, Ordering::Relaxed);
    now
}

impl Overdue {
    /// Writes the line about it. Its age is whole seconds in the text, and milliseconds in a field.
    fn report(&self, (addr, is_lingering): (Addr, bool), registered: Option<&[u8]>, age_ms: u64) {
        let (lock, kind) = (self.name.escape_ascii(), self.kind.word());
        // As listings show it.
        let addr = format!("{}{addr}", if is_lingering { "~" } else { "" });
        let held = humantime::format_duration(Duration::from_secs(age_ms / 1000));
        let holder = match registered {
            Some(name) => format!("{addr} ({})", Quoted(name)),
            None => addr.clone(),
        };
        let registered = registered.map(|name| display(name.escape_ascii()));
        warn!(
            %addr, registered, %lock, kind, age_ms,
            "{} {} has been held for {held} by {holder}", self.kind.lock_word(), Quoted(&self.name)
        );
    }
}
