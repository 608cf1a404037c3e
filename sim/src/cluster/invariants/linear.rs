//! Guards: **for each lock there is an order of all requests that explains every answer, with each request between its
//! sending and its answer**, whatever nodes they were sent to. Only what clients saw is asked. The search and the
//! specification are those of the oracle of a single daemon.

use crate::cluster::client::LOCKS;
use crate::cluster::history::{ClientConn, Point};
use crate::cluster::marks::ClusterMarks;
use crate::cluster::plan::Death;
use crate::cluster::world::ClusterRun;
use crate::oracle::linear::{Happening, LockVerb, Operation, Timed, explain, number};
use elockd_core::{Command, Kind, Reply};
use elockd_model_tests::reference::line_of;
use std::collections::{BTreeMap, BTreeSet};

type NamedOne<'a> = (Kind, &'a [u8]);

pub(super) fn judge(run: &ClusterRun<'_>, marks: &mut ClusterMarks) -> Result<(), String> {
    let mut keys: BTreeMap<&[u8], (u32, u32)> = BTreeMap::new();
    for (number, conn) in run.history.conns.iter().enumerate() {
        for key in conn.requests.iter().filter_map(|asked| match asked.reply() {
            Some(Reply::Lingers { key, .. }) => key,
            _ => None,
        }) {
            let next = keys.len() as u32;
            keys.entry(key).or_insert((next, number as u32));
        }
    }
    let mut locks: BTreeMap<NamedOne<'_>, Vec<Timed>> = BTreeMap::new();
    for (number, conn) in run.history.conns.iter().enumerate() {
        for (lock, operations) in operations(run, conn, number as u32, &keys) {
            locks.entry(lock).or_default().extend(operations);
        }
    }
    for ((kind, name), operations) in locks {
        let count = operations.len();
        match explain(operations) {
            Some(true) => marks.linear += 1,
            // The search took too long: nothing is known.
            None => marks.undecided += 1,
            Some(false) => {
                let name = name.escape_ascii();
                return Err(format!("no order explains {count} requests and ends about {kind:?} \"{name}\""));
            }
        }
    }
    Ok(())
}

/// The operations of a connection on each lock.
fn operations<'a>(
    run: &ClusterRun<'_>,
    conn: &'a ClientConn,
    id: u32,
    keys: &BTreeMap<&[u8], (u32, u32)>,
) -> BTreeMap<NamedOne<'a>, Vec<Timed>> {
    // Everybody waits in the line of the shared lock.
    let lines: BTreeSet<NamedOne<'_>> = LOCKS.iter().map(|(kind, name)| (*kind, name.as_bytes())).collect();
    let mut locks: BTreeMap<NamedOne<'a>, Vec<Timed>> = BTreeMap::new();
    let mut has_resumed = false;
    for asked in &conn.requests {
        let answer = asked.answer.as_ref().map(|(text, _)| number(text.as_bytes()));
        let known: BTreeSet<NamedOne<'a>> = locks.keys().copied().collect();
        let mut note = |lock: NamedOne<'a>, kind: Kind, verb: LockVerb, answer: Option<u32>| {
            let operations = locks.entry(lock).or_default();
            let n = operations.len() as u32;
            let what = match answer {
                Some(answer) => Happening::Answered { n, verb, answer },
                None => Happening::Open { n, verb },
            };
            operations.push(Timed {
                operation: Operation { connection: id, kind, what },
                called: asked.sent.place,
                answered: asked.answer.as_ref().map(|(_, at)| at.place),
                said: None,
            });
        };
        match &asked.command {
            Command::Resume(key) => {
                let answer = answer.unwrap_or(Some(1)).filter(|answer| *answer > 0);
                let (Some(answer), Some((key, first))) = (answer, keys.get(&key[..])) else { continue };
                has_resumed = true;
                for (kind, name) in LOCKS {
                    let verb = LockVerb::Resume { key: *key, first: *first };
                    note((kind, name.as_bytes()), kind, verb, asked.answer.is_some().then_some(answer));
                }
            }
            Command::ReleaseAll if answer != Some(None) => {
                // Who has resumed may hold any.
                let is_own = |lock: &NamedOne<'_>| has_resumed || known.contains(lock);
                let all = LOCKS.map(|(kind, name)| (kind, name.as_bytes()));
                for lock in all.into_iter().filter(is_own) {
                    note(lock, lock.0, LockVerb::ReleaseAll, answer.flatten());
                }
            }
            command => {
                let Some((verb, kind, name)) = LockVerb::of(command, &lines) else { continue };
                // Refused: nothing happened to the lock.
                if answer != Some(None) {
                    note((line_of(kind), name), kind, verb, answer.flatten());
                }
            }
        }
    }
    for ((kind, _), operations) in &mut locks {
        end(run, conn, (id, *kind), operations);
    }
    locks
}

/// Adds the end of a connection, if it may change the lock.
fn end(run: &ClusterRun<'_>, conn: &ClientConn, (id, kind): (u32, Kind), operations: &mut Vec<Timed>) {
    let Some((ended, _)) = conn.ended else { return };
    let is_over = |timed: &Timed| {
        matches!(
            timed.operation.what,
            Happening::Answered { verb: LockVerb::Release | LockVerb::ReleaseAll, .. }
                | Happening::Answered { verb: LockVerb::Get | LockVerb::Wait, answer: 0, .. }
        )
    };
    let last = operations
        .iter()
        .rev()
        .find(|timed| !matches!(timed.operation.what, Happening::Answered { verb: LockVerb::Inspect, .. }));
    if last.is_none_or(is_over) {
        return;
    }
    let answered = operations.iter().filter(|timed| timed.answered.is_some()).count() as u32;
    let mut lingers = false;
    for asked in &conn.requests {
        match (&asked.command, asked.reply()) {
            (Command::Linger(_), Some(Reply::Lingers { ms, .. })) => lingers = ms > 0,
            (Command::Linger(ms), None) => lingers |= *ms > 0,
            (Command::Resume(_), _) => lingers = true,
            _ => {}
        }
    }
    let called = begin(run, conn, ended).place;
    let mut add = |what: Happening| {
        operations.push(Timed {
            operation: Operation { connection: id, kind, what },
            called,
            answered: None,
            said: None,
        });
    };
    add(Happening::End { after: answered, lingers });
    if lingers {
        add(Happening::Expiry);
    }
}

/// From when on the end can have happened. Who hears late of it, or never, knows only what was answered.
fn begin(run: &ClusterRun<'_>, conn: &ClientConn, ended: Point) -> Point {
    let is_late = run.happenings.deaths().any(|(ms, node, death)| {
        node == conn.node && ms >= conn.opened.ms && matches!(death, Death::Power | Death::Shutdown)
    });
    let mut answers = conn.requests.iter().filter_map(|asked| asked.answer.as_ref().map(|(_, at)| *at));
    if is_late { answers.next_back().unwrap_or(conn.opened) } else { ended }
}
