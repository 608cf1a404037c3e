//! The clients alone. For each lock: is there an order of all requests about it that explains every answer, with each
//! request between its sending and its answer? The witness is not asked, so a server that lies to it is found out.
//!
//! The search is Wing and Gong's, with Lowe's memoisation, by the crate `todc-utils`. A request that a dead
//! connection cut off may or may not have happened. The end of a connection happened at some time after there was a
//! reason for it. Within one connection the order is that of its requests.
//!
//! A wait is one request with a late answer. A success is a get at some time between. A failure says only that the
//! connection did not hold the lock. A request with MS 0 fails like a get. This judge does not know the lines, so the
//! failure of a limited share says less if anybody waits for the lock.
//!
//! A connection with grace ends twice: first it says no more, and later its hold is over. In between, a success of
//! `resume` puts another connection in its place, for every lock that it may have held.

use super::keys::Keys;
use super::{Finding, Judged};
use crate::history::{ClientSide, Close, Connection, History, Moment, Place, Request, Run, ServerSide};
use crate::log::{Ended, Entry, Event, Life, Told};
use crate::plan::Plan;
use crate::script::Fault;
use elockd_core::{Command, Kind, Reason, Reply};
use elockd_model_tests::reference::line_of;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History as Actions};
use todc_utils::specifications::Specification;

/// Judges every lock in every life of the server.
///
/// # Errors
///
/// The first lock whose history no order explains.
pub fn judge(plan: &Plan, entries: &[Entry], history: &History, judged: &mut Judged) -> Result<(), Finding> {
    let mut locks: Operations<'_> = BTreeMap::new();
    let said = Said::new(plan, entries, history);
    for (number, connection) in history.connections.iter().enumerate() {
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

/// An operation, and the time in which it can have happened.
#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub(crate) operation: Operation,
    pub(crate) called: Place,
    /// `None`: any time after that.
    pub(crate) answered: Option<Place>,
    /// When it happened according to the server, if the server reports it.
    pub(crate) said: Option<Moment>,
}

/// A connection's operation on a lock.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) connection: u32,
    pub(crate) kind: Kind,
    pub(crate) what: Happening,
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// The `n`th request about the lock, counted from 0, was answered.
    Answered { n: u32, verb: LockVerb, answer: u32 },
    /// The `n`th request was not answered.
    Open { n: u32, verb: LockVerb },
    /// The connection ended, after at least this many requests. If its hold lingers, it is not over yet.
    End { after: u32, lingers: bool },
    /// What a connection left is over.
    Expiry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockVerb {
    Get,
    /// With a time to wait.
    Wait,
    /// A share with a limit. If it failed, this many connections held the lock.
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
    /// The key with this number, which `first` was told first. An answer is one more than the number of holds.
    Resume {
        key: u32,
        first: u32,
    },
}

impl LockVerb {
    /// The request about one lock that this command is; `line` says whether any client ever waits for that lock.
    pub(crate) fn of<'a>(
        command: &'a Command<Vec<u8>>,
        line: &BTreeSet<(Kind, &[u8])>,
    ) -> Option<(Self, Kind, &'a [u8])> {
        let limited = |limit: u32, name: &[u8]| {
            // If nobody waits, the limit must be reached. If somebody waits, one holder is enough to hold up the
            // first in line.
            let to_fail = match (line.contains(&(Kind::Shared, name)), limit) {
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
                    Kind::Exclusive | Kind::Read | Kind::Write if waits => Self::Wait,
                    Kind::Shared if waits => Self::LimitedWait { limit: wish.limit() },
                    Kind::Shared if wish.heeds_line() => limited(wish.limit(), wish.name()),
                    Kind::Exclusive | Kind::Shared | Kind::Read | Kind::Write => Self::Get,
                };
                (verb, wish.kind(), wish.name())
            }
            Command::Release(kind, name) => (Self::Release, *kind, name),
            Command::Fence(kind, name) => (Self::Fence, *kind, name),
            Command::Steal(kind, name) => (Self::Steal, *kind, name),
            Command::Inspect(kind, name) => (Self::Inspect, *kind, name),
            _ => return None,
        })
    }
}

