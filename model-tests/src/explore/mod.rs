//! Exhaustive search: every state that a small machine can reach, by every input, in breadth-first order.
//!
//! The machine is the real one. The part of its state that decides its future is taken as words ([`Machine::shape`]).
//! Machines with the same words count as one state. Every input is tried on each state. The words leave out counts, the
//! time, and connections' numbers apart from their order. So the search ends. They also leave out the slot of each
//! thing, unless [`Space::places`] asks for it. Smaller worlds that ask for it show that slots change no reply.
//!
//! The reference model runs beside the machine. Its own state is part of the words, so the search shows, and does not
//! assume, that the two stay in step. The words have the time that is left of each wait. Of a fencing token they only
//! have that a lock has one: its value is compared while it is drawn and kept.
//!
//! The search is a plain queue and a set of the words themselves. The alternative was an existing checker; stateright
//! is a good one. But it knows states by their hashes, so two could be taken for one. And its properties are of states,
//! while most properties here are of an input, its outcome, and the states before and after it.

mod checks;

use crate::generate::{Step, origin};
use crate::observe::{Event, observe};
use crate::reference::{Reference, Wait};
use checks::{OF_EDGES, OF_STATES};
use elockd_core::{
    Account, Addr, Cause, Command, Config, Conn, Input, Kind, Listing, Machine, Now, Reply, Scan, Subject,
    Wish,
};
use std::collections::{HashSet, VecDeque};
use std::fmt;

/// A small world, to be searched to its end.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Space {
    /// How many connections there are at a time. Each may close, and another may open in its place.
    pub connections: usize,
    /// The locks that they ask for.
    pub locks: Vec<(Kind, &'static str)>,
    /// The machine's configuration.
    pub config: Config,
    /// Whether and how time passes.
    pub time: Time,
    /// The durations of waits, in milliseconds. If empty, no connection waits.
    pub waits_ms: Vec<u32>,
    /// Whether they may wait for ends too, for as long.
    pub ends: bool,
    /// The limits of requests for shared locks.
    pub limits: Vec<u32>,
    /// The times for which connections ask that their holds outlive them, in milliseconds. If empty, none does.
    pub graces_ms: Vec<u32>,
    /// How many fencing tokens there are at a time.
    pub tokens: u64,
    /// Whether connections may be operators', which kick and steal.
    pub operators: bool,
    /// The accounts that connections open in and log in to. The first is that of the rest.
    pub accounts: Vec<u16>,
    /// The nodes that connections come to. With several, each may be lost.
    pub nodes: &'static [u16],
    /// Whether the machine may be told that a node drains.
    pub drains: bool,
    /// Whether states also differ if something is in another slot.
    pub places: bool,
}

/// Whether time passes, and by how many milliseconds.
#[derive(Clone, Debug)]
pub enum Time {
    /// It does not.
    Stands,
    /// Before any input.
    Passes(Vec<u64>),
    /// Only with ticks. That is enough, because every input first does what is due, as a tick would. Smaller worlds
    /// show this.
    Ticks(Vec<u64>),
}

/// What a search has visited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Different states.
    pub states: u64,
    /// Inputs tried.
    pub edges: u64,
    /// The number of inputs on the shortest way to the farthest state.
    pub depth: u32,
    /// States with dead holds in them.
    pub with_dead: u64,
    /// States with a lock that several hold.
    pub with_ties: u64,
    /// Inputs that got a lock whose dead holder was still in memory.
    pub dead_met: u64,
    /// States in which something lingers.
    pub with_sessions: u64,
    /// Inputs that took over a session, or what an open connection had.
    pub resumed: u64,
    /// States in which somebody waits.
    pub with_waits: u64,
    /// States with three or more waits.
    pub with_many_waits: u64,
    /// Inputs that granted a wait.
    pub grants: u64,
    /// Inputs that granted more than one wait.
    pub several_grants: u64,
    /// Waits that were refused as deadlocks.
    pub deadlocks: u64,
    /// Waits that were refused because it would have taken too long to find out.
    pub unseen: u64,
    /// Logins that changed the account, and logins that found no connection left.
    pub logins: [u64; 2],
    /// Gets and waits that a limit refused, or an account's quota.
    pub refused: u64,
}

