//! The clients alone: for each lock, is there an order of all that was asked about it, each request within
//! the time between its being sent and its answer, that explains every answer? The witness is not asked, so
//! that a server that lies to it is found out.
//!
//! The search is Wing and Gong's, with Lowe's memory, by the crate `todc-utils`. A request that a dead
//! connection cut off may or may not have happened; the end of a connection happened at some time after
//! there was a reason for it. Within one connection, the order is that of its requests.
//!
//! A wait is one request with a late answer: success is a get at some time between. That it failed says no more
//! than that its asker did not hold the lock, but for one that waits for no time, which fails where a get does. Who
//! stands in line is not looked at here, so of a limited share that failed one knows less where somebody waits.

use super::{Finding, Judged};
use crate::history::{ClientSide, Close, Connection, History, Moment, Place, Request, Run, ServerSide};
use crate::log::{Ended, Entry, Event, Life, Told};
use crate::plan::Plan;
use crate::script::Fault;
use elockd_core::{Command, Kind, Reason, Reply};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History as Actions};
use todc_utils::specifications::Specification;

/// Judges every lock in every life of the server.
///
/// # Errors
///
/// The first lock whose history nothing explains.
pub fn judge(plan: &Plan, entries: &[Entry], history: &History, judged: &mut Judged) -> Result<(), Finding> {
    let mut locks: Locks<'_> = BTreeMap::new();
    let said = Said::new(plan, entries, history);
    for (number, connection) in (0..).zip(&history.connections) {
        for (lock, operations) in operations(&said, connection, number) {
            locks.entry(lock).or_default().extend(operations);
        }
    }
    for ((_, kind, name), operations) in locks {
        let story = tell(history, &operations);
        let last = operations.iter().map(|operation| operation.called).max().unwrap_or(0);
        if is_explained_by_the_server(&operations) {
            judged.linear += 1;
            continue;
        }
        judged.searched += 1;
        match explain(operations) {
            Some(true) => judged.linear += 1,
            verdict => {
                let no_order = if verdict.is_none() { "no order that was tried" } else { "no order" };
                let what = format!(
                    "{no_order} of events explains what clients were told of {kind:?} \"{}\": {story}",
                    name.escape_ascii()
                );
                return Err(Finding { place: last, conn: None, check: "clients see one order", what });
            }
        }
    }
    Ok(())
}

/// An operation, and when it can have happened.
#[derive(Clone, Debug)]
struct Timed {
    operation: Operation,
    called: Place,
    /// `None`: at any time after that.
    answered: Option<Place>,
    /// When the server says that it happened, if it says so.
    said: Option<Moment>,
}

/// What a connection did to a lock.
#[derive(Clone, Debug)]
struct Operation {
    connection: u32,
    kind: Kind,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// The `n`th request about the lock, counted from 0, was answered.
    Answered { n: u32, verb: Verb, answer: u32 },
    /// It was not.
    Open { n: u32, verb: Verb },
    /// The connection ended, after at least so many requests.
    End { after: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    /// With a time to wait.
    Wait,
    /// Of a share of so few; to have failed, so many have to hold it.
    Limited {
        limit: u32,
        to_fail: u32,
    },
    /// The same with a time to wait.
    LimitedWait {
        limit: u32,
    },
    Release,
    ReleaseAll,
    Fence,
    Steal,
    Inspect,
}

impl Verb {
    /// The request about one lock that a command is; `line` says whether anybody ever waits for it.
    fn of<'a>(
        command: &'a Command<Vec<u8>>,
        line: &BTreeSet<(Kind, &[u8])>,
    ) -> Option<(Self, Kind, &'a [u8])> {
        let (exclusive, shared) = (Kind::Exclusive, Kind::Shared);
        let limited = |limit: u32, name: &[u8]| {
            // As many as it takes where nobody waits; where somebody does, one is enough to hold that one up.
            let to_fail = match (line.contains(&(shared, name)), limit) {
                (true, _) => 1,
                (false, 0) => u32::MAX,
                (false, limit) => limit,
            };
            Self::Limited { limit, to_fail }
        };
        Some(match command {
            Command::Get(wish) => {
                let waits = wish.ms().is_some_and(|ms| ms > 0);
                let verb = match wish.kind() {
                    Kind::Exclusive if waits => Self::Wait,
                    Kind::Shared if waits => Self::LimitedWait { limit: wish.limit() },
                    Kind::Shared if wish.heeds_line() => limited(wish.limit(), wish.name()),
                    Kind::Exclusive | Kind::Shared => Self::Get,
                };
                (verb, wish.kind(), wish.name())
            }
            Command::Release(kind, name) => (Self::Release, *kind, name),
            Command::Fence(name) => (Self::Fence, exclusive, name),
            Command::Steal(name) => (Self::Steal, exclusive, name),
            Command::Inspect(kind, name) => (Self::Inspect, *kind, name),
            _ => return None,
        })
    }
}

