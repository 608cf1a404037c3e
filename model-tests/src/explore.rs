//! Exhaustive search: every state that a small machine can reach, by every input, in breadth-first order.
//!
//! The machine is the real one. What of its state decides its future is taken from it as words
//! ([`Machine::shape`]): machines with the same words count as one state, and on each state every input is
//! tried. The words leave out what has been counted, which time it is, and how connections are numbered
//! beyond their order, so that there is an end. They also leave out which slot a thing is in, unless
//! [`Space::places`] asks for it: that this changes no reply is what the smaller worlds with it show.
//! Beside the machine runs the reference model. Its own state is part of the words, so that the two being in
//! step is shown and not assumed.
//!
//! The search is a plain queue and a set of the words themselves. An off-the-shelf checker was the other
//! choice (stateright has a good one): it would know states by their hashes, so that two could be taken for
//! one, and has properties of states, where most of those here are about an input, the state before it, what
//! came of it, and the state after it.

use crate::generate::{Step, origin};
use crate::observe::{Event, observe};
use crate::reference::Reference;
use elockd_core::{Cause, Command, Config, Conn, Figure, Input, Kind, Listing, Machine, Now, Scan, Subject};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;

/// A small world, to be searched to its end.
#[derive(Clone, Debug)]
pub struct Space {
    /// How many connections there are at a time. Each may close, and another come in its place.
    pub connections: usize,
    /// The locks that they ask for.
    pub locks: Vec<(Kind, &'static str)>,
    /// The machine's configuration.
    pub config: Config,
    /// Whether time goes on, a millisecond at a time.
    pub time_passes: bool,
    /// Whether the machine may be told to drain.
    pub drains: bool,
    /// Whether states are told apart by which slot everything is in, too.
    pub places: bool,
}

/// What a search has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Different states.
    pub states: u64,
    /// Inputs tried.
    pub edges: u64,
    /// Inputs on the shortest way to the farthest state.
    pub depth: u32,
    /// States with dead holds in them.
    pub with_dead: u64,
    /// States with a lock that several hold.
    pub with_ties: u64,
    /// Inputs that got a lock whose dead holder was still in memory.
    pub dead_met: u64,
}

/// A property that does not hold, and the shortest way to where it does not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The name of the property.
    pub property: &'static str,
    /// What is wrong.
    pub what: String,
    /// The inputs that lead there.
    pub path: Vec<Step>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. It takes {:?}", self.property, self.what, self.path)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, edges, depth, with_dead, with_ties, dead_met } = self;
        write!(f, "{states} states ({with_dead} with dead holds, {with_ties} with ties), ")?;
        write!(f, "{edges} edges ({dead_met} meet a dead holder), depth {depth}")
    }
}

/// One input tried on one state.
struct Edge<'a> {
    before: &'a Node,
    step: Step,
    events: Vec<Event>,
    expected: Vec<Event>,
    after: Node,
}