/// A violated property, and a shortest sequence of inputs that leads there.
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
        let Self { states, edges, depth, with_dead, with_ties, dead_met, .. } = self;
        write!(f, "{states} states ({with_dead} with dead holds, {with_ties} with ties")?;
        if self.with_waits > 0 {
            write!(f, ", {} with waits, {} with three", self.with_waits, self.with_many_waits)?;
        }
        write!(f, "), {edges} edges ({dead_met} meet a dead holder")?;
        if self.with_waits > 0 {
            write!(f, ", {} grant", self.grants)?;
            write!(f, ", {} several, {} are deadlocks", self.several_grants, self.deadlocks)?;
        }
        if self.with_sessions > 0 {
            write!(f, ", {} with sessions, {} resume", self.with_sessions, self.resumed)?;
        }
        if self.logins != [0; 2] {
            let [moved, ended] = self.logins;
            write!(f, ", {moved} log in, {ended} find no room, {} meet a limit", self.refused)?;
        }
        if self.unseen > 0 {
            write!(f, ", {} are refused unseen", self.unseen)?;
        }
        write!(f, "), depth {depth}")
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

/// Searches a space to its end.
///
/// # Errors
///
/// The first violated property, with one of the shortest ways to it.
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

/// Both machines, after the same inputs.
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

/// A lock's kind and name, and one of its holders.
pub(super) type Hold = (Kind, Vec<u8>, Conn);

impl Node {
    fn new(machine: Machine, reference: Reference) -> Self {
        let holds = holds(&machine, &reference);
        Self { number: 0, depth: 0, machine, reference, holds }
    }
}

struct Search<'a> {
    space: &'a Space,
    seen: Seen,
    known: HashSet<Box<[u8]>>,
    /// For each state, the state it was found from, and the position of the input that led to it.
    ways: Vec<(u32, u16)>,
}