/// Operations in words: who, what, the answer, and from where to where in the log it can have happened.
fn tell(history: &History, operations: &[Timed]) -> String {
    let words = operations.iter().map(|Timed { operation, called, answered, .. }| {
        let client = history.connections[operation.connection as usize].client.as_ref();
        let client = client.expect("operations are clients'").client;
        let what = match operation.what {
            What::Answered { verb, answer, .. } => format!("{verb:?} {answer}"),
            What::Open { verb, .. } => format!("{verb:?} ?"),
            What::End { .. } => "end".to_owned(),
        };
        let answered = answered.map_or("...".to_owned(), |place| place.to_string());
        format!("{client} {what} [{called}-{answered}]")
    });
    words.collect::<Vec<_>>().join(", ")
}

/// A lock of one of the server's lives.
type Lock<'a> = (Life, Kind, &'a [u8]);

/// What was done to each.
type Locks<'a> = BTreeMap<Lock<'a>, Vec<Timed>>;

/// What all clients said that tells something of others.
struct Said<'a> {
    plan: &'a Plan,
    entries: &'a [Entry],
    /// The shared locks that anybody ever asked to wait for.
    lines: BTreeSet<(Kind, &'a [u8])>,
    /// When somebody first asked to have the connections from an address closed.
    kicks: BTreeMap<&'a [u8], Place>,
}

impl<'a> Said<'a> {
    fn new(plan: &'a Plan, entries: &'a [Entry], history: &'a History) -> Self {
        let mut said = Self { plan, entries, lines: BTreeSet::new(), kicks: BTreeMap::new() };
        let clients = history.connections.iter().filter_map(|connection| connection.client.as_ref());
        for request in clients.flat_map(|client| &client.requests) {
            match &request.command {
                Command::Get(wish) if wish.kind() == Kind::Shared && wish.ms().is_some_and(|ms| ms > 0) => {
                    said.lines.insert((Kind::Shared, wish.name()));
                }
                Command::Kick(addr) => {
                    let first = said.kicks.entry(addr).or_insert(request.sent);
                    *first = request.sent.min(*first);
                }
                _ => {}
            }
        }
        said
    }
}