type Check = fn(&Edge<'_>) -> Result<(), String>;

/// What has to be right about every input in every state.
const OF_EDGES: [(&str, Check); 6] = [
    ("replies are the reference's", replies_are_the_references),
    ("every invariant holds", every_invariant_holds),
    ("nobody but the holder releases", nobody_but_the_holder_releases),
    ("a get gives what it says", a_get_gives_what_it_says),
    ("nothing of a closed connection remains", nothing_of_a_closed_connection_remains),
    ("an extra tick changes no reply", an_extra_tick_changes_no_reply),
];

type CheckAll = fn(&Node, &[Edge<'_>]) -> Result<(), String>;

/// What has to be right about every state, given all that can be done with it.
const OF_STATES: [(&str, CheckAll); 3] = [
    ("at most one holds an exclusive lock", at_most_one_holder),
    ("counts are exact", counts_are_exact),
    ("listings and statistics are the reference's", listings_are_the_references),
];

/// Searches a space to its end.
///
/// # Errors
///
/// The first property that does not hold, by one of the shortest ways to it.
pub fn search(space: &Space) -> Result<Seen, Failure> {
    let mut search = Search { space, seen: Seen::default(), known: HashSet::new(), ways: Vec::new() };
    let mut queue = VecDeque::new();
    let root = Node::new(Machine::new(space.config.clone()), Reference::new(space.config.clone()));
    search.reach(root, 0, &mut queue);
    while let Some(node) = queue.pop_front() {
        search.expand(&node, &mut queue)?;
    }
    Ok(search.seen)
}

/// Both machines, as they are after the same inputs.
#[derive(Clone)]
struct Node {
    /// Its number, in the order in which states were found.
    number: u32,
    depth: u32,
    machine: Machine,
    reference: Reference,
    /// Who holds what, as the real machine lists it.
    holds: Vec<Hold>,
}

/// A lock's kind and name, and one that holds it.
type Hold = (Kind, Vec<u8>, Conn);

impl Node {
    fn new(machine: Machine, reference: Reference) -> Self {
        let holds = holds(&machine);
        Self { number: 0, depth: 0, machine, reference, holds }
    }
}

struct Search<'a> {
    space: &'a Space,
    seen: Seen,
    known: HashSet<Box<[u8]>>,
    /// How each state was found: from which other, by which of its inputs.
    ways: Vec<(u32, u8)>,
}

impl Search<'_> {
    /// Tries every input on a state.
    fn expand(&mut self, node: &Node, queue: &mut VecDeque<Node>) -> Result<(), Failure> {
        let mut edges = Vec::new();
        for step in self.space.steps(&node.reference) {
            let Node { mut machine, mut reference, .. } = node.clone();
            let events = observe(&mut machine, step.now, step.input.clone());
            let expected = reference.apply(step.now, &step.input);
            let after = Node { depth: node.depth + 1, ..Node::new(machine, reference) };
            let edge = Edge { before: node, step, events, expected, after };
            for (property, check) in OF_EDGES {
                check(&edge).map_err(|what| self.failure(property, what, node, Some(&edge.step)))?;
            }
            self.seen.dead_met += u64::from(meets_dead(&edge));
            edges.push(edge);
        }
        for (property, check) in OF_STATES {
            check(node, &edges).map_err(|what| self.failure(property, what, node, None))?;
        }
        self.seen.edges += edges.len() as u64;
        for (at, edge) in edges.into_iter().enumerate() {
            let at = u8::try_from(at).expect("a state has few inputs");
            let mut after = edge.after;
            after.number = node.number;
            self.reach(after, at, queue);
        }
        Ok(())
    }

    /// Puts a state into the queue unless it is known. Its number is that of the state before, until then.
    fn reach(&mut self, mut node: Node, by: u8, queue: &mut VecDeque<Node>) {
        if !self.known.insert(words(self.space, &node)) {
            return;
        }
        self.ways.push((node.number, by));
        node.number = self.seen.states as u32;
        self.seen.states += 1;
        self.seen.depth = self.seen.depth.max(node.depth);
        self.seen.with_dead += u64::from(node.machine.figures().dead_holds() > 0);
        self.seen.with_ties += u64::from(node.reference.locks().values().any(|holders| holders.len() > 1));
        queue.push_back(node);
    }

    fn failure(&self, property: &'static str, what: String, at: &Node, step: Option<&Step>) -> Failure {
        let mut turns = Vec::new();
        let mut number = at.number;
        while number != 0 {
            let (before, by) = self.ways[number as usize];
            turns.push(usize::from(by));
            number = before;
        }
        let mut path = Vec::new();
        let mut reference = Reference::new(self.space.config.clone());
        for turn in turns.into_iter().rev() {
            let step = self.space.steps(&reference).swap_remove(turn);
            reference.apply(step.now, &step.input);
            path.push(step);
        }
        path.extend(step.cloned());
        Failure { property, what, path }
    }
}

impl Space {
    /// Everything that can be put into a state.
    fn steps(&self, reference: &Reference) -> Vec<Step> {
        let mut inputs = vec![Input::Tick];
        let highest = reference.highest().map_or(0, Conn::serial);
        if reference.open().len() < self.connections {
            inputs.push(Input::Opened(Conn::new(0, highest + 1), origin(highest + 1, 0)));
        }
        let mut conns: Vec<Conn> = reference.open().iter().map(|client| client.conn).collect();
        // What a queue does with a connection must not depend on who was active last.
        conns.sort();
        for conn in &conns {
            for (kind, name) in &self.locks {
                let name = name.as_bytes().to_vec();
                inputs.push(Input::Command(*conn, Command::Get(*kind, name.clone())));
                inputs.push(Input::Command(*conn, Command::Release(*kind, name.clone())));
                inputs.push(Input::Command(*conn, Command::Inspect(*kind, name)));
            }
            inputs.push(Input::Closed(*conn, Cause::Eof));
            inputs.push(Input::Command(*conn, Command::Quit));
        }
        // One that is open already, or was; and one that was and is not.
        if highest > 0 {
            inputs.push(Input::Opened(Conn::new(0, highest), origin(highest, 0)));
        }
        let gone = (1..=highest).map(|serial| Conn::new(0, serial)).find(|conn| !conns.contains(conn));
        if let (Some(gone), Some((kind, name))) = (gone, self.locks.first()) {
            inputs.push(Input::Command(gone, Command::Get(*kind, name.as_bytes().to_vec())));
            inputs.push(Input::Closed(gone, Cause::Eof));
        }
        if self.drains {
            inputs.push(Input::Drain);
        }
        let Now(now) = reference.now();
        let mut steps: Vec<_> = inputs.into_iter().map(|input| Step { now: Now(now), input }).collect();
        if self.time_passes {
            // What is due at a time comes first, whatever the input is.
            for at in 0..steps.len() {
                steps.push(Step { now: Now(now + 1), input: steps[at].input.clone() });
            }
        }
        steps
    }
}

/// A state as bytes: what of both machines decides their future. Connections are called by their rank.
fn words(space: &Space, node: &Node) -> Box<[u8]> {
    let mut conns: Vec<Conn> = node.reference.open().iter().map(|client| client.conn).collect();
    conns.sort();
    let call = |conn: Conn| conns.iter().position(|other| *other == conn).unwrap_or(conns.len()) as u32;
    let mut words = node.machine.shape(space.places, call);
    words.push(u32::from(node.reference.is_draining()));
    for conn in &conns {
        let client = node.reference.open().iter().find(|client| client.conn == *conn);
        let silent_ms = client.map_or(0, |client| node.reference.now().0 - client.active);
        words.push(if space.config.limits.idle_ms > 0 { silent_ms as u32 } else { 0 });
    }
    if space.config.limits.idle_ms > 0 {
        words.extend(node.reference.open().iter().map(|client| call(client.conn)));
    }
    for (kind, name) in &space.locks {
        words.extend(node.reference.holders(*kind, name.as_bytes()).iter().map(|conn| call(*conn)));
        words.push(u32::MAX);
    }
    let byte = |word| {
        if word == u32::MAX {
            return u8::MAX;
        }
        assert!(word < u32::from(u8::MAX), "a world that is not small");
        word as u8
    };
    words.into_iter().map(byte).collect()
}

/// Whether a get took over storage of a dead holder: it frees two dead holds before it looks, and one more
/// is gone.
fn meets_dead(edge: &Edge<'_>) -> bool {
    let dead = |node: &Node| node.machine.figures().dead_holds();
    let is_get = matches!(edge.step.input, Input::Command(_, Command::Get(..)));
    is_get && dead(&edge.after) + 2 < dead(edge.before)
}

/// Who holds what, as the machine lists it.
fn holds(machine: &Machine) -> Vec<Hold> {
    let mut holds = Vec::new();
    for kind in Kind::ALL {
        let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: b"" });
        while !scan.is_done() {
            machine.scan(&mut scan, &mut |entry| holds.push((kind, entry.name.to_vec(), entry.conn)));
        }
    }
    holds.sort();
    holds
}

