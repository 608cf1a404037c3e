//! What must hold for the machine, as properties over random inputs. Each is a function: the tests run it as often as
//! they like, and the tests of the tests run it with a bug planted.

// quickcheck passes arguments by value.
#![allow(clippy::needless_pass_by_value)]
// All of them return the same errors: see `Outcome`.
#![allow(clippy::missing_errors_doc)]

use crate::Outcome;
use crate::census::{Census, Moment};
use crate::generate::{Case, Chatter, Damage, Layout, Step, origin};
use crate::lines::commands;
use crate::listing::{Addrs, UnderWay};
use crate::observe::{Event, difference, observe};
use crate::reference::Reference;
use crate::runner;
use elockd_core::wire::Decoder;
use elockd_core::{
    Account, Command, Config, Conn, Input, Kind, Limits, Listing, Machine, Now, Output, Reason, Reply,
    RestoreError, Scan, Secret, Storage, Subject, Times,
};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Goal: the machine does what the reference does. Method: after each input, both have sent the same replies and closed
/// the same connections, in the same order. Every invariant holds. The deadline is right.
pub fn the_machine_agrees_with_the_reference(case: Case) -> Outcome {
    runner::ran(case.steps.len());
    let mut machine = Machine::new(case.config.clone());
    let mut reference = Reference::new(case.config);
    for (at, step) in case.steps.iter().enumerate() {
        let before = reference.clone();
        let dead_before = machine.figures().dead_holds();
        let events = observe(&mut machine, step.now, step.input.as_ref());
        let expected = reference.apply(step.now, &step.input);
        ensure!(events == expected, "step {at}: {}", difference(&events, &expected));
        machine.check().map_err(|violation| format!("step {at}: {violation}"))?;
        deadline_is_right(&machine, &reference).map_err(|what| format!("step {at}: {what}"))?;
        let after = &reference;
        let moment = Moment { step, events: &events, before: &before, after, dead_before };
        Census::note(|census| census.step(&moment));
    }
    times_are_the_references(machine, &reference)
}

/// Whether the machine's deadline is when a tick is next due. While somebody waits, or a session lingers, it may be too
/// early, but never in the past. What is dead is to be swept, and nothing else is.
fn deadline_is_right(machine: &Machine, reference: &Reference) -> Outcome {
    let dead = machine.figures().dead_holds();
    ensure!(machine.is_swept() == (dead == 0), "{dead} holds are dead, and is_swept {}", machine.is_swept());
    let due = reference.due();
    let told = machine.deadline();
    let has_timers = !reference.waits().is_empty() || !reference.sessions().is_empty();
    let is_early = has_timers && told < due && told > Some(reference.now());
    ensure!(told == due || is_early, "due {told:?}, expected {due:?}");
    Ok(())
}

/// Whether current holds have lasted as long as in the reference, and, after sweeping, all past holds and waits too.
fn times_are_the_references(mut machine: Machine, reference: &Reference) -> Outcome {
    for kind in Kind::ALL {
        let mut wrong = None;
        let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: b"" });
        while !scan.is_done() {
            machine.scan(&mut scan, &mut |entry| {
                let held_ms = entry.held_ms(reference.now());
                let expected = reference.held_ms(kind, entry.name, reference.holder_of(entry.conn));
                if held_ms != expected {
                    wrong = Some(format!("{:?} has held {held_ms} ms, expected {expected}", entry.conn));
                }
            });
        }
        wrong.map_or(Ok(()), Err)?;
    }
    // This sweeps all that is dead.
    let _ = machine.snapshot();
    for kind in Kind::ALL {
        let figures = machine.figures();
        times_are("held", kind, figures.hold_times(kind), reference.over())?;
        times_are("waited", kind, figures.wait_times(kind), reference.waited())?;
    }
    Ok(())
}

/// Whether a histogram has exactly the `expected` times of its kind.
fn times_are(what: &str, kind: Kind, times: &Times, expected: &[(Kind, u64)]) -> Outcome {
    let of_kind = expected.iter().filter(|(of, _)| *of == kind).map(|(_, ms)| *ms);
    let mut counts = [0; Times::BOUNDS_MS.len() + 1];
    for ms in of_kind.clone() {
        counts[Times::BOUNDS_MS.iter().filter(|bound| ms > **bound).count()] += 1;
    }
    let told = times.counts();
    ensure!(*told == counts, "{kind:?}: {what} {told:?} times, expected {counts:?}");
    let sum = of_kind.fold(0, u64::saturating_add);
    ensure!(times.sum_ms() == sum, "{kind:?}: {what} {} ms, expected {sum}", times.sum_ms());
    Ok(())
}