/// What one connection did, lock by lock.
fn operations<'a>(said: &Said<'a>, connection: &'a Connection, id: u32) -> Locks<'a> {
    let plan = said.plan;
    let (Some(client), Some(server)) = (&connection.client, &connection.server) else {
        return BTreeMap::new();
    };
    // Who was refused was told nothing of any lock.
    if matches!(server.closed, Some((Close::Decided(Reason::TooManyConnections), _))) {
        return BTreeMap::new();
    }
    let mut locks: Locks<'a> = BTreeMap::new();
    for (at, request) in client.requests.iter().enumerate() {
        // All that is asked of the same lock has a number, in the order in which it was asked.
        let note = |locks: &mut Locks<'a>, lock: Lock<'a>, verb, answer: Option<u32>| {
            let operations = locks.entry(lock).or_default();
            let n = operations.len() as u32;
            let what = match answer {
                Some(answer) => What::Answered { n, verb, answer },
                None => What::Open { n, verb },
            };
            let operation = Operation { connection: id, kind: lock.1, what };
            let answered = request.answer.as_ref().map(|(_, place)| *place);
            // What the server says it refused has not happened, nor what it says failed, where nobody heard of it.
            let least = u32::from(answered.is_none());
            let has_happened =
                |run: &&Run| matches!(&run.told, Some(Told::Reply(reply)) if number(reply) >= Some(least));
            let said = server.commands.get(at).filter(has_happened).map(|run| run.told_at);
            operations.push(Timed { operation, called: request.sent, answered, said });
        };
        let answer = request.answer.as_ref().map(|(text, _)| number(text));
        if request.command == Command::ReleaseAll {
            let known: Vec<_> = locks.keys().copied().collect();
            for lock in known {
                note(&mut locks, lock, Verb::ReleaseAll, answer.flatten());
            }
            continue;
        }
        let Some((verb, kind, name)) = Verb::of(&request.command, &said.lines) else { continue };
        let answer = match answer {
            Some(Some(answer)) => Some(answer),
            // Refused: nothing happened to the lock.
            Some(None) => continue,
            // Nothing can happen to it.
            None if name.len() > usize::from(plan.server.name_bytes) => continue,
            None => None,
        };
        note(&mut locks, (server.life, kind, name), verb, answer);
    }
    let ended = end(said, server, client);
    for ((_, kind, _), operations) in &mut locks {
        let Some((called, answered)) = ended else { continue };
        let is_answered = |timed: &&Timed| matches!(timed.operation.what, What::Answered { .. });
        let after = operations.iter().filter(is_answered).count() as u32;
        let operation = Operation { connection: id, kind: *kind, what: What::End { after } };
        let said = server.closed_at;
        operations.push(Timed { operation, called, answered, said });
    }
    locks
}

/// The number at the start of an answer, which says it all; `None` for a refusal.
fn number(text: &[u8]) -> Option<u32> {
    Some(match Reply::read(text)? {
        Reply::Got { holders, .. } | Reply::Inspected { holders, .. } => holders,
        Reply::ReleasedAll { holds } => holds,
        Reply::Released { .. } | Reply::Stolen { was_held: true, .. } => 1,
        // Of a fencing token only that it is there.
        Reply::Fenced { token, .. } => token.try_into().unwrap_or(u32::MAX),
        Reply::GetFailure { .. }
        | Reply::GetTimeout { .. }
        | Reply::ReleaseFailure { .. }
        | Reply::NotHeld { .. }
        | Reply::Stolen { was_held: false, .. } => 0,
        _ => return None,
    })
}

/// When the connection's end can have happened; `None` if it had no reason to end.
fn end(said: &Said<'_>, server: &ServerSide, client: &ClientSide) -> Option<(Place, Option<Place>)> {
    /// Clocks count whole milliseconds, and those of server and clients are not one.
    const SLACK_MS: u32 = 4;
    let Said { plan, entries, kicks, .. } = said;
    let timeout_ms = plan.server.write_timeout_ms;
    let from_ms = |ms: u32| Some(entries.partition_point(|entry| entry.at_ms < ms));
    let ms = |place: Place| entries[place].at_ms;
    let happened = |wanted: &dyn Fn(Fault) -> bool| {
        let after = entries[client.connected..].iter().position(|entry| match &entry.event {
            Event::Fault(fault) => wanted(*fault),
            _ => false,
        });
        after.map(|after| client.connected + after)
    };
    let kicked = kicks.get(&server.shown[..]).copied();
    let quit = client.requests.iter().find(|request| request.command == Command::Quit);
    // Its last request that was answered was applied after it was sent, and it lived then.
    let lived = client.requests.iter().rev().find(|request| request.answer.is_some());
    let lived = lived.map_or(client.connected, |request| request.sent);
    let idle_ms = plan.server.idle_ms;
    let reasons = [
        client.half_closed,
        client.ended.map(|(_, place)| place),
        quit.map(|request| request.sent),
        is_cut_off(entries, client).then_some(client.connected),
        kicked,
        happened(&|fault| {
            is_cut(fault, client) || matches!(fault, Fault::KillServer | Fault::KillAtReserve | Fault::Drain)
        }),
        if idle_ms > 0 { from_ms((ms(lived) + idle_ms).saturating_sub(SLACK_MS)) } else { None },
        stalled_ms(entries, client, timeout_ms).and_then(|ms| from_ms(ms.saturating_sub(SLACK_MS))),
    ];
    let called = reasons.into_iter().flatten().min()?.max(lived);
    let answered = match client.ended {
        // The server closed first: its locks were gone before that.
        Some((Ended::Fin, place)) if place >= called => Some(place),
        _ => None,
    };
    Some((called, answered))
}