/// Operations in words: the connection, the request, the answer, and the part of the log in which it can have
/// happened.
fn tell(history: &History, operations: &[Timed]) -> String {
    let words = operations.iter().map(|Timed { operation, called, answered, .. }| {
        let client = history.connections[operation.connection as usize].client.as_ref();
        let client = client.expect("operations are clients'").client;
        let what = match operation.what {
            Happening::Answered { verb, answer, .. } => format!("{verb:?} {answer}"),
            Happening::Open { verb, .. } => format!("{verb:?} ?"),
            Happening::End { .. } => "end".to_owned(),
            Happening::Expiry => "expiry".to_owned(),
        };
        let answered = answered.map_or("...".to_owned(), |place| place.to_string());
        format!("{client} {what} [{called}-{answered}]")
    });
    words.collect::<Vec<_>>().join(", ")
}

/// A lock in one of the server's lives. One of readers and writers is under the writers' kind.
type LockOfLife<'a> = (Life, Kind, &'a [u8]);

/// The operations on each lock.
type Operations<'a> = BTreeMap<LockOfLife<'a>, Vec<Timed>>;

/// What a connection's history needs to know of other clients.
struct Said<'a> {
    plan: &'a Plan,
    entries: &'a [Entry],
    keys: Keys<'a>,
    /// By group of connections and by life: the locks that they may have held one after the other.
    shared: BTreeMap<(usize, Life), BTreeSet<LockOfLife<'a>>>,
    /// The names that the connections of a group have registered.
    names: BTreeMap<usize, Vec<&'a [u8]>>,
    /// The shared locks that any client ever waited for.
    lines: BTreeSet<(Kind, &'a [u8])>,
    /// When the first `kick` of each address or registered name was sent.
    kicks: BTreeMap<&'a [u8], Place>,
}

impl<'a> Said<'a> {
    fn new(plan: &'a Plan, entries: &'a [Entry], history: &'a History) -> Self {
        let mut said = Self {
            plan,
            entries,
            keys: Keys::new(history),
            shared: BTreeMap::new(),
            names: BTreeMap::new(),
            lines: BTreeSet::new(),
            kicks: BTreeMap::new(),
        };
        for (number, connection) in history.connections.iter().enumerate() {
            let (Some(client), Some(server)) = (&connection.client, &connection.server) else { continue };
            let (life, group) = (server.life, said.keys.group(number));
            for command in client.requests.iter().map(|request| &request.command) {
                if let Some((_, kind, name)) = LockVerb::of(command, &said.lines) {
                    said.shared.entry((group, life)).or_default().insert((life, line_of(kind), name));
                }
                if let Command::Iam(name) = command {
                    said.names.entry(group).or_default().push(name);
                }
            }
        }
        let clients = history.connections.iter().filter_map(|connection| connection.client.as_ref());
        for request in clients.flat_map(|client| &client.requests) {
            match &request.command {
                Command::Get(wish) if wish.kind() == Kind::Shared && wish.ms().is_some_and(|ms| ms > 0) => {
                    said.lines.insert((Kind::Shared, wish.name()));
                }
                Command::Kick(wanted) => {
                    let first = said.kicks.entry(wanted).or_insert(request.sent);
                    *first = request.sent.min(*first);
                }
                _ => {}
            }
        }
        said
    }
}

