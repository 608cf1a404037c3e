//! Random sequences of inputs, run by the real machine and by the reference model, and by the real machine
//! under conditions that must not matter. A failure shrinks to a few inputs.
//!
//! Each property prints its seed and how many inputs it ran; see [`elockd_model_tests::runner`] for how to
//! run more of them, or the same again.

// quickcheck hands properties their arguments by value.
#![allow(clippy::needless_pass_by_value)]

use elockd_core::codec::Decoder;
use elockd_core::listing::Text;
use elockd_core::{
    Cause, Command, Config, Conn, Input, Kind, Machine, Now, Output, Reply, RestoreError, Scan, Storage,
    Subject,
};
use elockd_model_tests::census::{Census, EXPECTED, Moment};
use elockd_model_tests::generate::{Case, Chatter, Damage, Layout, Step, origin};
use elockd_model_tests::observe::{Event, observe, read_slice, whole};
use elockd_model_tests::reference::Reference;
use elockd_model_tests::runner;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

thread_local! {
    static CENSUS: RefCell<Census> = RefCell::default();
}

type Outcome = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

/// Goal: the machine does what the reference does. Method: after each input, what both say and whom they
/// close is the same, in the same order; every invariant holds; the deadline is the right one.
#[test]
fn the_machine_agrees_with_the_reference() {
    fn property(case: Case) -> Outcome {
        runner::ran(case.steps.len());
        let mut machine = Machine::new(case.config.clone());
        let mut reference = Reference::new(case.config);
        for (at, step) in case.steps.iter().enumerate() {
            let before = reference.clone();
            let dead_before = machine.figures().dead_holds();
            let events = observe(&mut machine, step.now, step.input.clone());
            let expected = reference.apply(step.now, &step.input);
            ensure!(events == expected, "step {at}: {events:?}, expected {expected:?}");
            machine.check().map_err(|violation| format!("step {at}: {violation}"))?;
            let dead_after = machine.figures().dead_holds();
            let due = if dead_after > 0 { Some(reference.now()) } else { reference.idle_due() };
            ensure!(machine.deadline() == due, "step {at}: due {:?}, expected {due:?}", machine.deadline());
            let after = &reference;
            let moment = Moment { step, events: &events, before: &before, after, dead_before, dead_after };
            CENSUS.with_borrow_mut(|census| census.step(&moment));
        }
        Ok(())
    }
    runner::run("the_machine_agrees_with_the_reference", property as fn(_) -> _);
    CENSUS.with_borrow(|census| census.report(runner::inputs(), &EXPECTED));
}

/// Goal: how often the driver ticks decides nothing. Method: ticks put in before and after inputs, at
/// their time, change nothing of what is said.
#[test]
fn extra_ticks_change_no_reply() {
    fn property(case: Case, ticks: Vec<u8>) -> Outcome {
        runner::ran(case.steps.len());
        let mut plain = Machine::new(case.config.clone());
        let mut ticked = Machine::new(case.config);
        for (at, step) in case.steps.into_iter().enumerate() {
            let ticks = *ticks.get(at % ticks.len().max(1)).unwrap_or(&0);
            let expected = observe(&mut plain, step.now, step.input.clone());
            let mut events = Vec::new();
            for _ in 0..ticks % 3 {
                events.extend(observe(&mut ticked, step.now, Input::Tick));
            }
            events.extend(observe(&mut ticked, step.now, step.input));
            for _ in 0..ticks / 3 % 3 {
                events.extend(observe(&mut ticked, step.now, Input::Tick));
            }
            ensure!(events == expected, "step {at}: {events:?}, without ticks {expected:?}");
        }
        Ok(())
    }
    runner::run("extra_ticks_change_no_reply", property as fn(_, _) -> _);
}

/// Goal: a snapshot is the whole truth. Method: a machine restored at any point says what the original
/// says for ever after, and its own snapshot is the same bytes. Taking one changes nothing.
#[test]
fn a_restored_machine_goes_on_like_the_original() {
    fn property(case: Case, cut: u16) -> Outcome {
        runner::ran(case.steps.len());
        let mut original = Machine::new(case.config.clone());
        let cut = usize::from(cut) % (case.steps.len() + 1);
        let (before, after) = case.steps.split_at(cut);
        for step in before {
            observe(&mut original, step.now, step.input.clone());
        }
        let mut untouched = original.clone();
        let snapshot = original.snapshot();
        original.check().map_err(|violation| format!("after its snapshot: {violation}"))?;
        let mut restored = Machine::restore(case.config, &snapshot).map_err(|error| error.to_string())?;
        ensure!(restored.snapshot() == snapshot, "a restored machine has another snapshot");
        ensure!(original.snapshot() == snapshot, "a second snapshot differs");
        for (at, step) in after.iter().enumerate() {
            let expected = observe(&mut untouched, step.now, step.input.clone());
            let events = observe(&mut original, step.now, step.input.clone());
            ensure!(events == expected, "{at} after its snapshot: {events:?}, without {expected:?}");
            let events = observe(&mut restored, step.now, step.input.clone());
            ensure!(events == expected, "{at} after restoring: {events:?}, the original {expected:?}");
            restored.check().map_err(|violation| format!("{at} after restoring: {violation}"))?;
        }
        Ok(())
    }
    runner::run("a_restored_machine_goes_on_like_the_original", property as fn(_, _) -> _);
}