fn is_cut(fault: Fault, client: &ClientSide) -> bool {
    match fault {
        Fault::CutOff(host) | Fault::Mute(host) | Fault::Unheard(host) => host == client.host,
        _ => false,
    }
}

/// Whether a client's host was cut off when it was connected.
fn is_cut_off(entries: &[Entry], client: &ClientSide) -> bool {
    let mut faults = entries[..client.connected].iter().rev().filter_map(|entry| match &entry.event {
        Event::Fault(fault) => Some(*fault),
        _ => None,
    });
    faults
        .find(|fault| is_cut(*fault, client) || *fault == Fault::Mend(client.host))
        .is_some_and(|fault| is_cut(fault, client))
}

/// The earliest time, in milliseconds, at which the server may have given a client up because it took nothing:
/// for so long it read nothing, and was owed something.
fn stalled_ms(entries: &[Entry], client: &ClientSide, timeout_ms: u32) -> Option<u32> {
    let ms = |place: Place| entries[place].at_ms;
    let begins = std::iter::once(&client.connected).chain(&client.received_at);
    let ends = client.received_at.iter().copied().chain([entries.len() - 1]);
    for (begin, end) in begins.zip(ends) {
        let is_owed = |request: &&Request| request.answer.as_ref().is_none_or(|(_, at)| *at > *begin);
        let Some(owed) = client.requests.iter().find(is_owed) else { continue };
        let since_ms = ms(*begin).max(ms(owed.sent));
        if since_ms + timeout_ms <= ms(end) + 10 {
            return Some(since_ms + timeout_ms);
        }
    }
    None
}

/// Whether the order that the server says it was explains everything: then there is one. The server is not
/// believed for it, each step is looked at.
fn is_explained_by_the_server(operations: &[Timed]) -> bool {
    let mut happened: Vec<_> = operations.iter().filter_map(|timed| Some((timed.said?, timed))).collect();
    happened.sort_by_key(|(said, _)| *said);
    let all_are_there = operations.iter().all(|timed| {
        // What was answered has happened; the rest may not have.
        timed.said.is_some() || !matches!(timed.operation.what, What::Answered { .. })
    });
    let mut state = State::default();
    all_are_there
        && happened.into_iter().all(|(said, timed)| {
            let place = said.place;
            let is_in_time = timed.called <= place && timed.answered.is_none_or(|answered| place <= answered);
            match state.after(&timed.operation).filter(|_| is_in_time) {
                Some(after) => {
                    state = after;
                    true
                }
                None => false,
            }
        })
}

/// Whether some order explains the operations on one lock; `None` if it takes too long to say.
fn explain(mut operations: Vec<Timed>) -> Option<bool> {
    /// Steps of the search.
    const MOST: u32 = 200_000;
    operations.sort_by_key(|timed| timed.called);
    let never = usize::MAX;
    let mut actions = Vec::new();
    for (process, timed) in operations.into_iter().enumerate() {
        // The end of a connection can be asked and answered by one event.
        actions.push(((timed.called, 0), (process, Action::Call(timed.operation.clone()))));
        let answered = (timed.answered.unwrap_or(never), 1);
        actions.push((answered, (process, Action::Response(timed.operation))));
    }
    actions.sort_by_key(|(at, _)| *at);
    let actions = Actions::from_actions(actions.into_iter().map(|(_, action)| action).collect());
    LEFT.set(MOST);
    let is_linear = WGLChecker::<OneLock>::is_linearizable(actions);
    if LEFT.get() == 0 { None } else { Some(is_linear) }
}

thread_local! {
    /// Steps that are left to the search that this thread is in.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// One lock, as its clients know it.
struct OneLock;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    holders: BTreeSet<u32>,
    /// How many requests of each connection have happened.
    happened: BTreeMap<u32, u32>,
    ended: BTreeSet<u32>,
}