/// Goal: nothing depends on how often the driver ticks. Method: ticks before and after inputs, at the same time, change
/// no reply. If few holds may end in one step, idle connections may be left to the next input: then ticks come until
/// none is left, and those after that change no reply.
pub fn extra_ticks_change_no_reply(case: Case, ticks: Vec<u8>) -> Outcome {
    runner::ran(case.steps.len());
    let mut plain = Machine::new(case.config.clone());
    let mut ticked = Machine::new(case.config.clone());
    let limits = case.config.limits;
    let may_leave_some = limits.idle_ms > 0 && limits.step_holds < Limits::default().step_holds;
    for (at, step) in case.steps.into_iter().enumerate() {
        let ticks = *ticks.get(at % ticks.len().max(1)).unwrap_or(&0);
        let mut expected = Vec::new();
        let mut events = Vec::new();
        // Time that a tick has judged is no lapse any more.
        let is_lapse = matches!(step.input, Input::Lapse { .. });
        let ends_before = may_leave_some && !is_lapse;
        let ends_after = may_leave_some && is_lapse;
        if ends_before {
            expected.extend(end_what_is_idle(&mut plain, step.now));
            events.extend(end_what_is_idle(&mut ticked, step.now));
        }
        expected.extend(observe(&mut plain, step.now, step.input.as_ref()));
        if ends_after {
            expected.extend(end_what_is_idle(&mut plain, step.now));
        }
        for _ in 0..if is_lapse { 0 } else { ticks % 3 } {
            events.extend(observe(&mut ticked, step.now, Input::Tick));
        }
        events.extend(observe(&mut ticked, step.now, step.input.as_ref()));
        if ends_after {
            events.extend(end_what_is_idle(&mut ticked, step.now));
        }
        for _ in 0..ticks / 3 % 3 {
            events.extend(observe(&mut ticked, step.now, Input::Tick));
        }
        ensure!(events == expected, "step {at}: {events:?}, without ticks {expected:?}");
    }
    Ok(())
}

/// Ticks until no idle connection is left.
fn end_what_is_idle(machine: &mut Machine, now: Now) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let events = observe(machine, now, Input::Tick);
        let is_over = !events.iter().any(|event| matches!(event, Event::Disconnected(_, Reason::Idle, _)));
        all.extend(events);
        if is_over {
            return all;
        }
    }
}

/// Goal: a snapshot is complete. Method: a machine restored at any point gives the original's replies for ever after,
/// and its own snapshot has the same bytes. Taking a snapshot changes nothing.
pub fn a_restored_machine_goes_on_like_the_original(case: Case, cut: u16) -> Outcome {
    runner::ran(case.steps.len());
    let mut original = Machine::new(case.config.clone());
    let cut = usize::from(cut) % (case.steps.len() + 1);
    let (before, after) = case.steps.split_at(cut);
    for step in before {
        observe(&mut original, step.now, step.input.as_ref());
    }
    let mut untouched = original.clone();
    let snapshot = original.snapshot();
    original.check().map_err(|violation| format!("after its snapshot: {violation}"))?;
    // The snapshot has the secret that keys are made under.
    let config = Config { secret: Secret([7; 16]), ..case.config };
    let mut restored = Machine::restore(config, &snapshot).map_err(|error| error.to_string())?;
    ensure!(restored.snapshot() == snapshot, "a restored machine has another snapshot");
    ensure!(original.snapshot() == snapshot, "a second snapshot differs");
    for (at, step) in after.iter().enumerate() {
        let expected = observe(&mut untouched, step.now, step.input.as_ref());
        let events = observe(&mut original, step.now, step.input.as_ref());
        ensure!(events == expected, "{at} after its snapshot: {events:?}, without {expected:?}");
        let events = observe(&mut restored, step.now, step.input.as_ref());
        ensure!(events == expected, "{at} after restoring: {events:?}, the original {expected:?}");
        restored.check().map_err(|violation| format!("{at} after restoring: {violation}"))?;
    }
    Ok(())
}

