//! Exhaustive search of replicas under a log that does its worst: every state that two nodes with a few connections can
//! lead to, by every act in every order. Batches are lost, doubled and out of order. Nodes come, go and come again.
//!
//! Three things run beside each other. The replica is the real one. The [`Ledger`] says naively which acts count, and
//! the reference model what they lead to. The other replica is restored from the first one's snapshot in every state,
//! with another storage. It is swept, and has everything in other slots. It must say the same, and be in the same
//! state. So a restored replica goes on like the original from any state on, however often it is restored.
//!
//! Replicas whose [`shape`](elockd_core::Machine::shape) and roll are the same count as one state.

mod acts;
mod ledger;

pub use ledger::Ledger;

use crate::observe::Event;
use crate::reference::Reference;
use elockd_core::replica::{Act, LogEntry, Replica};
use elockd_core::wire::{encode, encode_reason};
use elockd_core::{
    Command, Config, Conn, Identity, Kind, Listing, Now, Output, Scan, Settings, Storage, Subject,
};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::rc::Rc;

/// A small log, to be searched to its end.
#[derive(Clone, Debug)]
pub struct LogSpace {
    /// For each node, how many epochs it may have.
    pub epochs: [u64; 2],
    /// For each node, how many connections it may have at a time.
    pub connections: [usize; 2],
    /// How many batches an epoch may have.
    pub batches: u64,
    /// What connections say.
    pub says: Vec<Command<Vec<u8>>>,
    /// Whether connections close.
    pub closes: bool,
    /// Whether nodes drain.
    pub drains: bool,
    /// By how many milliseconds time passes, with ticks. 0 if it stands.
    pub ms: u64,
}

/// What a search of a log has visited.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSeen {
    /// Different states.
    pub states: u64,
    /// Entries tried.
    pub entries: u64,
    /// Acts tried that must not count.
    pub strays: u64,
    /// Entries that ended a node while another one's connections waited for what it held.
    pub inherited: u64,
    /// States in which something lingers.
    pub with_sessions: u64,
    /// States in which a node drains and another does not.
    pub draining: u64,
}

impl fmt::Display for LogSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, entries, strays, inherited, with_sessions, draining } = self;
        write!(
            f,
            "{states} states ({with_sessions} with sessions, {draining} with a drain), {entries} entries "
        )?;
        write!(f, "({inherited} let others in), {strays} strays")
    }
}

/// Both models, after the same entries.
#[derive(Clone)]
struct LogState {
    replica: Replica,
    reference: Reference,
    ledger: Ledger,
    path: Option<Rc<Way>>,
}

/// How a state was reached: the last act, and those before it.
struct Way {
    act: Act,
    before: Option<Rc<Way>>,
}

/// Searches a log to its end.
///
/// # Errors
///
/// What is wrong, and one of the shortest logs that lead to it.
pub fn search(space: &LogSpace) -> Result<LogSeen, String> {
    let mut seen = LogSeen::default();
    let mut known = HashSet::new();
    let mut queue = VecDeque::from([LogState::first()]);
    while let Some(state) = queue.pop_front() {
        let at =
            |what: String, acts: &[Act]| format!("{what}. It takes {:?} and then {acts:?}", state.acts());
        let other = state.restored().map_err(|what| at(what, &[]))?;
        state.look(&state.replica).map_err(|what| at(what, &[]))?;
        state.stray(space, &mut seen)?;
        for act in space.acts(&state) {
            let entry = state.entry(&act, space.ms);
            let after =
                state.step(&mut other.clone(), &entry, &mut seen).map_err(|what| at(what, &entry.acts))?;
            seen.entries += 1;
            if known.insert(after.words()) {
                seen.note(&after);
                queue.push_back(after);
            }
        }
    }
    Ok(seen)
}

impl LogSeen {
    fn note(&mut self, state: &LogState) {
        self.states += 1;
        self.with_sessions += u64::from(!state.reference.sessions().is_empty());
        self.draining += u64::from(state.reference.draining().len() == 1);
    }
}