impl Search<'_> {
    /// Tries every input on a state.
    fn expand(&mut self, node: &Node, queue: &mut VecDeque<Node>) -> Result<(), Failure> {
        let mut edges = Vec::new();
        for step in self.space.steps(&node.reference) {
            let Node { mut machine, mut reference, .. } = node.clone();
            let events = observe(&mut machine, step.now, step.input.as_ref());
            let expected = reference.apply(step.now, &step.input);
            let after = Node { depth: node.depth + 1, ..Node::new(machine, reference) };
            let edge = Edge { before: node, step, events, expected, after };
            for (property, check) in OF_EDGES {
                check(&edge).map_err(|what| self.failure(property, what, node, Some(&edge.step)))?;
            }
            self.count(&edge);
            edges.push(edge);
        }
        for (property, check) in OF_STATES {
            check(node, &edges).map_err(|what| self.failure(property, what, node, None))?;
        }
        self.seen.edges += edges.len() as u64;
        for (at, edge) in edges.into_iter().enumerate() {
            let at = u16::try_from(at).expect("a state has few inputs");
            let mut after = edge.after;
            after.number = node.number;
            self.reach(after, at, queue);
        }
        Ok(())
    }

    /// Puts a state into the queue unless it is known. Until then its number is that of the state before.
    fn reach(&mut self, mut node: Node, by: u16, queue: &mut VecDeque<Node>) {
        if !self.known.insert(words(self.space, &node)) {
            return;
        }
        self.ways.push((node.number, by));
        node.number = self.seen.states as u32;
        self.seen.states += 1;
        self.seen.depth = self.seen.depth.max(node.depth);
        self.seen.with_dead += u64::from(node.machine.figures().dead_holds() > 0);
        self.seen.with_ties += u64::from(node.reference.locks().values().any(|holders| holders.len() > 1));
        self.seen.with_sessions += u64::from(!node.reference.sessions().is_empty());
        let waits = node.reference.waits().len();
        self.seen.with_waits += u64::from(waits > 0);
        self.seen.with_many_waits += u64::from(waits > 2);
        queue.push_back(node);
    }

    fn count(&mut self, edge: &Edge<'_>) {
        let grants = edge.grants().count();
        let is_refused = |event: &Event| matches!(event, Event::Sent(_, text) if is_deadlock(text));
        let resumed = edge.after.reference.resumed() - edge.before.reference.resumed();
        self.seen.resumed += resumed;
        if let Input::Command(conn, Command::Login(_)) = edge.step.input {
            let account = |node: &Node| node.reference.account_of(conn);
            let (before, after) = (account(edge.before), account(&edge.after));
            self.seen.logins[0] += u64::from(after.is_some() && before != after);
            self.seen.logins[1] += u64::from(before.is_some() && after.is_none());
        }
        self.seen.refused += u64::from(edge.events.iter().any(is_limit));
        self.seen.dead_met += u64::from(meets_dead(edge));
        self.seen.grants += u64::from(grants > 0);
        self.seen.several_grants += u64::from(grants > 1);
        self.seen.deadlocks += u64::from(edge.events.iter().any(is_refused));
        self.seen.unseen +=
            edge.after.reference.searches_refused() - edge.before.reference.searches_refused();
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
    /// A world without time, waits and operators, and with the smallest storage.
    #[must_use]
    pub fn new(connections: usize, locks: &[(Kind, &'static str)]) -> Self {
        Self {
            connections,
            locks: locks.to_vec(),
            config: Config::smallest_storage(),
            time: Time::Stands,
            waits_ms: Vec::new(),
            ends: false,
            limits: Vec::new(),
            graces_ms: Vec::new(),
            tokens: 0,
            operators: false,
            accounts: vec![0],
            nodes: &[0],
            drains: false,
            places: false,
        }
    }

    /// Every input to try on a state.
    fn steps(&self, reference: &Reference) -> Vec<Step> {
        let mut inputs = vec![Input::Tick];
        for node in self.nodes {
            if reference.open().len() < self.connections {
                let next = reference.highest(*node) + 1;
                let admin = self.operators.then_some(&Account::ADMIN.0);
                let accounts = self.accounts.iter().chain(admin);
                inputs.extend(
                    accounts.map(|account| Input::Opened(Conn::new(*node, next), origin(next, *account))),
                );
            }
            if self.nodes.len() > 1 {
                inputs.push(Input::Gone(*node));
            }
            if self.drains {
                inputs.push(Input::Drain(*node));
            }
        }
        let mut conns: Vec<Conn> = reference.open().iter().map(|client| client.conn).collect();
        // Sorted, so that inputs and their order do not depend on who was active last.
        conns.sort();
        for conn in &conns {
            inputs.extend(self.commands(*conn, reference).into_iter().map(|it| Input::Command(*conn, it)));
            inputs.push(Input::Closed(*conn, Cause::Eof));
            if reference.is_waiting(*conn) {
                inputs.push(Input::Closed(*conn, Cause::Error));
            }
            inputs.push(Input::Command(*conn, Command::Quit));
        }
        let node = self.nodes[0];
        let highest = reference.highest(node);
        // A number that is open or was. Below: a connection that was open and is not.
        if highest > 0 {
            inputs.push(Input::Opened(Conn::new(node, highest), origin(highest, 0)));
        }
        let gone = (1..=highest).map(|serial| Conn::new(node, serial)).find(|conn| !conns.contains(conn));
        if let (Some(gone), Some((kind, name))) = (gone, self.locks.first()) {
            inputs.push(Input::Command(gone, Command::get(*kind, name.as_bytes().to_vec())));
            inputs.push(Input::Closed(gone, Cause::Eof));
        }
        if self.tokens > 0 {
            let first = reference.next_token();
            // The tokens that are left once more, or new ones if none is left.
            let more = if reference.tokens_left() == 0 { self.tokens } else { 0 };
            inputs.push(Input::Tokens { first, last: first + reference.tokens_left() + more - 1 });
        }
        let Now(now) = reference.now();
        let at = |ms: u64, inputs: &[Input<Command<Vec<u8>>>]| -> Vec<Step> {
            inputs.iter().map(|input| Step { now: Now(now + ms), input: input.clone() }).collect()
        };
        let mut steps = at(0, &inputs);
        // What is due at a time comes first, whatever the input is.
        match &self.time {
            Time::Stands => {}
            Time::Passes(by) => steps.extend(by.iter().flat_map(|ms| at(*ms, &inputs))),
            Time::Ticks(by) => steps.extend(by.iter().flat_map(|ms| at(*ms, &inputs[..1]))),
        }
        steps
    }

    /// The commands of a connection. A waiting one is not heard, so it sends those that would do the most harm.
    fn commands(&self, conn: Conn, reference: &Reference) -> Vec<Command<Vec<u8>>> {
        let mut commands = Vec::new();
        let is_waiting = reference.is_waiting(conn);
        for (kind, name) in &self.locks {
            let name = name.as_bytes().to_vec();
            commands.push(Command::Release(*kind, name.clone()));
            if is_waiting {
                continue;
            }
            commands.push(Command::get(*kind, name.clone()));
            commands.push(Command::Inspect(*kind, name.clone()));
            if self.ends {
                let await_end = |ms: &u32| Command::AwaitEnd { kind: *kind, ms: *ms, name: name.clone() };
                commands.extend(self.waits_ms.iter().map(await_end));
            }
            match kind {
                Kind::Exclusive | Kind::Read | Kind::Write => {
                    commands.extend(self.commands_without_limits(*kind, &name));
                }
                Kind::Shared => commands.extend(self.limited_commands(&name)),
            }
        }
        if !self.waits_ms.is_empty() {
            commands.push(Command::ReleaseAll);
        }
        if !self.graces_ms.is_empty() && !is_waiting {
            commands.extend(self.graces_ms.iter().chain(&[0]).map(|ms| Command::Linger(*ms)));
            commands.extend(reference.keys().into_iter().map(Command::Resume));
            commands.push(Command::Resume(b"0123456789abcdef0123456789abcdef".to_vec()));
        }
        if let [_, _, ..] = self.accounts[..] {
            commands.extend(self.accounts.iter().map(|account| Command::Login(Some(Account(*account)))));
            commands.push(Command::Login(None));
        }
        if self.operators {
            let left = reference.sessions().iter().map(|session| format!("~{}", session.origin.addr));
            commands.extend(left.map(|addr| Command::Kick(addr.into_bytes())));
            let addrs = reference.open().iter().map(|client| client.origin.addr).chain([Addr::Unix(0)]);
            commands.extend(addrs.map(|addr| Command::Kick(addr.to_string().into_bytes())));
        }
        commands
    }

    fn commands_without_limits(&self, kind: Kind, name: &[u8]) -> Vec<Command<Vec<u8>>> {
        let mut commands: Vec<_> = self
            .waits_ms
            .iter()
            .map(|ms| Command::Get(Wish::at_once(kind, name.to_vec()).waiting(*ms)))
            .collect();
        if self.tokens > 0 {
            commands.push(Command::Fence(kind, name.to_vec()));
        }
        // What is stolen from leaves a session without a hold, and of those there is no end while time stands.
        if self.operators && self.graces_ms.is_empty() && !kind.is_counted() {
            commands.push(Command::Steal(kind, name.to_vec()));
        }
        commands
    }

    fn limited_commands(&self, name: &[u8]) -> Vec<Command<Vec<u8>>> {
        let mut commands = Vec::new();
        for limit in self.limits.iter().copied() {
            commands.push(Command::Get(Wish::at_once(Kind::Shared, name.to_vec()).limited(limit)));
            let wait = |ms: &u32| {
                Command::Get(Wish::at_once(Kind::Shared, name.to_vec()).limited(limit).waiting(*ms))
            };
            commands.extend(self.waits_ms.iter().map(wait));
        }
        commands
    }
}

/// A state as bytes: the part of both machines that decides their future. Connections are named by their node and their
/// rank.
fn words(space: &Space, node: &Node) -> Box<[u8]> {
    let mut conns: Vec<Conn> = node.reference.open().iter().map(|client| client.conn).collect();
    conns.extend(node.reference.sessions().iter().flat_map(|session| [session.conn, session.number]));
    conns.extend(node.reference.graces().values().map(|(number, _)| *number));
    conns.sort();
    conns.dedup();
    let call = |conn: Conn| {
        let rank = conns.iter().position(|other| *other == conn).unwrap_or(conns.len()) as u32;
        // A few of each, and small: a word becomes one byte.
        u32::from(conn.node()) << 4 | rank
    };
    let mut words = node.machine.shape(space.places, call);
    words.extend(node.reference.draining().iter().map(|node| u32::from(*node)));
    words.push(u32::MAX);
    for conn in &conns {
        let client = node.reference.open().iter().find(|client| client.conn == *conn);
        words.push(u32::from(client.is_some()));
        words.push(node.reference.account_of(*conn).map_or(u32::MAX, |account| account.0.into()));
        let silent_ms = client.map_or(0, |client| node.reference.now().0 - client.active);
        let is_timed = space.config.limits.idle_ms > 0 && !node.reference.is_waiting(*conn);
        words.push(if is_timed { silent_ms as u32 } else { 0 });
    }
    if space.config.limits.idle_ms > 0 {
        let silent = node.reference.open().iter().map(|client| client.conn);
        words.extend(silent.filter(|conn| !node.reference.is_waiting(*conn)).map(call));
    }
    for wait in node.reference.waits() {
        let lock =
            space.locks.iter().position(|(kind, name)| (*kind, name.as_bytes()) == (wait.kind, &wait.name));
        let lock = lock.expect("nobody waits for what is not of this world") as u32;
        let left_ms = wait.deadline - node.reference.now().0;
        words.extend([call(wait.conn), lock, wait.limit, left_ms as u32]);
        let still = wait.still.iter().flatten().map(|holder| call(*holder));
        words.extend(still.chain([u32::MAX]));
    }
    for session in node.reference.sessions() {
        let left_ms = session.due - node.reference.now().0;
        words.extend([call(session.conn), call(session.number), session.ms, left_ms as u32]);
    }
    words.push(u32::MAX);
    for (conn, (number, ms)) in node.reference.graces() {
        words.extend([call(*conn), call(*number), *ms]);
    }
    words.extend([u32::MAX, node.reference.tokens_left() as u32]);
    for (kind, name) in &space.locks {
        for conn in node.reference.holders(*kind, name.as_bytes()) {
            let token = node.reference.token(*kind, name.as_bytes(), *conn);
            words.extend([call(*conn), token.is_some().into()]);
        }
        words.push(u32::MAX);
    }
    let byte = |word| match word {
        u32::MAX => u8::MAX,
        _ if word == u32::from(Account::ADMIN.0) => u8::MAX - 1,
        _ => {
            assert!(word < u32::from(u8::MAX - 1), "a world that is not small");
            word as u8
        }
    };
    words.into_iter().map(byte).collect()
}

impl Edge<'_> {
    /// Waits for locks that were granted, in the order in which their connections were told.
    fn grants_of_locks(&self) -> impl Iterator<Item = &Wait> {
        self.grants().filter(|wait| wait.still.is_none())
    }

    /// Waits that were granted or for an end that came, in the order in which their connections were told.
    fn grants(&self) -> impl Iterator<Item = &Wait> {
        let waits = self.before.reference.waits();
        let told = move |at: usize| {
            let Event::Sent(conn, text) = &self.events[at] else { return None };
            let wait = waits.iter().find(|wait| wait.conn == *conn)?;
            // A later reply answers a command that came after its wait.
            let is_first =
                !self.events[..at].iter().any(|event| matches!(event, Event::Sent(of, _) if of == conn));
            (is_first && matches!(Reply::read(text), Some(Reply::Got { .. } | Reply::Ended { .. })))
                .then_some(wait)
        };
        (0..self.events.len()).filter_map(told)
    }
}

/// Whether a reply refuses a wait as a deadlock.
fn is_deadlock(reply: &[u8]) -> bool {
    matches!(Reply::read(reply), Some(Reply::GetDeadlock { .. } | Reply::EndDeadlock { .. }))
}

/// Whether an event is the refusal of a limit.
fn is_limit(event: &Event) -> bool {
    use Reply::{EndQueueFull, OutOfMemory, QueueFull, TooManyLocks};
    let Event::Sent(_, text) = event else { return false };
    let reply = Reply::read(text);
    matches!(reply, Some(TooManyLocks { .. } | OutOfMemory { .. } | QueueFull { .. } | EndQueueFull { .. }))
}

/// Whether a get took over the slot of a dead holder. A get first frees two dead holds, so then three are gone.
fn meets_dead(edge: &Edge<'_>) -> bool {
    let dead = |node: &Node| node.machine.figures().dead_holds();
    let is_get = matches!(edge.step.input, Input::Command(_, Command::Get(..)));
    is_get && dead(&edge.after) + 2 < dead(edge.before)
}

/// Who holds what, as the machine lists it.
fn holds(machine: &Machine, reference: &Reference) -> Vec<Hold> {
    let mut holds = Vec::new();
    for kind in Kind::ALL {
        let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: b"" });
        while !scan.is_done() {
            machine.scan(&mut scan, &mut |entry| {
                holds.push((kind, entry.name.to_vec(), reference.holder_of(entry.conn)));
            });
        }
    }
    holds.sort();
    holds
}