/// Goal: nothing depends on the layout of memory, or on the hash. Method: the same inputs with the smallest storage,
/// with other sizes and hashes that collide, and with another key.
pub fn storage_and_hash_key_change_no_reply(case: Case, layout: Layout) -> Outcome {
    runner::ran(case.steps.len());
    let with = |storage: Storage| Machine::new(Config { storage, ..case.config.clone() });
    let smallest = Config::smallest_storage().storage;
    let other_key = Storage { hash_key: layout.0.hash_key, ..smallest.clone() };
    let (mut plain, mut keyed, mut sized) = (with(smallest), with(other_key), with(layout.0));
    for (at, step) in case.steps.iter().enumerate() {
        let expected = observe(&mut plain, step.now, step.input.as_ref());
        let events = observe(&mut keyed, step.now, step.input.as_ref());
        ensure!(events == expected, "step {at}: with another key {events:?}, without {expected:?}");
        let events = observe(&mut sized, step.now, step.input.as_ref());
        ensure!(events == expected, "step {at}: with other sizes {events:?}, without {expected:?}");
        sized.check().map_err(|violation| format!("step {at}: {violation}"))?;
    }
    ensure!(plain.snapshot() == keyed.snapshot(), "with another key the snapshot is another");
    Ok(())
}

/// Goal: a listing is right however its slices and other inputs alternate. Method: every listing that is asked for is
/// read a slice at a time, one slice for every few inputs, and many listings at once. The text is compared with what
/// the reference held meanwhile.
pub fn a_listing_amid_other_inputs_is_right(case: Case, pace: u8) -> Outcome {
    runner::ran(case.steps.len());
    let pace = 1 + usize::from(pace % 5);
    let mut machine = Machine::new(case.config.clone());
    let mut reference = Reference::new(case.config);
    let mut addrs = Addrs::new();
    let mut under_way: Vec<UnderWay> = Vec::new();
    for (at, step) in case.steps.into_iter().enumerate() {
        reference.apply(step.now, &step.input);
        addrs.extend(reference.open().iter().map(|client| (client.conn, client.origin.addr.to_string())));
        let mut asked = None;
        machine.apply(step.now, step.input.as_ref(), &mut |_, output| {
            if let Output::Reply(Reply::Listing(of)) = output {
                asked = Some((Scan::new(of), of.name.to_vec()));
            }
        });
        for listing in &mut under_way {
            listing.witness(&reference, &addrs);
        }
        if let Some((scan, name)) = asked {
            under_way.push(UnderWay::new(at, scan, name, &reference, &addrs));
        }
        if at % pace == 0 {
            for listing in &mut under_way {
                listing.read_slice(&machine);
            }
        }
        for done in under_way.extract_if(.., |listing| listing.is_done()) {
            Census::note(|census| done.count(at, census));
            done.check(&addrs).map_err(|what| format!("a listing done with step {at}: {what}"))?;
        }
    }
    Ok(())
}

/// Goal: damaged bytes are refused or make a sound machine, and never cause a panic. Method: a true snapshot is cut,
/// flipped, stretched and overwritten. If it makes a machine, that passes `check` and runs.
pub fn damaged_snapshots_are_refused_or_sound(case: Case, list: Vec<Damage>, cut: u16) -> Outcome {
    // Each damage takes as long as another case.
    const MOST: usize = 4;
    let cut = usize::from(cut) % (case.steps.len() + 1);
    let mut machine = Machine::new(case.config.clone());
    let (before, after) = case.steps.split_at(cut);
    runner::ran(before.len());
    for step in before {
        observe(&mut machine, step.now, step.input.as_ref());
    }
    let snapshot = machine.snapshot();
    // One damage at a time, and then all together.
    let mut together = snapshot.clone();
    for damage in list.iter().take(MOST) {
        let mut damaged = snapshot.clone();
        damage.apply(HEADER, &mut damaged);
        run_damaged(&case.config, &damaged, after)?;
        damage.apply(HEADER, &mut together);
    }
    run_damaged(&case.config, &together, after)
}
fn run_damaged(config: &Config, bytes: &[u8], steps: &[Step]) -> Outcome {
    let restored = Machine::restore(config.clone(), bytes);
    let what = match &restored {
        Ok(_) => "a sound machine came of damaged bytes",
        Err(RestoreError::NotASnapshot) => "bytes were no snapshot",
        Err(RestoreError::Version { .. }) => "bytes were of another version",
        Err(RestoreError::Damaged(_)) => "bytes were damaged",
        Err(RestoreError::Unsound(_)) => "bytes were unsound",
        Err(RestoreError::Level(_)) => panic!("a machine alone has no level"),
    };
    Census::note(|census| census.count(what));
    let Ok(mut machine) = restored else { return Ok(()) };
    runner::ran(steps.len());
    machine.check().map_err(|violation| format!("once restored: {violation}"))?;
    for (at, step) in steps.iter().enumerate() {
        observe(&mut machine, step.now, step.input.as_ref());
        machine.check().map_err(|violation| format!("{at} after restoring: {violation}"))?;
    }
    // Its own snapshot can be restored.
    let snapshot = machine.snapshot();
    let again = Machine::restore(config.clone(), &snapshot);
    ensure!(again.is_ok_and(|mut again| again.snapshot() == snapshot), "its own snapshot is refused");
    Ok(())
}

