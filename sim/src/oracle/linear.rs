//! The clients alone: for each lock, is there an order of all that was asked about it, each request within
//! the time between its being sent and its answer, that explains every answer? The witness is not asked, so
//! that a server that lies to it is found out.
//!
//! The search is Wing and Gong's, with Lowe's memory, by the crate `todc-utils`. A request that a dead
//! connection cut off may or may not have happened; the end of a connection happened at some time after
//! there was a reason for it. Within one connection, the order is that of its requests.

use super::{Finding, Judged};
use crate::history::{ClientSide, Close, Connection, History, Place, Request, Run};
use crate::log::{Ended, Entry, Event, Life, Told};
use crate::plan::Plan;
use crate::script::Fault;
use elockd_core::{Command, Kind, Reason};
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
    let mut locks: BTreeMap<(Life, Kind, &[u8]), Vec<Timed>> = BTreeMap::new();
    for (number, connection) in (0..).zip(&history.connections) {
        for (lock, operations) in operations(plan, entries, connection, number) {
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
    said: Option<Place>,
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
    Release,
    Inspect,
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

/// What one connection did, lock by lock.
fn operations<'a>(
    plan: &Plan,
    entries: &[Entry],
    connection: &'a Connection,
    id: u32,
) -> BTreeMap<(Life, Kind, &'a [u8]), Vec<Timed>> {
    let (Some(client), Some(server)) = (&connection.client, &connection.server) else {
        return BTreeMap::new();
    };
    // Who was refused was told nothing of any lock.
    if matches!(server.closed, Some((Close::Decided(Reason::TooManyConnections), _))) {
        return BTreeMap::new();
    }
    let mut locks: BTreeMap<_, Vec<Timed>> = BTreeMap::new();
    for (at, request) in client.requests.iter().enumerate() {
        let (verb, kind, name) = match &request.command {
            Command::Get(kind, name) => (Verb::Get, *kind, &name[..]),
            Command::Release(kind, name) => (Verb::Release, *kind, &name[..]),
            Command::Inspect(kind, name) => (Verb::Inspect, *kind, &name[..]),
            _ => continue,
        };
        let answer = match &request.answer {
            Some((text, _)) => match number(text) {
                Some(answer) => Some(answer),
                // Refused: nothing happened to the lock.
                None => continue,
            },
            // Nothing can happen to it.
            None if name.len() > usize::from(plan.server.name_bytes) => continue,
            None => None,
        };
        let operations = locks.entry((server.life, kind, name)).or_default();
        let n = operations.len() as u32;
        let what = match answer {
            Some(answer) => What::Answered { n, verb, answer },
            None => What::Open { n, verb },
        };
        let operation = Operation { connection: id, kind, what };
        let answered = request.answer.as_ref().map(|(_, place)| *place);
        // What the server says it refused has not happened.
        let has_happened =
            |run: &&Run| matches!(&run.told, Some(Told::Reply(reply)) if number(reply).is_some());
        let said = server.commands.get(at).filter(has_happened).map(|run| run.applied);
        operations.push(Timed { operation, called: request.sent, answered, said });
    }
    let ended = end(plan, entries, client);
    for ((_, kind, _), operations) in &mut locks {
        let Some((called, answered)) = ended else { continue };
        let is_answered = |timed: &&Timed| matches!(timed.operation.what, What::Answered { .. });
        let after = operations.iter().filter(is_answered).count() as u32;
        let operation = Operation { connection: id, kind: *kind, what: What::End { after } };
        let said = server.closed.map(|(_, closed)| closed);
        operations.push(Timed { operation, called, answered, said });
    }
    locks
}

/// The number at the start of an answer, which says it all; `None` for a refusal.
fn number(text: &[u8]) -> Option<u32> {
    let refusals =
        [&b"0 Too Many Locks"[..], b"0 Shutting Down", b"0 Name Too Long", b"0 Too Many Connections"];
    if refusals.iter().any(|refusal| text.starts_with(refusal)) {
        return None;
    }
    let digits = text.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// When the connection's end can have happened; `None` if it had no reason to end.
fn end(plan: &Plan, entries: &[Entry], client: &ClientSide) -> Option<(Place, Option<Place>)> {
    /// Clocks count whole milliseconds, and those of server and clients are not one.
    const SLACK_MS: u32 = 4;
    let timeout_ms = plan.server.write_timeout_ms;
    let from_ms = |ms: u32| Some(entries.partition_point(|entry| entry.at_ms < ms));
    let ms = |place: Place| entries[place].at_ms;
    let said = |wanted: &dyn Fn(Fault) -> bool| {
        let after = entries[client.connected..].iter().position(|entry| match &entry.event {
            Event::Fault(fault) => wanted(*fault),
            _ => false,
        });
        after.map(|after| client.connected + after)
    };
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
        said(&|fault| is_cut(fault, client) || matches!(fault, Fault::KillServer | Fault::Drain)),
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
            let is_in_time = timed.called <= said && timed.answered.is_none_or(|answered| said <= answered);
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
    let is_linear = WGLChecker::<Lock>::is_linearizable(actions);
    if LEFT.get() == 0 { None } else { Some(is_linear) }
}

thread_local! {
    /// Steps that are left to the search that this thread is in.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// One lock, as its clients know it.
struct Lock;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    holders: BTreeSet<u32>,
    /// How many requests of each connection have happened.
    happened: BTreeMap<u32, u32>,
    ended: BTreeSet<u32>,
}

impl Specification for Lock {
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
                let told = after.ask(*kind, *connection, *verb);
                if let What::Answered { answer, .. } = what
                    && told != *answer
                {
                    return None;
                }
                after.happened.insert(*connection, n + 1);
            }
        }
        Some(after)
    }

    /// Does what is asked and says the number that begins the answer.
    fn ask(&mut self, kind: Kind, connection: u32, verb: Verb) -> u32 {
        match verb {
            Verb::Get => {
                let is_taken = self.holders.iter().any(|holder| *holder != connection);
                if kind == Kind::Exclusive && is_taken {
                    return 0;
                }
                self.holders.insert(connection);
                self.holders.len() as u32
            }
            Verb::Release => u32::from(self.holders.remove(&connection)),
            Verb::Inspect => self.holders.len() as u32,
        }
    }
}