impl Specification for OneLock {
    type State = State;
    type Operation = Operation;

    fn init() -> State {
        State::default()
    }

    fn apply(operation: &Operation, state: &State) -> (bool, State) {
        // With no steps left nothing is possible, which ends the search.
        let left = LEFT.get();
        if left == 0 {
            return (false, state.clone());
        }
        LEFT.set(left - 1);
        match state.after(operation) {
            Some(state) => (true, state),
            None => (false, state.clone()),
        }
    }
}

impl State {
    /// The state after an operation; `None` if it cannot have happened here.
    fn after(&self, operation: &Operation) -> Option<Self> {
        let Operation { connection, kind, what } = operation;
        let has_ended = self.ended.contains(connection);
        let happened = self.happened.get(connection).copied().unwrap_or(0);
        let mut after = self.clone();
        match what {
            What::End { after: least } => {
                if happened < *least {
                    return None;
                }
                after.holders.remove(connection);
                after.ended.insert(*connection);
            }
            // Nothing comes of it any more.
            What::Open { .. } if has_ended => {}
            What::Answered { .. } if has_ended => return None,
            What::Open { n, verb } | What::Answered { n, verb, .. } => {
                // What was not answered may have been refused, and what comes after it not.
                let is_next = match what {
                    What::Answered { .. } => happened == *n,
                    _ => happened <= *n,
                };
                if !is_next {
                    return None;
                }
                match what {
                    What::Answered { answer, .. } => after.answer(*kind, *connection, *verb, *answer)?,
                    _ => after.do_if_it_can(*kind, *connection, *verb),
                }
                after.happened.insert(*connection, n + 1);
            }
        }
        Some(after)
    }

    /// Does what was answered so; `None` if it cannot have been.
    fn answer(&mut self, kind: Kind, connection: u32, verb: Verb, answer: u32) -> Option<()> {
        let was_holder = self.holders.contains(&connection);
        let holders = self.holders.len() as u32;
        let is_possible = match verb {
            // It failed, or came to its end without the lock.
            Verb::Get if answer == 0 => kind == Kind::Exclusive && !was_holder && holders > 0,
            Verb::Wait | Verb::LimitedWait { .. } if answer == 0 => !was_holder,
            Verb::Limited { to_fail, .. } if answer == 0 => !was_holder && holders >= to_fail,
            Verb::Get | Verb::Wait | Verb::Limited { .. } | Verb::LimitedWait { .. } => {
                self.may_join(kind, connection, verb) && {
                    self.holders.insert(connection);
                    answer == self.holders.len() as u32
                }
            }
            Verb::Release => answer == u32::from(self.holders.remove(&connection)),
            Verb::ReleaseAll => {
                self.holders.remove(&connection);
                true
            }
            Verb::Fence => was_holder == (answer > 0),
            Verb::Steal => {
                self.holders.clear();
                answer == u32::from(holders > 0)
            }
            Verb::Inspect => answer == holders,
        };
        is_possible.then_some(())
    }

    /// Does what was not answered, if it can succeed.
    fn do_if_it_can(&mut self, kind: Kind, connection: u32, verb: Verb) {
        match verb {
            Verb::Get | Verb::Wait | Verb::Limited { .. } | Verb::LimitedWait { .. } => {
                if self.may_join(kind, connection, verb) {
                    self.holders.insert(connection);
                }
            }
            Verb::Release | Verb::ReleaseAll => {
                self.holders.remove(&connection);
            }
            Verb::Steal => self.holders.clear(),
            Verb::Fence | Verb::Inspect => {}
        }
    }

    /// Whether a connection can be given the lock. Who holds it already is given it always.
    fn may_join(&self, kind: Kind, connection: u32, verb: Verb) -> bool {
        let holders = self.holders.len() as u32;
        let limit = match (kind, verb) {
            (Kind::Exclusive, _) => 1,
            (_, Verb::Limited { limit, .. } | Verb::LimitedWait { limit }) if limit > 0 => limit,
            _ => u32::MAX,
        };
        holders < limit || self.holders.contains(&connection)
    }
}