/// Goal: no bytes of any client do harm, and they mean what they should. Method: four connections send words of the
/// protocol and other bytes. These go piece by piece through decoders into the machine and into the reference. The
/// reference decoder gets the same bytes at once.
pub fn raw_bytes_do_no_harm(chatter: Chatter) -> Outcome {
    const LINE_BYTES: usize = 30;
    let mut config = Config::smallest_storage();
    config.limits.name_bytes = 12;
    config.limits.locks = 6;
    config.limits.waiters = 2;
    let mut machine = Machine::new(config.clone());
    let mut reference = Reference::new(config);
    let mut decoders: BTreeMap<u64, Decoder> = BTreeMap::new();
    let tokens = Input::Tokens { first: 1, last: 2 };
    reference.apply(Now(0), &tokens);
    observe(&mut machine, Now(0), tokens.as_ref());
    // What each has sent. Below: what its decoder made of it.
    let mut streams: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut heard: BTreeMap<u64, Vec<Command<Vec<u8>>>> = BTreeMap::new();
    for (at, (serial, bytes)) in chatter.pieces.iter().enumerate() {
        let conn = Conn::new(0, *serial);
        let now = Now(at as u64);
        // Connections open in the order of their numbers, when the first bytes come from one of them or a later one.
        let account = |serial| if serial == 4 { Account::ADMIN.0 } else { 0 };
        let opened = (reference.highest(0) + 1..=*serial)
            .map(|serial| Input::Opened(Conn::new(0, serial), origin(serial, account(serial))));
        for opened in opened.collect::<Vec<_>>() {
            reference.apply(now, &opened);
            observe(&mut machine, now, opened.as_ref());
        }
        let decoder = decoders.entry(*serial).or_insert_with(|| Decoder::new(LINE_BYTES));
        streams.entry(*serial).or_default().extend(bytes);
        let mut bytes = &bytes[..];
        while let Some(command) = decoder.next(&mut bytes) {
            let command = command.map(Cow::into_owned);
            runner::ran(1);
            Census::note(|census| census.command(&command));
            heard.entry(*serial).or_default().push(command.clone());
            let input = Input::Command(conn, command);
            let expected = reference.apply(now, &input);
            let events = observe(&mut machine, now, input.as_ref());
            ensure!(events == expected, "piece {at}: {events:?}, expected {expected:?}");
            machine.check().map_err(|violation| format!("piece {at}: {violation}"))?;
            let is_empty = |event: &Event| matches!(event, Event::Sent(_, text) if text.is_empty());
            ensure!(!events.iter().any(is_empty), "piece {at}: an empty reply");
        }
    }
    for (serial, stream) in streams {
        let heard = heard.remove(&serial).unwrap_or_default();
        let meant = commands(&stream, LINE_BYTES);
        ensure!(heard == meant, "{serial} sent {}: {heard:?}, expected {meant:?}", stream.escape_ascii());
    }
    Ok(())
}

/// The bytes before the state in a snapshot: a magic number of sixteen, and two for the version.
const HEADER: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::Cause;
    use elockd_core::probe::{Canary, plant};

    /// Goal: who counts a thing wrong reads which figure it is. Method: a bug in a counter is planted, and a run shows
    /// it.
    #[test]
    fn a_figure_that_differs_from_the_references_is_named() {
        let [one, two] = [1, 2].map(|serial| Conn::new(0, serial));
        let get = Command::get(Kind::Shared, b"a".to_vec());
        let inputs = [
            Input::Opened(one, origin(1, 0)),
            Input::Opened(two, origin(2, 0)),
            Input::Command(one, get),
            Input::Closed(one, Cause::Eof),
            Input::Command(two, Command::Query { full: true }),
        ];
        let steps = inputs.into_iter().map(|input| Step { now: Now(0), input }).collect();
        let case = Case { config: Config::smallest_storage(), steps };
        assert_eq!(the_machine_agrees_with_the_reference(case.clone()), Ok(()));
        plant(Some(Canary::OrphansOfTheWrongKind));
        let told = the_machine_agrees_with_the_reference(case);
        plant(None);
        let figures = "the figure orphans is 1, expected 0; the figure shared_orphans is 0, expected 1";
        assert_eq!(told, Err(format!("step 4: {figures}")));
    }
}