/// Goal: how memory is laid out decides nothing, the key of the hash least of all. Method: the same
/// inputs with the smallest storage, and with other sizes and another key.
#[test]
fn storage_and_hash_key_change_no_reply() {
    fn property(case: Case, layout: Layout) -> Outcome {
        runner::ran(case.steps.len());
        let with = |storage: Storage| Machine::new(Config { storage, ..case.config.clone() });
        let smallest = Config::smallest_storage().storage;
        let other_key = Storage { hash_key: layout.0.hash_key, ..smallest.clone() };
        let (mut plain, mut keyed, mut sized) = (with(smallest), with(other_key), with(layout.0));
        for (at, step) in case.steps.iter().enumerate() {
            let expected = observe(&mut plain, step.now, step.input.clone());
            let events = observe(&mut keyed, step.now, step.input.clone());
            ensure!(events == expected, "step {at}: with another key {events:?}, without {expected:?}");
            let events = observe(&mut sized, step.now, step.input.clone());
            ensure!(events == expected, "step {at}: with other sizes {events:?}, without {expected:?}");
            sized.check().map_err(|violation| format!("step {at}: {violation}"))?;
        }
        ensure!(plain.snapshot() == keyed.snapshot(), "with another key the snapshot is another");
        Ok(())
    }
    runner::run("storage_and_hash_key_change_no_reply", property as fn(_, _) -> _);
}