fn replies_are_the_references(edge: &Edge<'_>) -> Result<(), String> {
    let Edge { events, expected, .. } = edge;
    ensure!(events == expected, "{events:?}, expected {expected:?}");
    Ok(())
}

fn every_invariant_holds(edge: &Edge<'_>) -> Result<(), String> {
    edge.after.machine.check().map_err(|violation| violation.to_string())
}

/// Whoever does something, the holds of all others stay as they are. A release succeeds for the holder,
/// takes this hold, and nothing else.
fn nobody_but_the_holder_releases(edge: &Edge<'_>) -> Result<(), String> {
    let is_open = |conn| edge.after.reference.open().iter().any(|client| client.conn == conn);
    let by = match &edge.step.input {
        Input::Command(conn, _) | Input::Closed(conn, _) => Some(*conn),
        _ => None,
    };
    let others = |holds: &[Hold]| -> Vec<Hold> {
        holds.iter().filter(|hold| Some(hold.2) != by && is_open(hold.2)).cloned().collect()
    };
    let (before, after) = (others(&edge.before.holds), others(&edge.after.holds));
    ensure!(before == after, "others held {before:?} before it, and {after:?} after it");
    if let Input::Command(conn, Command::Release(kind, name)) = &edge.step.input {
        let hold = (*kind, name.clone(), *conn);
        let was_held = edge.before.holds.contains(&hold) && is_open(*conn);
        let is_right = was_held == is_success(&edge.events, *conn);
        ensure!(is_right, "held before: {was_held}, but {:?}", edge.events);
        ensure!(!edge.after.holds.contains(&hold), "it is still held");
    }
    Ok(())
}