/// The operations of one connection, lock by lock.
fn operations<'a>(said: &Said<'a>, connection: &'a Connection, number_of_it: usize) -> Operations<'a> {
    let (plan, id) = (said.plan, number_of_it as u32);
    let (Some(client), Some(server)) = (&connection.client, &connection.server) else {
        return BTreeMap::new();
    };
    // A refused connection learned nothing about any lock.
    if matches!(server.closed, Some((Close::Decided(Reason::TooManyConnections), _))) {
        return BTreeMap::new();
    }
    let of_others = said.shared.get(&(said.keys.group(number_of_it), server.life));
    let mut may_have_resumed = false;
    let mut locks: Operations<'a> = BTreeMap::new();
    for (at, request) in client.requests.iter().enumerate() {
        // Requests about the same lock are numbered in the order in which they were sent.
        let note = |locks: &mut Operations<'a>, lock: LockOfLife<'a>, kind, verb, answer: Option<u32>| {
            let operations = locks.entry(lock).or_default();
            let n = operations.len() as u32;
            let what = match answer {
                Some(answer) => Happening::Answered { n, verb, answer },
                None => Happening::Open { n, verb },
            };
            let operation = Operation { connection: id, kind, what };
            let answered = request.answer.as_ref().map(|(_, place)| *place);
            // A request without an answer, which the server reports as refused or failed, did not happen.
            let least = u32::from(answered.is_none());
            let has_happened =
                |run: &&Run| matches!(&run.told, Some(Told::Reply(reply)) if number(reply) >= Some(least));
            let said = server.commands.get(at).filter(has_happened).map(|run| run.told_at);
            operations.push(Timed { operation, called: request.sent, answered, said });
        };
        let answer = request.answer.as_ref().map(|(text, _)| number(text));
        if let Command::Resume(key) = &request.command {
            let (Some(answer), Some((key, first, _))) =
                (answer.unwrap_or(Some(1)).filter(|answer| *answer > 0), said.keys.told(key))
            else {
                // It was refused.
                continue;
            };
            may_have_resumed = true;
            let verb = LockVerb::Resume { key, first: first as u32 };
            for lock in of_others.into_iter().flatten() {
                let answer = request.answer.is_some().then_some(answer);
                note(&mut locks, *lock, lock.1, verb, answer);
            }
            continue;
        }
        if request.command == Command::ReleaseAll {
            if answer == Some(None) {
                // It was refused.
                continue;
            }
            let others = of_others.into_iter().flatten().filter(|_| may_have_resumed);
            let known: BTreeSet<_> = locks.keys().chain(others).copied().collect();
            for lock in known {
                note(&mut locks, lock, lock.1, LockVerb::ReleaseAll, answer.flatten());
            }
            continue;
        }
        let Some((verb, kind, name)) = LockVerb::of(&request.command, &said.lines) else { continue };
        let answer = match answer {
            Some(Some(answer)) => Some(answer),
            // Refused: nothing happened to the lock.
            Some(None) => continue,
            // The lock cannot change.
            None if name.len() > usize::from(plan.server.name_bytes) => continue,
            None => None,
        };
        note(&mut locks, (server.life, line_of(kind), name), kind, verb, answer);
    }
    let ended = end(said, number_of_it, server, client);
    let lingers_ms = lingers_ms(client);
    for ((_, kind, _), operations) in &mut locks {
        let Some((called, answered)) = ended else { continue };
        let is_answered = |timed: &&Timed| matches!(timed.operation.what, Happening::Answered { .. });
        let after = operations.iter().filter(is_answered).count() as u32;
        let what = Happening::End { after, lingers: lingers_ms.is_some() };
        let operation = Operation { connection: id, kind: *kind, what };
        operations.push(Timed { operation, called: called.first(), answered, said: server.closed_at });
        if let Some(ms) = lingers_ms {
            let operation = Operation { connection: id, kind: *kind, what: Happening::Expiry };
            let called = called.expiry(said.entries, ms);
            operations.push(Timed { operation, called, answered: None, said: server.released });
        }
    }
    locks
}

/// For how long a connection's holds linger at least, in milliseconds. `None` if they do not.
fn lingers_ms(client: &ClientSide) -> Option<u32> {
    let mut told = None;
    let mut least = None;
    for request in &client.requests {
        let reply = request.answer.as_ref().map(|(text, _)| Reply::read(text));
        match (&request.command, reply) {
            (Command::Linger(_), Some(Some(Reply::Lingers { ms, .. }))) => {
                told = Some(ms).filter(|ms| *ms > 0);
                least = told;
            }
            (Command::Linger(ms), None) => {
                told = told.max(Some(*ms).filter(|ms| *ms > 0));
                least = Some(least.unwrap_or(0).min(*ms));
            }
            // It has the other's grace, which this judge does not look up.
            (Command::Resume(_), None | Some(Some(Reply::Resumed { .. }))) => {
                (told, least) = (Some(u32::MAX), Some(0));
            }
            _ => {}
        }
    }
    told.and(least)
}