impl LogState {
    fn first() -> Self {
        let Config { limits, features, secret, accounts, .. } = Config::smallest_storage();
        let mut replica = Replica::new(Config::smallest_storage());
        let settings = Act::Set(Box::new(Settings { limits, features, secret, accounts }));
        replica.apply(&LogEntry { stamp: Now(0), acts: vec![settings] }, &mut |_, _| {});
        let reference = Reference::new(Config::smallest_storage());
        Self { replica, reference, ledger: Ledger::default(), path: None }
    }

    /// The acts that lead here.
    fn acts(&self) -> Vec<&Act> {
        let ways = std::iter::successors(self.path.as_deref(), |way| way.before.as_deref());
        let mut acts: Vec<&Act> = ways.map(|way| &way.act).collect();
        acts.reverse();
        acts
    }

    /// An entry with one act. Time passes with a tick.
    fn entry(&self, act: &Act, ms: u64) -> LogEntry {
        let Now(now) = self.reference.now();
        let passed = if *act == Act::Tick { ms } else { 0 };
        LogEntry { stamp: Now(now + passed), acts: vec![act.clone()] }
    }

    /// The replica, restored from its snapshot with another storage.
    fn restored(&self) -> Result<Replica, String> {
        let storage = Storage {
            chunk_slots: 4,
            text_chunk_bytes: 40,
            index_tables: 2,
            hash_key: (7, 9),
            ..Config::smallest_storage().storage
        };
        let bytes = self.replica.clone().snapshot();
        let mut other =
            Replica::restore(storage, Identity::default(), &bytes).map_err(|error| error.to_string())?;
        ensure!(other.snapshot() == bytes, "a restored replica has another snapshot");
        ensure!(other.digest() == self.replica.digest(), "a restored replica has another digest");
        Ok(other)
    }

    /// Applies an entry to both replicas, and to the models.
    fn step(&self, other: &mut Replica, entry: &LogEntry, seen: &mut LogSeen) -> Result<Self, String> {
        let mut after = self.clone();
        let mut expected = Vec::new();
        for act in &entry.acts {
            for input in after.ledger.take(act)? {
                expected.extend(after.reference.apply(entry.stamp, &input));
                if let elockd_core::Input::Opened(conn, _) = input {
                    let is_open = after.reference.open().iter().any(|client| client.conn == conn);
                    ensure!(is_open, "{conn} was opened by its node, and is not open");
                }
            }
        }
        let events = told(&mut after.replica, entry);
        ensure!(events == expected, "{events:?}, expected {expected:?}");
        let events = told(other, entry);
        ensure!(events == expected, "restored: {events:?}, expected {expected:?}");
        ensure!(other.digest() == after.replica.digest(), "restored: the digest is another");
        after.look(other).map_err(|what| format!("restored: {what}"))?;
        if matches!(entry.acts[..], [Act::Gone { .. }]) {
            seen.inherited += u64::from(!expected.is_empty());
        }
        for act in &entry.acts {
            after.path = Some(Rc::new(Way { act: act.clone(), before: after.path.take() }));
        }
        Ok(after)
    }

    /// Tries acts that must not count, all together and then one by one to name the one that did.
    fn stray(&self, space: &LogSpace, seen: &mut LogSeen) -> Result<(), String> {
        let strays = space.strays(self);
        seen.strays += strays.len() as u64;
        let is_ignored = |acts: &[Act]| {
            let mut replica = self.replica.clone();
            let stamp = self.reference.now();
            let events = told(&mut replica, &LogEntry { stamp, acts: acts.to_vec() });
            let is_counted = replica.roll.skipped() - self.replica.roll.skipped() == acts.len() as u64;
            let is_same = |node| replica.roll.epoch_of(node) == self.replica.roll.epoch_of(node);
            events.is_empty()
                && is_counted
                && [1, 2].into_iter().all(is_same)
                && replica.machine.snapshot() == self.replica.clone().machine.snapshot()
        };
        if is_ignored(&strays) {
            return Ok(());
        }
        let stray = strays.iter().find(|act| !is_ignored(std::slice::from_ref(act)));
        Err(format!("{stray:?} counts. It takes {:?}", self.acts()))
    }