/// Goal: a listing is right however its slices and other inputs alternate. Method: every listing that is
/// asked for is read a slice at a time, one for every few inputs, many of them at once; the text is held
/// against what the reference says was held while it was made.
#[test]
fn a_listing_amid_other_inputs_is_right() {
    fn property(case: Case, pace: u8) -> Outcome {
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
            machine.apply(step.now, step.input, &mut |_, output| {
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
            for done in under_way.extract_if(.., |listing| listing.scan.is_done()) {
                CENSUS.with_borrow_mut(|census| done.count(at, census));
                done.check(&addrs).map_err(|what| format!("a listing done with step {at}: {what}"))?;
            }
        }
        Ok(())
    }
    runner::run("a_listing_amid_other_inputs_is_right", property as fn(_, _) -> _);
    CENSUS.with_borrow(|census| {
        census.report(
            runner::inputs(),
            &[
                "a listing was done",
                "a listing took more than 2 inputs",
                "some of what was listed changed meanwhile, and some did not",
                "what was listed changed meanwhile",
            ],
        );
    });
}

/// The address of every connection there was.
type Addrs = BTreeMap<Conn, String>;

/// A row of a listing: the lock and a holder; for `who`, the connection and its registered name.
type RowOf = (Vec<u8>, Conn);

/// A listing that is being read, and what was the case meanwhile.
struct UnderWay {
    /// The step that asked for it.
    begun: usize,
    scan: Scan,
    text: Text,
    /// The only name that is wanted, unless it is empty.
    only: Vec<u8>,
    /// What was there all the time, and what was there at any time.
    throughout: BTreeSet<RowOf>,
    ever: BTreeSet<RowOf>,
    /// What each connection was called.
    called: BTreeMap<Conn, BTreeSet<Vec<u8>>>,
}

impl UnderWay {
    fn new(begun: usize, scan: Scan, only: Vec<u8>, reference: &Reference, addrs: &Addrs) -> Self {
        let text = Text::new(scan.subject());
        let (throughout, ever, called) = Default::default();
        let mut listing = Self { begun, scan, text, only, throughout, ever, called };
        listing.throughout = listing.rows(reference);
        listing.witness(reference, addrs);
        listing
    }

    /// What it should say if it were read all at once now.
    fn rows(&self, reference: &Reference) -> BTreeSet<RowOf> {
        let is_wanted = |name: &Vec<u8>| self.only.is_empty() || self.only == *name;
        let Some(kind) = self.scan.subject().kind() else {
            let registered = reference.registered().iter().filter(|(_, name)| is_wanted(name));
            return registered.map(|(conn, name)| (name.clone(), *conn)).collect();
        };
        let locks = reference.locks().iter().filter(|((of, name), _)| *of == kind && is_wanted(name));
        locks.flat_map(|((_, name), holders)| holders.iter().map(|conn| (name.clone(), *conn))).collect()
    }

    /// Takes note of how things are now.
    fn witness(&mut self, reference: &Reference, addrs: &Addrs) {
        let rows = self.rows(reference);
        self.throughout.retain(|row| rows.contains(row));
        self.ever.extend(rows);
        for client in reference.open() {
            let registered = reference.registered().iter().find(|(conn, _)| *conn == client.conn);
            let name = registered.map_or(addrs[&client.conn].clone().into_bytes(), |(_, name)| name.clone());
            self.called.entry(client.conn).or_default().insert(name);
        }
    }

    fn read_slice(&mut self, machine: &Machine) {
        self.text.add(read_slice(machine, &mut self.scan));
    }

    /// Counts what was special about it, at the step with which it is done.
    fn count(&self, at: usize, census: &mut Census) {
        census.count("a listing was done");
        if at > self.begun + 2 {
            census.count("a listing took more than 2 inputs");
        }
        if self.throughout != self.ever {
            census.count("what was listed changed meanwhile");
        }
        if !self.throughout.is_empty() && self.throughout != self.ever {
            census.count("some of what was listed changed meanwhile, and some did not");
        }
    }

    /// Whether the text tells nothing but the truth, and all that it must.
    fn check(self, addrs: &Addrs) -> Outcome {
        let subject = self.scan.subject();
        let text = whole(self.text);
        let shown = text.escape_ascii();
        let lines = lines(subject, &text, &self.ever, addrs).map_err(|what| format!("{what}: {shown}"))?;
        // How a row may look. A name may have been registered meanwhile.
        let looks = |(name, conn): &RowOf| -> BTreeSet<Vec<u8>> {
            let addr = addrs[conn].as_bytes();
            match subject {
                Subject::Who => [[addr, b": ", name].concat()].into(),
                Subject::Dump(_) => [[name, &b":"[..], addr].concat()].into(),
                Subject::Locks(_) => {
                    self.called[conn].iter().map(|holder| [name, &b": "[..], holder].concat()).collect()
                }
            }
        };
        for line in &lines {
            let could_be = self.ever.iter().filter(|row| looks(row).contains(line)).count();
            let is = lines.iter().filter(|other| *other == line).count();
            ensure!(is <= could_be, "{} is in it too often: {shown}", line.escape_ascii());
        }
        for row in &self.throughout {
            let looks = looks(row);
            let is = lines.iter().filter(|line| looks.contains(*line)).count();
            ensure!(is > 0, "{} of {:?} is not in it: {shown}", row.0.escape_ascii(), row.1);
        }
        for (name, _) in &self.ever {
            let of_name = |rows: &BTreeSet<RowOf>| rows.iter().filter(|row| row.0 == *name).count();
            let all: BTreeSet<_> = self.ever.iter().filter(|row| row.0 == *name).flat_map(looks).collect();
            let is = lines.iter().filter(|line| all.contains(*line)).count();
            let is_single = subject.kind() == Some(Kind::Exclusive);
            let most = if is_single { 1 } else { of_name(&self.ever) };
            let shown_name = name.escape_ascii();
            ensure!(is >= of_name(&self.throughout), "{shown_name} is in it only {is} times: {shown}");
            ensure!(is <= most, "{shown_name} is in it {is} times, not {most}: {shown}");
        }
        Ok(())
    }
}

/// The rows of a listing's text; those of a dump as `NAME:ADDR`, one for each holder.
fn lines(
    subject: Subject,
    text: &[u8],
    ever: &BTreeSet<RowOf>,
    addrs: &Addrs,
) -> Result<Vec<Vec<u8>>, String> {
    let Subject::Dump(kind) = subject else {
        let rows = text.strip_suffix(b"\n").ok_or("no empty line ends it")?;
        let lines = rows.split_inclusive(|byte| *byte == b'\n');
        let lines: Option<Vec<_>> = lines.map(|line| line.strip_suffix(b"\n").map(<[u8]>::to_vec)).collect();
        return lines.ok_or("a line does not end".to_owned());
    };
    let rest = text.strip_prefix(b"map[").and_then(|rows| rows.strip_suffix(b"]\n")).ok_or("not a map")?;
    let mut rest = rest;
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (open, close) = if kind == Kind::Shared { (":[", "]") } else { (":", "") };
        let name = take(&mut rest, ever.iter().map(|(name, _)| &name[..])).ok_or("a strange name")?;
        take(&mut rest, [open.as_bytes()]).ok_or("a name without its holders")?;
        loop {
            let addr = take(&mut rest, addrs.values().map(String::as_bytes)).ok_or("a strange address")?;
            rows.push([name, b":", addr].concat());
            if kind == Kind::Exclusive || take(&mut rest, [&b" "[..]]).is_none() {
                break;
            }
        }
        take(&mut rest, [close.as_bytes()]).ok_or("holders without end")?;
        if !rest.is_empty() {
            take(&mut rest, [&b" "[..]]).ok_or("rows run into each other")?;
            ensure!(!rest.is_empty(), "a space at the end");
        }
    }
    Ok(rows)
}