/// When a connection's end can have happened at the earliest.
#[derive(Clone, Copy, Debug)]
struct EndCalled {
    /// For a reason that leaves a session.
    leaving: Option<Place>,
    /// For a reason that releases at once.
    releasing: Option<Place>,
    /// It lived at this place.
    lived: Place,
}

impl EndCalled {
    fn first(self) -> Place {
        let first = self.leaving.into_iter().chain(self.releasing).min();
        first.unwrap_or(self.lived).max(self.lived)
    }

    /// When what is left, and lingers for `ms` at least, can be over.
    fn expiry(self, entries: &[Entry], ms: u32) -> Place {
        let leaving = self.leaving.map(|place| {
            let over_ms = (entries[place.max(self.lived)].at_ms.saturating_add(ms)).saturating_sub(SLACK_MS);
            entries.partition_point(|entry| entry.at_ms < over_ms)
        });
        let over = leaving.into_iter().chain(self.releasing).min();
        over.unwrap_or(self.lived).max(self.first())
    }
}

/// Clocks count whole milliseconds, and the server and its clients have different ones.
const SLACK_MS: u32 = 4;

/// The number at the start of an answer, which is all that matters here; `None` for a refusal.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    Some(match Reply::read(text)? {
        Reply::Got { holders, .. } | Reply::Inspected { holders, .. } => holders,
        Reply::ReleasedAll { holds } => holds,
        Reply::Resumed { holds } => holds + 1,
        Reply::Released { .. } | Reply::Stolen { was_held: true, .. } => 1,
        // For a fencing token, only that there is one.
        Reply::Fenced { token, .. } => token.try_into().unwrap_or(u32::MAX),
        Reply::GetFailure { .. }
        | Reply::GetTimeout { .. }
        | Reply::ReleaseFailure { .. }
        | Reply::NotHeld { .. }
        | Reply::ResumeFailure
        | Reply::Stolen { was_held: false, .. } => 0,
        _ => return None,
    })
}

