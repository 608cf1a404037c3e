//! An orderly shutdown: every connection is ended as soon as it has got all its replies, and the process ends as soon
//! as the last connection is gone. Only connections that do not take their replies are cut off, and not before the
//! timeout.

use super::{Finding, SLACK_MS, connection_finding};
use crate::history::{History, Place};
use crate::log::{Entry, Event, Life};
use crate::plan::Plan;
use elockd_core::Input;

const CHECK: &str = "a shutdown is in order";

/// Judges every shutdown that was complete.
///
/// # Errors
///
/// The first connection that was kept or cut off without reason, or a process that did not end.
pub fn judge(plan: &Plan, entries: &[Entry], history: &History) -> Result<(), Finding> {
    let mut drain: Option<(Life, Place)> = None;
    for (place, entry) in entries.iter().enumerate() {
        match &entry.event {
            Event::Applied(applied) if matches!(applied.input, Input::Drain(_)) => {
                drain.get_or_insert((applied.life, place));
            }
            Event::ServerEnded(life) => {
                if let Some((_, begun)) = drain.take().filter(|(of, _)| of == life) {
                    judge_one(plan, entries, history, *life, begun, place)?;
                }
            }
            Event::ServerStarted(_) => drain = None,
            _ => {}
        }
    }
    Ok(())
}

fn judge_one(
    plan: &Plan,
    entries: &[Entry],
    history: &History,
    life: Life,
    begun: Place,
    ended: Place,
) -> Result<(), Finding> {
    let ms = |place: Place| entries[place].at_ms;
    let timeout_ms = plan.server.shutdown_timeout_ms;
    let was_cut_off = ms(ended) + SLACK_MS >= ms(begun) + timeout_ms;
    let mut last_ms = ms(begun);
    for connection in &history.connections {
        let Some(server) = connection.server.as_ref().filter(|server| server.life == life) else { continue };
        let of = |place, what: &str| connection_finding(connection, CHECK, place, what);
        let closed_ms = server.closed.map(|(_, closed)| ms(closed));
        // A connection that waited still gets the answers to the requests behind its wait.
        let has_waited = server.commands.iter().any(|run| run.has_waited && run.told_at.place == begun);
        let has_more = has_waited && server.commands.last().is_some_and(|run| run.applied > begun);
        if !connection.is_busy(begun)
            && !has_more
            && closed_ms.is_none_or(|closed_ms| closed_ms > ms(begun) + SLACK_MS)
        {
            return Err(of(begun, "has nothing more to get, and is not ended"));
        }
        match server.dropped.filter(|(dropped, _)| *dropped < ended) {
            Some((dropped, _)) => last_ms = last_ms.max(ms(dropped)),
            None if was_cut_off => last_ms = last_ms.max(ms(begun) + timeout_ms),
            None => return Err(of(ended, "was cut off before the timeout was up")),
        }
    }
    if ms(ended) > last_ms + SLACK_MS {
        let what = format!("the last connection had gone by {last_ms} ms, and the process went on");
        return Err(Finding { place: ended, conn: None, check: CHECK, what });
    }
    Ok(())
}