/// Whoever is told that it got a lock holds it; whoever is told otherwise holds what it held.
fn a_get_gives_what_it_says(edge: &Edge<'_>) -> Result<(), String> {
    let Input::Command(conn, Command::Get(kind, name)) = &edge.step.input else { return Ok(()) };
    let hold = (*kind, name.clone(), *conn);
    let was_held = edge.before.holds.contains(&hold);
    let is_held = edge.after.holds.contains(&hold);
    let is_right = if is_success(&edge.events, *conn) { is_held } else { is_held <= was_held };
    ensure!(is_right, "held before: {was_held}, after: {is_held}, but {:?}", edge.events);
    Ok(())
}

/// Once a connection is closed nobody sees a hold of it, it can do nothing more, and a few ticks later not
/// even memory remembers it.
fn nothing_of_a_closed_connection_remains(edge: &Edge<'_>) -> Result<(), String> {
    let (Input::Closed(conn, _) | Input::Command(conn, Command::Quit)) = &edge.step.input else {
        return Ok(());
    };
    if let Some(hold) = edge.after.holds.iter().find(|hold| hold.2 == *conn) {
        return Err(format!("it still holds {hold:?}"));
    }
    let mut machine = edge.after.machine.clone();
    let dead = machine.figures().dead_holds();
    let live = edge.after.holds.len() as u64;
    let now = edge.after.reference.now();
    let mut events = observe(&mut machine, now, Input::Command(*conn, Command::Ping));
    for _ in 0..dead {
        events.extend(observe(&mut machine, now, Input::Tick));
    }
    ensure!(events.is_empty(), "it is not forgotten: {events:?}");
    ensure!(machine.figures().dead_holds() == 0, "{dead} ticks do not free {dead} dead holds");
    let counted = number(&machine, "holds") + number(&machine, "shared_holds");
    ensure!(counted == live, "{counted} holds are counted, {live} are left");
    Ok(())
}

fn an_extra_tick_changes_no_reply(edge: &Edge<'_>) -> Result<(), String> {
    let mut machine = edge.before.machine.clone();
    let mut events = observe(&mut machine, edge.step.now, Input::Tick);
    events.extend(observe(&mut machine, edge.step.now, edge.step.input.clone()));
    ensure!(events == edge.events, "{events:?}, without a tick {:?}", edge.events);
    Ok(())
}

