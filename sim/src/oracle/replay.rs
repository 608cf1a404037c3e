//! The witness's log against the reference model: given the same inputs, it says the same, to the byte.
//!
//! The reference is naive, and its cost grows with the square of a run. A run with very many holds is
//! replayed lock by lock instead, each with the connections that had to do with it: locks have nothing to do
//! with each other but for limits, which such a run must not have met, and the statistics, which the
//! invariants count.

use super::listings::Listings;
use super::{Finding, Judged};
use crate::history::{History, Place};
use crate::log::{Applied, Entry, Event, Life, Told};
use crate::plan::Plan;
use elockd_core::{Cause, Command, Conn, Input, Kind, Now, Origin, Reason};
use elockd_model_tests::observe;
use elockd_model_tests::reference::Reference;
use std::collections::{BTreeMap, BTreeSet};

/// Above so many inputs times holds, locks are replayed one by one.
const MOST_WORK: u64 = 100_000_000;

/// Judges every life of the server.
///
/// # Errors
///
/// The first reply that is not the reference's, or the first listing that is not true.
pub fn judge(plan: &Plan, entries: &[Entry], history: &History, judged: &mut Judged) -> Result<(), Finding> {
    let mut lives: BTreeMap<Life, Vec<(Place, &Applied)>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        if let Event::Applied(applied) = &entry.event {
            lives.entry(applied.life).or_default().push((place, applied));
        }
    }
    for (life, inputs) in lives {
        in_order(&inputs)?;
        let gets = inputs.iter().filter(|(_, applied)| is_get(&applied.input)).count() as u64;
        if inputs.len() as u64 * gets > MOST_WORK {
            lock_by_lock(plan, &inputs)?;
        } else {
            whole(plan, life, &inputs, history, judged)?;
        }
    }
    Ok(())
}

/// The witness has seen every input: their numbers begin at 1, and none is left out.
fn in_order(inputs: &[(Place, &Applied)]) -> Result<(), Finding> {
    for (number, (place, applied)) in (1..).zip(inputs) {
        if applied.seq.0 != number {
            let what = format!("input {} of the machine comes where {number} should", applied.seq.0);
            return Err(Finding { place: *place, conn: None, check: "the order is total", what });
        }
    }
    Ok(())
}

fn is_get(input: &Input<Vec<u8>>) -> bool {
    matches!(input, Input::Command(_, Command::Get(..)))
}

const CHECK: &str = "the reference model agrees";

fn whole(
    plan: &Plan,
    life: Life,
    inputs: &[(Place, &Applied)],
    history: &History,
    judged: &mut Judged,
) -> Result<(), Finding> {
    let mut reference = Reference::new(plan.server.config().machine);
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
            (Told::Listing(..), observe::Event::Sent(conn, _)) => to == conn,
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
    let what = format!("{:?} gave {told:?}, the reference {expected:?}", applied.input);
    Err(Finding { place, conn, check: CHECK, what })
}

fn shown((to, told): &(Conn, Told)) -> String {
    match told {
        Told::Reply(bytes) => format!("{}<\"{}\"", to.serial(), bytes.escape_ascii()),
        other => format!("{}<{other:?}", to.serial()),
    }
}

/// What concerns one lock: commands about it, and the ends of connections that ever asked for it.
type About<'a> = BTreeMap<(Kind, &'a [u8]), Vec<(Place, &'a Applied, Conn)>>;

fn lock_by_lock(plan: &Plan, inputs: &[(Place, &Applied)]) -> Result<(), Finding> {
    let mut about: About<'_> = BTreeMap::new();
    let mut origins: BTreeMap<Conn, (Now, Origin)> = BTreeMap::new();
    let mut ends: BTreeMap<Conn, (Place, Now)> = BTreeMap::new();
    let mut drained = None;
    for (place, applied) in inputs {
        match &applied.input {
            Input::Opened(conn, origin) => {
                origins.insert(*conn, (applied.now, *origin));
            }
            Input::Command(conn, command) => {
                if let Command::Get(kind, name)
                | Command::Release(kind, name)
                | Command::Inspect(kind, name) = command
                {
                    about.entry((*kind, &name[..])).or_default().push((*place, applied, *conn));
                }
            }
            Input::Closed(conn, _) => {
                ends.entry(*conn).or_insert((*place, applied.now));
            }
            Input::Tick => {}
            Input::Drain => drained = Some((*place, applied.now)),
        }
        for (to, told) in &applied.told {
            match told {
                Told::Disconnect(_) => {
                    ends.entry(*to).or_insert((*place, applied.now));
                }
                Told::Reply(reply) if reply.starts_with(b"0 Too Many Locks") => {
                    let what = "a run that is replayed lock by lock met a limit".to_owned();
                    return Err(Finding { place: *place, conn: Some(*to), check: CHECK, what });
                }
                Told::Reply(_) | Told::Listing(..) => {}
            }
        }
    }
    let mut config = plan.server.config().machine;
    config.limits.idle_ms = 0;
    for commands in about.values() {
        let mut reference = Reference::new(config.clone());
        let conns: BTreeSet<Conn> = commands.iter().map(|(_, _, conn)| *conn).collect();
        for conn in &conns {
            if let Some((now, origin)) = origins.get(conn) {
                reference.apply(*now, &Input::Opened(*conn, *origin));
            }
        }
        // Ends in their places among the commands; what ends by the machine's decision ends first.
        let mut others: Vec<(Place, Now, Input<Vec<u8>>)> = conns
            .iter()
            .filter_map(|conn| {
                ends.get(conn).map(|(place, now)| (*place, *now, Input::Closed(*conn, Cause::Eof)))
            })
            .chain(drained.map(|(place, now)| (place, now, Input::Drain)))
            .collect();
        others.sort_by_key(|(place, ..)| *place);
        let mut others = others.into_iter().peekable();
        for (place, applied, conn) in commands {
            while let Some((_, now, input)) = others.next_if(|(at, ..)| at <= place) {
                reference.apply(now, &input);
            }
            let own: Vec<_> = applied.told.iter().filter(|(to, _)| to == conn).cloned().collect();
            let is_idle = own.iter().any(|(_, told)| *told == Told::Disconnect(Reason::Idle));
            if !is_idle {
                let events = reference.apply(applied.now, &applied.input);
                compare(*place, &Applied { told: own, ..(*applied).clone() }, &events)?;
            }
        }
    }
    Ok(())
}