    /// Looks at a replica: every invariant holds, the roll is as the ledger says, and what is held and waited for is
    /// the reference's. Nothing of a node without an epoch remains, but what lingers.
    fn look(&self, replica: &Replica) -> Result<(), String> {
        let Self { reference, ledger, .. } = self;
        replica.machine.check().map_err(|violation| violation.to_string())?;
        for node in [1, 2] {
            let (told, expected) = (replica.roll.epoch_of(node), ledger.present(node));
            ensure!(
                told.map(|epoch| epoch.number) == expected,
                "node {node}: {told:?}, expected {expected:?}"
            );
            let run = expected.map_or(0, |epoch| ledger.run(epoch));
            ensure!(
                replica.roll.last_batch(node) == run,
                "node {node}: {told:?}, and {run} batches have run"
            );
            let drains = told.is_some_and(|epoch| epoch.drains);
            ensure!(drains == reference.draining().contains(&node), "node {node}: {told:?}, and a drain");
            let is_open = |serial: &u64| replica.machine.account_of(Conn::new(node, *serial)).is_some();
            let open = (1..=replica.machine.highest(node)).filter(is_open).count();
            ensure!(open == 0 || told.is_some(), "node {node} is gone, and has {open} connections");
            let expected = reference.open().iter().filter(|client| client.conn.node() == node).count();
            ensure!(open == expected, "node {node} has {open} connections, expected {expected}");
        }
        let mut held = BTreeSet::new();
        for kind in Kind::ALL {
            let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: b"" });
            while !scan.is_done() {
                replica.machine.scan(&mut scan, &mut |entry| {
                    held.insert((kind, entry.name.to_vec(), entry.conn));
                });
            }
        }
        let of_lock = |((kind, name), holders): (&(Kind, Vec<u8>), &Vec<Conn>)| -> Vec<_> {
            holders.iter().map(|holder| (*kind, name.clone(), *holder)).collect()
        };
        let expected: BTreeSet<_> = reference.locks().iter().flat_map(of_lock).collect();
        ensure!(held == expected, "held are {held:?}, expected {expected:?}");
        Ok(())
    }

    /// The part of the state that decides its future.
    fn words(&self) -> Box<[u32]> {
        let mut conns: Vec<Conn> = self.reference.open().iter().map(|client| client.conn).collect();
        conns.extend(self.reference.sessions().iter().flat_map(|session| [session.conn, session.number]));
        conns.extend(self.reference.graces().values().map(|(number, _)| *number));
        conns.sort();
        conns.dedup();
        let call = |conn: Conn| {
            let rank = conns.iter().position(|other| *other == conn).unwrap_or(conns.len()) as u32;
            u32::from(conn.node()) << 16 | rank
        };
        let mut words = self.replica.machine.shape(false, call);
        for node in [1, 2] {
            let present = self.ledger.present(node);
            words.push(u32::from(present.is_some()));
            words.push(self.ledger.of(node).count() as u32);
            words.push(present.map_or(0, |epoch| self.ledger.run(epoch)) as u32);
        }
        words.into()
    }
}

/// Applies an entry. Returns what connections of all nodes are told.
fn told(replica: &mut Replica, entry: &LogEntry) -> Vec<Event> {
    let mut events = Vec::new();
    replica.apply(entry, &mut |conn, output| {
        let mut text = Vec::new();
        events.push(match output {
            Output::Reply(reply) => {
                encode(&reply, &mut text);
                Event::Sent(conn, text)
            }
            Output::Wait => Event::Waits(conn),
            Output::Disconnect(reason) => {
                encode_reason(reason, &mut text);
                Event::Disconnected(conn, reason, text)
            }
        });
    });
    events
}