/// Of all that could release an exclusive lock now, no two would succeed.
fn at_most_one_holder(node: &Node, edges: &[Edge<'_>]) -> Result<(), String> {
    for ((kind, name), count) in releases(node, edges) {
        let is_shared = kind == Kind::Shared;
        ensure!(is_shared || count <= 1, "{count} connections could release {}", name.escape_ascii());
    }
    Ok(())
}

/// Every count that the machine gives is what comes out by trying who could release what.
fn counts_are_exact(node: &Node, edges: &[Edge<'_>]) -> Result<(), String> {
    let releases = releases(node, edges);
    for edge in edges.iter().filter(|edge| edge.step.now == node.reference.now()) {
        if let Input::Command(conn, Command::Inspect(kind, name)) = &edge.step.input
            && let Some(Event::Sent(_, text)) = edge.events.last()
        {
            let told = String::from_utf8_lossy(text);
            let told: Option<usize> = told.split(' ').next().and_then(|word| word.parse().ok());
            let count = releases.get(&(*kind, name.clone())).copied().unwrap_or(0);
            let name = name.escape_ascii();
            ensure!(
                told == Some(count),
                "{conn:?} was told {told:?} holders of {kind:?} {name}, not {count}"
            );
        }
    }
    for (kind, names_key, holds_key) in
        [(Kind::Exclusive, "locks", "holds"), (Kind::Shared, "shared_locks", "shared_holds")]
    {
        let counts =
            releases.iter().filter(|((of, _), count)| *of == kind && **count > 0).map(|(_, count)| *count);
        let (names, holds) = counts.fold((0, 0), |(names, holds), count| (names + 1, holds + count as u64));
        let counted = (number(&node.machine, names_key), number(&node.machine, holds_key));
        ensure!(counted == (names, holds), "{counted:?} {kind:?} names and holds, not {names} and {holds}");
    }
    let open = node.reference.open().len() as u64;
    ensure!(number(&node.machine, "connections") == open, "the figures do not have {open} connections");
    Ok(())
}

/// What a connection is told that asks for everything there is.
fn listings_are_the_references(node: &Node, _: &[Edge<'_>]) -> Result<(), String> {
    let Some(client) = node.reference.open().first() else { return Ok(()) };
    let (mut machine, mut reference) = (node.machine.clone(), node.reference.clone());
    for command in [
        Command::List(Kind::Exclusive, Vec::new()),
        Command::List(Kind::Shared, Vec::new()),
        Command::Dump(Kind::Exclusive),
        Command::Dump(Kind::Shared),
        Command::Query { full: true },
    ] {
        let input = Input::Command(client.conn, command);
        let now = reference.now();
        let expected = reference.apply(now, &input);
        let events = observe(&mut machine, now, input);
        ensure!(events == expected, "{events:?}, expected {expected:?}");
    }
    Ok(())
}

/// How many releases of each lock would succeed at this time.
fn releases(node: &Node, edges: &[Edge<'_>]) -> BTreeMap<(Kind, Vec<u8>), usize> {
    let mut counts = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.step.now == node.reference.now()) {
        if let Input::Command(conn, Command::Release(kind, name)) = &edge.step.input {
            *counts.entry((*kind, name.clone())).or_default() += usize::from(is_success(&edge.events, *conn));
        }
    }
    counts
}

fn is_success(events: &[Event], conn: Conn) -> bool {
    let is_it =
        |event: &Event| matches!(event, Event::Sent(of, text) if *of == conn && !text.starts_with(b"0 "));
    events.iter().any(is_it)
}

fn number(machine: &Machine, wanted: &str) -> u64 {
    let mut found = 0;
    machine.figures().each(true, &mut |key, figure| {
        if let (true, Figure::Number(number)) = (key == wanted, figure) {
            found = number;
        }
    });
    found
}