/// Takes the longest of some words off the front of a text.
fn take<'a>(text: &mut &[u8], words: impl IntoIterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let word = words.into_iter().filter(|word| text.starts_with(word)).max_by_key(|word| word.len())?;
    *text = &text[word.len()..];
    Some(word)
}

/// Goal: bytes that are no snapshot make no machine, or a sound one, and never a panic. Method: a true
/// snapshot is cut, flipped, stretched and overwritten; what comes of it passes `check` and runs.
#[test]
fn damaged_snapshots_are_refused_or_sound() {
    fn property(case: Case, list: Vec<Damage>, cut: u16) -> Outcome {
        // Each of them costs as much as another case.
        const MOST: usize = 4;
        let cut = usize::from(cut) % (case.steps.len() + 1);
        let mut machine = Machine::new(case.config.clone());
        let (before, after) = case.steps.split_at(cut);
        runner::ran(before.len());
        for step in before {
            observe(&mut machine, step.now, step.input.clone());
        }
        let snapshot = machine.snapshot();
        // One thing at a time, and then all of them together.
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
        };
        CENSUS.with_borrow_mut(|census| census.count(what));
        let Ok(mut machine) = restored else { return Ok(()) };
        runner::ran(steps.len());
        machine.check().map_err(|violation| format!("once restored: {violation}"))?;
        for (at, step) in steps.iter().enumerate() {
            observe(&mut machine, step.now, step.input.clone());
            machine.check().map_err(|violation| format!("{at} after restoring: {violation}"))?;
        }
        // What it says of itself can be read again.
        let snapshot = machine.snapshot();
        let again = Machine::restore(config.clone(), &snapshot);
        ensure!(again.is_ok_and(|mut again| again.snapshot() == snapshot), "its own snapshot is refused");
        Ok(())
    }
    runner::run("damaged_snapshots_are_refused_or_sound", property as fn(_, _, _) -> _);
    CENSUS.with_borrow(|census| {
        census.report(
            runner::inputs(),
            &[
                "a sound machine came of damaged bytes",
                "bytes were damaged",
                "bytes were no snapshot",
                "bytes were of another version",
                "bytes were unsound",
            ],
        );
    });
}

/// What stands before the state in a snapshot: sixteen bytes that say what it is, and two for its format.
const HEADER: usize = 18;

/// Goal: no bytes of any client do harm. Method: what four connections send, from the protocol's words and
/// from anything, goes through decoders into the machine and into the reference.
#[test]
fn raw_bytes_do_no_harm() {
    fn property(chatter: Chatter) -> Outcome {
        let mut config = Config::smallest_storage();
        config.limits.name_bytes = 12;
        config.limits.locks = 6;
        let mut machine = Machine::new(config.clone());
        let mut reference = Reference::new(config);
        for serial in 1..=4 {
            let opened = Input::Opened(Conn::new(0, serial), origin(serial, 0));
            reference.apply(Now(0), &opened);
            observe(&mut machine, Now(0), opened);
        }
        let mut decoders: BTreeMap<u64, Decoder> = BTreeMap::new();
        for (at, (serial, bytes)) in chatter.pieces.iter().enumerate() {
            let decoder = decoders.entry(*serial).or_insert_with(|| Decoder::new(30));
            let mut bytes = &bytes[..];
            while let Some(command) = decoder.next(&mut bytes) {
                runner::ran(1);
                let is_quit = command == Command::Quit;
                let input = Input::Command(Conn::new(0, *serial), command.map(Cow::into_owned));
                let expected = reference.apply(Now(at as u64), &input);
                let events = observe(&mut machine, Now(at as u64), input);
                ensure!(events == expected, "piece {at}: {events:?}, expected {expected:?}");
                machine.check().map_err(|violation| format!("piece {at}: {violation}"))?;
                CENSUS.with_borrow_mut(|census| {
                    let is_empty = |event: &Event| matches!(event, Event::Sent(_, text) if text.is_empty());
                    census.count(if is_quit { "quit" } else { "another command" });
                    assert!(!events.iter().any(is_empty), "an empty reply");
                });
            }
        }
        for serial in 1..=4 {
            observe(&mut machine, Now(0), Input::Closed(Conn::new(0, serial), Cause::Eof));
        }
        ensure!(machine.figures().dead_holds() <= 6, "more dead holds than there were locks");
        machine.check().map_err(|violation| format!("in the end: {violation}"))
    }
    runner::run("raw_bytes_do_no_harm", property as fn(_) -> _);
    CENSUS.with_borrow(|census| census.report(runner::inputs(), &["another command", "quit"]));
}