/// When the connection's end can have happened; `None` if there was no reason for an end.
fn end(
    said: &Said<'_>,
    number: usize,
    server: &ServerSide,
    client: &ClientSide,
) -> Option<(EndCalled, Option<Place>)> {
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
    let left = [b"~", &server.shown[..]].concat();
    let names = said.names.get(&said.keys.group(number)).into_iter().flatten().copied();
    let kicked = names.chain([&server.shown[..], &left]).filter_map(|name| kicks.get(name).copied()).min();
    let quit = client.requests.iter().find(|request| request.command == Command::Quit);
    // Its last answered request was applied after it was sent, and the connection was open then.
    let lived = client.requests.iter().rev().find(|request| request.answer.is_some());
    let lived = lived.map_or(client.connected, |request| request.sent);
    let idle_ms = plan.server.idle_ms;
    let leaving = [
        client.half_closed,
        client.ended.map(|(_, place)| place),
        is_cut_off(entries, client).then_some(client.connected),
        said.keys.first_said_by_another(number),
        happened(&|fault| {
            is_cut(fault, client) || matches!(fault, Fault::KillServer | Fault::KillAtReserve | Fault::Drain)
        }),
        stalled_ms(entries, client, timeout_ms).and_then(|ms| from_ms(ms.saturating_sub(SLACK_MS))),
    ];
    let releasing = [
        quit.map(|request| request.sent),
        kicked,
        if idle_ms > 0 { from_ms((ms(lived) + idle_ms).saturating_sub(SLACK_MS)) } else { None },
    ];
    let first = |reasons: &[Option<Place>]| reasons.iter().copied().flatten().min();
    let (leaving, releasing) = (first(&leaving), first(&releasing));
    leaving.or(releasing)?;
    let ended = EndCalled { leaving, releasing, lived };
    let called = ended.first();
    let answered = match client.ended {
        // The server closed first: it released the locks before that.
        Some((Ended::Fin, place)) if place >= called => Some(place),
        _ => None,
    };
    Some((ended, answered))
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

/// The earliest time, in milliseconds, at which the server may have given a client up because it took nothing: until
/// then it had read nothing for that long, and there were replies for it.
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

/// Whether the order that the server reported explains everything: then there is one. The server is not trusted in
/// this: each step is checked.
fn is_explained_by_the_server(operations: &[Timed]) -> bool {
    let mut happened: Vec<_> = operations.iter().filter_map(|timed| Some((timed.said?, timed))).collect();
    happened.sort_by_key(|(said, _)| *said);
    let all_are_there = operations.iter().all(|timed| {
        // Answered requests have happened; others may not have.
        timed.said.is_some() || !matches!(timed.operation.what, Happening::Answered { .. })
    });
    let mut state = LockState::default();
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

/// Whether some order explains the operations on one lock; `None` if the search takes too long.
pub(crate) fn explain(mut operations: Vec<Timed>) -> Option<bool> {
    /// The most steps of a search.
    const MOST: u32 = 200_000;
    operations.sort_by_key(|timed| timed.called);
    let never = usize::MAX;
    let mut actions = Vec::new();
    for (process, timed) in operations.into_iter().enumerate() {
        // One event can both ask for the end of a connection and be answered by it.
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
    /// The remaining steps of the search on this thread.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// One lock, as its clients know it.
struct OneLock;

/// A kind that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HashedKind(Kind);

impl std::hash::Hash for HashedKind {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.word().hash(state);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct LockState {
    holders: BTreeSet<u32>,
    /// How they hold it, or held it last.
    kind: Option<HashedKind>,
    /// The number of requests of each connection that have happened.
    happened: BTreeMap<u32, u32>,
    ended: BTreeSet<u32>,
    /// Connections of which nothing lingers any more.
    over: BTreeSet<u32>,
    /// The connection that has each key by now, if it is not the first that was told it.
    has_key: BTreeMap<u32, u32>,
}

impl Specification for OneLock {
    type State = LockState;
    type Operation = Operation;

    fn init() -> LockState {
        LockState::default()
    }

    fn apply(operation: &Operation, state: &LockState) -> (bool, LockState) {
        // Without steps nothing is possible, which ends the search.
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

impl LockState {
    /// The state after an operation; `None` if it cannot have happened here.
    fn after(&self, operation: &Operation) -> Option<Self> {
        let Operation { connection, kind, what } = operation;
        let has_ended = self.ended.contains(connection);
        let happened = self.happened.get(connection).copied().unwrap_or(0);
        let mut after = self.clone();
        match what {
            Happening::End { after: least, lingers } => {
                if happened < *least {
                    return None;
                }
                if !lingers {
                    after.holders.remove(connection);
                }
                after.ended.insert(*connection);
            }
            Happening::Expiry => {
                if !has_ended {
                    return None;
                }
                after.holders.remove(connection);
                after.over.insert(*connection);
            }
            // It has no effect any more.
            Happening::Open { .. } if has_ended => {}
            Happening::Answered { .. } if has_ended => return None,
            Happening::Open { n, verb } | Happening::Answered { n, verb, .. } => {
                // An unanswered request may have been refused; then later ones did not happen.
                let is_next = match what {
                    Happening::Answered { .. } => happened == *n,
                    _ => happened <= *n,
                };
                if !is_next {
                    return None;
                }
                match what {
                    Happening::Answered { answer, .. } => after.answer(*kind, *connection, *verb, *answer)?,
                    _ => after.do_if_it_can(*kind, *connection, *verb),
                }
                after.happened.insert(*connection, n + 1);
            }
        }
        Some(after)
    }

    /// Applies a request with its answer; `None` if that answer was impossible.
    fn answer(&mut self, kind: Kind, connection: u32, verb: LockVerb, answer: u32) -> Option<()> {
        let is_in = self.holders.contains(&connection);
        let was_holder = is_in && self.is_held(kind);
        let is_alone = self.is_alone(connection);
        let holders = if self.is_held(kind) { self.holders.len() as u32 } else { 0 };
        let is_possible = match verb {
            // It failed, or its wait ended without the lock. A reader may fail because somebody waits.
            LockVerb::Get if answer == 0 => match kind {
                Kind::Shared => false,
                Kind::Exclusive | Kind::Write => !was_holder && !is_alone,
                Kind::Read => !is_in && !self.holders.is_empty(),
            },
            LockVerb::Wait | LockVerb::LimitedWait { .. } if answer == 0 => {
                !(was_holder || is_in && is_alone)
            }
            LockVerb::Limited { to_fail, .. } if answer == 0 => !was_holder && holders >= to_fail,
            LockVerb::Get | LockVerb::Wait | LockVerb::Limited { .. } | LockVerb::LimitedWait { .. } => {
                self.may_join(kind, connection, verb) && {
                    self.join(kind, connection);
                    answer == self.holders.len() as u32
                }
            }
            LockVerb::Release => answer == u32::from(was_holder && self.holders.remove(&connection)),
            LockVerb::ReleaseAll => {
                self.holders.remove(&connection);
                true
            }
            LockVerb::Fence => was_holder == (answer > 0),
            LockVerb::Steal => {
                if self.is_held(kind) {
                    self.holders.clear();
                }
                answer == u32::from(holders > 0)
            }
            LockVerb::Inspect => answer == holders,
            LockVerb::Resume { key, first } => self.may_resume(connection, key, first).is_some_and(|old| {
                self.resume(connection, key, old);
                true
            }),
        };
        is_possible.then_some(())
    }

    /// Applies an unanswered request, if it can succeed.
    fn do_if_it_can(&mut self, kind: Kind, connection: u32, verb: LockVerb) {
        match verb {
            LockVerb::Get | LockVerb::Wait | LockVerb::Limited { .. } | LockVerb::LimitedWait { .. } => {
                if self.may_join(kind, connection, verb) {
                    self.join(kind, connection);
                }
            }
            LockVerb::Release if !self.is_held(kind) => {}
            LockVerb::Release | LockVerb::ReleaseAll => {
                self.holders.remove(&connection);
            }
            LockVerb::Steal if self.is_held(kind) => self.holders.clear(),
            LockVerb::Resume { key, first } => {
                if let Some(old) = self.may_resume(connection, key, first) {
                    self.resume(connection, key, old);
                }
            }
            LockVerb::Fence | LockVerb::Inspect | LockVerb::Steal => {}
        }
    }

    /// The connection that has a key, if this one can get what it opens: it must hold nothing itself.
    fn may_resume(&self, connection: u32, key: u32, first: u32) -> Option<u32> {
        let old = self.has_key.get(&key).copied().unwrap_or(first);
        let is_right = old == connection || !self.holders.contains(&connection);
        Some(old).filter(|old| is_right && !self.over.contains(old))
    }

    /// Puts a connection in the place of another, which ends.
    fn resume(&mut self, connection: u32, key: u32, old: u32) {
        if old == connection {
            return;
        }
        self.ended.insert(old);
        if self.holders.remove(&old) {
            self.holders.insert(connection);
        }
        self.has_key.insert(key, connection);
    }

    fn join(&mut self, kind: Kind, connection: u32) {
        self.holders.insert(connection);
        self.kind = Some(HashedKind(kind));
    }

    /// Whether somebody holds it so.
    fn is_held(&self, kind: Kind) -> bool {
        !self.holders.is_empty() && self.kind == Some(HashedKind(kind))
    }

    /// Whether nobody but this connection holds it.
    fn is_alone(&self, connection: u32) -> bool {
        self.holders.iter().all(|holder| *holder == connection)
    }

    /// Whether a connection can be given the lock. Who holds it so, or holds it alone, always can.
    fn may_join(&self, kind: Kind, connection: u32, verb: LockVerb) -> bool {
        if self.is_alone(connection) {
            return true;
        }
        if !self.is_held(kind) {
            return false;
        }
        let holders = self.holders.len() as u32;
        let limit = match (kind, verb) {
            (Kind::Exclusive | Kind::Write, _) => 1,
            (_, LockVerb::Limited { limit, .. } | LockVerb::LimitedWait { limit }) if limit > 0 => limit,
            _ => u32::MAX,
        };
        holders < limit || self.holders.contains(&connection)
    }
}
