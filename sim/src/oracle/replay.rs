//! The witness's log against the reference model: given the same inputs, the model must say the same, byte for byte.
//!
//! The reference is naive, and its cost grows with the square of a run. A run with very many holds is replayed lock
//! by lock instead, each lock with the connections that used it. That works because locks are independent of each
//! other, with these exceptions: limits and deadlocks, which such a run must not meet; commands that end many holds
//! at once, which it must not use; and the statistics, which the invariants count.

use super::listings::Listings;
use super::{Finding, Judged};
use crate::history::{History, Place};
use crate::log::{Applied, Entry, Event, Life, Told};
use crate::plan::Plan;
use elockd_core::{Cause, Command, Conn, Input, Kind, Now, Origin, Reason, Reply};
use elockd_model_tests::observe;
use elockd_model_tests::reference::{Reference, line_of};
use std::collections::{BTreeMap, BTreeSet};

/// Above this product of inputs and holds, locks are replayed one by one, in scenarios that allow it.
const MOST_WORK: u64 = 20_000_000;

/// With a longer line than this nothing is replayed: for the question whether each wait could be granted, the
/// reference needs the cube of its length. The invariants have seen that lines are served in order.
const MOST_IN_LINE: usize = 300;

/// Judges every life of the server.
///
/// # Errors
///
/// The first reply that differs from the reference's, or the first wrong listing.
pub fn judge(plan: &Plan, entries: &[Entry], history: &History, judged: &mut Judged) -> Result<(), Finding> {
    let mut lives: BTreeMap<Life, Vec<(Place, &Applied)>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Event::Applied(applied) = &entry.event {
            lives.entry(applied.life).or_default().push((place, applied));
        }
    }
    for (life, inputs) in lives {
        in_order(&inputs)?;
        if longest_line(&inputs) > MOST_IN_LINE {
            continue;
        }
        let gets = inputs.iter().filter(|(_, applied)| is_get(&applied.input)).count() as u64;
        let is_simple = !plan.scenario.is_swarm();
        if is_simple && inputs.len() as u64 * gets > MOST_WORK {
            lock_by_lock(plan, life, &inputs)?;
        } else {
            whole(plan, life, &inputs, history, judged)?;
        }
    }
    Ok(())
}

/// The witness has seen every input: their numbers begin at 1 without a gap.
fn in_order(inputs: &[(Place, &Applied)]) -> Result<(), Finding> {
    for (number, (place, applied)) in (1..).zip(inputs) {
        if applied.seq.0 != number {
            let what = format!("input {} of the machine comes where {number} should", applied.seq.0);
            return Err(Finding { place: *place, conn: None, check: "the order is total", what });
        }
    }
    Ok(())
}

/// The length of the longest line that there ever was.
fn longest_line(inputs: &[(Place, &Applied)]) -> usize {
    let mut waits: BTreeMap<Conn, (Kind, &[u8])> = BTreeMap::new();
    let mut lines: BTreeMap<(Kind, &[u8]), usize> = BTreeMap::new();
    let mut longest = 0;
    for (_, applied) in inputs {
        for (to, told) in &applied.told {
            if let Some(lock) = waits.remove(to) {
                *lines.entry(lock).or_default() -= 1;
            }
            if *told == Told::Wait
                && let Input::Command(_, command) = &applied.input
                && let Some(lock) = lock_of(command)
            {
                waits.insert(*to, lock);
                let line = lines.entry(lock).or_default();
                *line += 1;
                longest = longest.max(*line);
            }
        }
        if let Input::Closed(conn, _) = &applied.input
            && let Some(lock) = waits.remove(conn)
        {
            *lines.entry(lock).or_default() -= 1;
        }
    }
    longest
}

fn is_get(input: &Input<Command<Vec<u8>>>) -> bool {
    matches!(input, Input::Command(_, Command::Get(_)))
}

const CHECK: &str = "the reference model agrees";

fn whole(
    plan: &Plan,
    life: Life,
    inputs: &[(Place, &Applied)],
    history: &History,
    judged: &mut Judged,
) -> Result<(), Finding> {
    let mut reference = Reference::new(plan.config(life).machine);
    let mut listings = Listings::new(plan, life, history);
    for (place, applied) in inputs {
        listings.finish_before(*place)?;
        let events = reference.apply(applied.now, &applied.input);
        compare(*place, applied, &events)?;
        listings.witness(*place, applied, &reference);
    }
    listings.finish_before(Place::MAX)?;
    judged.listings += listings.checked;
    listings.refusals_are_due()
}

fn compare(place: Place, applied: &Applied, expected: &[observe::Event]) -> Result<(), Finding> {
    let agrees = applied.told.len() == expected.len()
        && applied.told.iter().zip(expected).all(|((to, told), expected)| match (told, expected) {
            (Told::Reply(bytes), observe::Event::Sent(conn, text)) => to == conn && bytes == text,
            (Told::Listing(..), observe::Event::Sent(conn, _))
            | (Told::Wait, observe::Event::Waits(conn)) => to == conn,
            (Told::Disconnect(reason), observe::Event::Disconnected(conn, expected, _)) => {
                to == conn && reason == expected
            }
            _ => false,
        });
    if agrees {
        return Ok(());
    }
    let conn = applied.input.conn();
    let told: Vec<_> = applied.told.iter().map(shown).collect();
    let figures = match (&applied.told[..], expected) {
        ([(_, Told::Reply(bytes))], [observe::Event::Sent(_, text)]) => {
            observe::different_figures(bytes, text)
        }
        _ => None,
    };
    let what = match figures {
        Some(figures) => format!("{:?}: {figures}", applied.input),
        None => format!("{:?} gave {told:?}, the reference {expected:?}", applied.input),
    };
    Err(Finding { place, conn, check: CHECK, what })
}

