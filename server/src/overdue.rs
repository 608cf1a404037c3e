//! Warns of locks that have been held for long. It walks over all holds now and then, a slice at a time like a
//! listing, so that the hub's lock is never held for long; it releases nothing.

use crate::config::Tunables;
use crate::shared::Shared;
use elockd_core::{Addr, Conn, Entry, Kind, Listing, Now, Scan, Subject};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::warn;

/// Warnings of one walk; the others of it are counted.
const MOST_WARNINGS: usize = 20;

/// Walks whenever it is time to, until it is dropped.
pub(crate) async fn run(shared: &Shared) {
    let mut tunables = shared.tunables.subscribe();
    loop {
        // When the holds were last walked over: those that were overdue then have been warned of.
        let mut known = None;
        while let Some(limit) = limit(&mut tunables) {
            tokio::select! {
                biased;
                changed = tunables.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if tunables.borrow().warn_held != Some(limit) {
                        known = None;
                    }
                }
                () = sleep(pause(limit)) => known = Some(walk(shared, limit, known).await),
            }
        }
        shared.long_holds.store(0, Ordering::Relaxed);
        if tunables.changed().await.is_err() {
            return;
        }
    }
}

fn limit(tunables: &mut watch::Receiver<Tunables>) -> Option<Duration> {
    tunables.borrow_and_update().warn_held
}

/// How long it waits between two walks: a tenth of the limit, so that no warning comes later than that, but at
/// least a second and at most a minute.
fn pause(limit: Duration) -> Duration {
    (limit / 10).clamp(Duration::from_secs(1), Duration::from_mins(1))
}

/// A hold that is to be warned of.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Overdue {
    conn: Conn,
    is_shared: bool,
    name: Vec<u8>,
}

/// Walks over all holds and warns of those that have become overdue since the walk that `known` is of, and
/// says what the next one may take for known: the time of this one.
async fn walk(shared: &Shared, limit: Duration, known: Option<Now>) -> Now {
    let now = shared.clock.now();
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let mut overdue = 0;
    let mut warned = BTreeSet::new();
    let mut unnamed = 0;
    for kind in Kind::ALL {
        let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: b"" });
        while !scan.is_done() {
            let mut lines = Vec::new();
            // Read within the hub's lock: no hold of this slice begins after it.
            let mut read_at = None;
            shared.hub.look(&mut scan, &mut |entry| {
                let at = *read_at.get_or_insert_with(|| shared.clock.now());
                // How old it was when the walk began; one that is younger than the walk is not overdue.
                let held_ms = entry.held_ms(at).saturating_sub(at.0 - now.0);
                if held_ms < limit_ms {
                    return;
                }
                overdue += 1;
                if known.is_some_and(|known: Now| held_ms.saturating_sub(now.0 - known.0) >= limit_ms) {
                    return;
                }
                if warned.len() == MOST_WARNINGS {
                    unnamed += 1;
                    return;
                }
                let is_shared = kind == Kind::Shared;
                // A hold that becomes tied while the walk is under way is met twice.
                if warned.insert(Overdue { conn: entry.conn, is_shared, name: entry.name.to_vec() }) {
                    lines.push(line(kind, &entry, held_ms));
                }
            });
            for line in lines {
                warn!("{line}");
            }
            yield_now().await;
        }
    }
    if unnamed > 0 {
        let limit = humantime::format_duration(limit);
        warn!("{unnamed} more locks have been held for longer than {limit}");
    }
    shared.long_holds.store(overdue, Ordering::Relaxed);
    now
}

fn line(kind: Kind, entry: &Entry<'_>, held_ms: u64) -> String {
    let word = match kind {
        Kind::Exclusive => "lock",
        Kind::Shared => "shared lock",
    };
    let held = humantime::format_duration(Duration::from_secs(held_ms / 1000));
    let holder = holder(entry.addr, entry.registered);
    format!("{word} {} has been held for {held} by {holder}", entry.name.escape_ascii())
}

fn holder(addr: Addr, registered: Option<&[u8]>) -> String {
    match registered {
        Some(name) => format!("{addr} ({})", name.escape_ascii()),
        None => addr.to_string(),
    }
}