fn shown((to, told): &(Conn, Told)) -> String {
    match told {
        Told::Reply(bytes) => format!("{}<\"{}\"", to.serial(), bytes.escape_ascii()),
        other => format!("{}<{other:?}", to.serial()),
    }
}

/// What concerns one lock at one place: connections that used it and ended there, a command about it, and the replies
/// to connections that asked or waited for it.
#[derive(Clone, Debug)]
struct About<'a> {
    place: Place,
    applied: &'a Applied,
    inputs: Vec<Input<Command<Vec<u8>>>>,
    told: Vec<(Conn, Told)>,
}

type LockInputs<'a> = BTreeMap<(Kind, &'a [u8]), Vec<About<'a>>>;

fn lock_by_lock<'a>(plan: &Plan, life: Life, inputs: &[(Place, &'a Applied)]) -> Result<(), Finding> {
    let mut locks: LockInputs<'a> = BTreeMap::new();
    let mut origins: BTreeMap<Conn, (Now, Origin)> = BTreeMap::new();
    let mut drained: Option<Place> = None;
    // The locks that each connection asked for, and the lock that it waits for.
    let mut asked: BTreeMap<Conn, BTreeSet<(Kind, &'a [u8])>> = BTreeMap::new();
    let mut waits: BTreeMap<Conn, (Kind, &'a [u8])> = BTreeMap::new();
    for (place, applied) in inputs {
        let about = |inputs| About { place: *place, applied, inputs, told: Vec::new() };
        let mut here: BTreeMap<(Kind, &'a [u8]), About<'a>> = BTreeMap::new();
        let mut end = |conn: Conn, cause: Cause, here: &mut BTreeMap<_, About<'a>>| {
            for lock in asked.remove(&conn).unwrap_or_default() {
                here.entry(lock).or_insert_with(|| about(vec![])).inputs.push(Input::Closed(conn, cause));
            }
        };
        // Ends that the machine decides come before the input.
        for (to, told) in &applied.told {
            if let Told::Disconnect(reason) = told {
                let cause = if *reason == Reason::Quit { Cause::Quit } else { Cause::Idle };
                end(*to, cause, &mut here);
            }
        }
        match &applied.input {
            Input::Opened(conn, origin) => {
                origins.insert(*conn, (applied.now, *origin));
            }
            Input::Closed(conn, cause) => end(*conn, *cause, &mut here),
            Input::Drain(node) => {
                drained = Some(*place);
                for lock in locks.keys() {
                    here.entry(*lock).or_insert_with(|| about(vec![])).inputs.push(Input::Drain(*node));
                }
            }
            Input::Gone(_)
            | Input::Tick
            | Input::Lapse { .. }
            | Input::Tokens { .. }
            | Input::Accounts(_) => {}
            Input::Command(conn, command) => {
                let is_idle = applied.told.contains(&(*conn, Told::Disconnect(Reason::Idle)));
                if let Some(lock) = lock_of(command)
                    && !is_idle
                {
                    asked.entry(*conn).or_default().insert(lock);
                    here.entry(lock).or_insert_with(|| about(vec![])).inputs.push(applied.input.clone());
                }
            }
        }
        for (to, told) in &applied.told {
            if let Told::Reply(reply) = told
                && let Some(Reply::TooManyLocks { .. } | Reply::OutOfMemory { .. }) = Reply::read(reply)
            {
                let what = "a run that is replayed lock by lock met a limit".to_owned();
                return Err(Finding { place: *place, conn: Some(*to), check: CHECK, what });
            }
            let own = match &applied.input {
                Input::Command(conn, command) if conn == to => lock_of(command),
                _ => None,
            };
            let Some(lock) = waits.remove(to).or(own) else { continue };
            match told {
                Told::Wait => {
                    waits.insert(*to, lock);
                }
                Told::Disconnect(_) => continue,
                Told::Reply(_) | Told::Listing(..) => {}
            }
            here.entry(lock).or_insert_with(|| about(vec![Input::Tick])).told.push((*to, told.clone()));
        }
        for (lock, about) in here {
            locks.entry(lock).or_default().push(about);
        }
    }
    let mut config = plan.server.config(life).machine;
    config.limits.idle_ms = 0;
    for about in locks.values() {
        let mut reference = Reference::new(config.clone());
        let conns: BTreeSet<Conn> =
            about.iter().flat_map(|about| &about.inputs).filter_map(Input::conn).collect();
        for conn in &conns {
            if let Some((now, origin)) = origins.get(conn) {
                reference.apply(*now, &Input::Opened(*conn, *origin));
            }
        }
        // A lock that nobody asked for before must know of the shutdown too.
        let first = about.first().map(|about| about.place);
        if drained.is_some_and(|drained| first > Some(drained)) {
            reference.apply(Now::default(), &Input::Drain(0));
        }
        for About { place, applied, inputs, told } in about {
            let events: Vec<_> =
                inputs.iter().flat_map(|input| reference.apply(applied.now, input)).collect();
            let told = told.clone();
            compare(*place, &Applied { told, ..(*applied).clone() }, &events)?;
        }
    }
    Ok(())
}

/// The only lock that a command is about. One of readers and writers is under the writers' kind.
fn lock_of(command: &Command<Vec<u8>>) -> Option<(Kind, &[u8])> {
    match command {
        Command::Get(wish) => Some((line_of(wish.kind()), wish.name())),
        Command::Release(kind, name)
        | Command::Inspect(kind, name)
        | Command::AwaitEnd { kind, name, .. } => Some((line_of(*kind), name)),
        _ => None,
    }
}
