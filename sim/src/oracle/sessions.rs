//! Sessions as the clients alone saw them. What a connection held goes on under its key, and there is no moment at
//! which it was free:
//!
//! * a `resume` that succeeded used the very key that a client was told, and gave what the connection held that had
//!   this key before;
//! * between the last answer that proves that the old connection held a lock and the success of `resume`, nobody else
//!   was granted that lock, and its fencing token is the same afterwards.
//!
//! A client does not know what became of requests without an answer, nor what operators did meanwhile. Where that
//! matters, this judge lets things pass.

use super::Finding;
use super::keys::{Keys, Number, SaidKey, Upshot};
use crate::history::{ClientSide, Connection, History, Place, Request};
use crate::log::Life;
use elockd_core::{Command, Kind, Reply};
use elockd_model_tests::reference::line_of;
use std::collections::{BTreeMap, BTreeSet};

/// Nobody resumes with another's key.
const KEYS: &str = "nobody resumes with another's key";
/// A resumed lock was never free in between.
const NEVER_FREE: &str = "a resumed lock was never free in between";

/// Judges every `resume` that succeeded. Returns how many holds were taken over for certain.
///
/// # Errors
///
/// The first that took over what it should not, or something else than there was.
pub fn judge(history: &History) -> Result<u64, Finding> {
    let keys = Keys::new(history);
    let mut passed = 0;
    for resume in keys.said() {
        let Upshot::Given(holds, answered) = resume.upshot() else { continue };
        let wrong = |check, what: String| {
            let who = history.connections[resume.by].client.as_ref().expect("it said a key").client;
            Finding { place: answered, conn: None, check, what: format!("{who}: {what}") }
        };
        let Some((_, first, asked)) = keys.told(resume.key).filter(|(_, _, asked)| *asked < answered) else {
            return Err(wrong(KEYS, format!("was given {holds} holds for a key that nobody had been told")));
        };
        let life = life_of(history, resume.by);
        if life.is_some() && life != life_of(history, first) {
            let what =
                format!("was given {holds} holds for a key of an earlier daemon, asked for at {asked}");
            return Err(wrong(KEYS, what));
        }
        let Some(old) = keys.had_before(resume) else { continue };
        let Some(known) = known(history, &keys, old, answered) else { continue };
        let (least, most) = known.bounds();
        let holds = holds as usize;
        if old != resume.by && !(least..=most).contains(&holds) {
            let what = format!("was given {holds} holds, and there were {least} to {most}");
            return Err(wrong(KEYS, what));
        }
        for (lock, hold) in &known.held {
            if known.doubtful.contains(lock) {
                continue;
            }
            passed += 1;
            was_never_free(history, resume, old, (*lock, hold)).map_err(|what| wrong(NEVER_FREE, what))?;
        }
    }
    Ok(passed)
}

/// A lock, and for readers and writers that of the writers.
type KnownLock<'a> = (Kind, &'a [u8]);

/// A hold as its client knows it.
#[derive(Clone, Copy, Debug)]
struct KnownHold {
    kind: Kind,
    /// When the last answer was read that proves it.
    proof: Place,
    token: Option<u64>,
}

/// What a client knows of its holds at the end.
#[derive(Clone, Debug, Default)]
struct KnownHolds<'a> {
    held: BTreeMap<KnownLock<'a>, KnownHold>,
    /// Locks that it may have, or not, because a request was not answered or an operator took a lock away.
    doubtful: BTreeSet<KnownLock<'a>>,
}

impl KnownHolds<'_> {
    /// How many holds there are, at least and at most.
    fn bounds(&self) -> (usize, usize) {
        let certain = self.held.keys().filter(|lock| !self.doubtful.contains(*lock)).count();
        (certain, certain + self.doubtful.len())
    }
}

fn life_of(history: &History, number: Number) -> Option<Life> {
    history.connections[number].server.as_ref().map(|server| server.life)
}

fn client_of(history: &History, number: Number) -> Option<&ClientSide> {
    history.connections[number].client.as_ref()
}

fn lock_of(kind: Kind, name: &[u8]) -> KnownLock<'_> {
    (line_of(kind), name)
}

/// What a connection holds as far as its client knows, before a place in the log. `None` if it resumed itself, and
/// what that gave it is not known.
fn known<'a>(history: &'a History, keys: &Keys<'a>, number: Number, until: Place) -> Option<KnownHolds<'a>> {
    let client = client_of(history, number)?;
    let mut holds = KnownHolds::default();
    let requests = client.requests.iter().enumerate().filter(|(_, request)| request.sent < until);
    for (at, request) in requests {
        match &request.answer {
            Some((text, place)) if *place <= until => {
                if let Command::Resume(_) = &request.command
                    && let Some(Reply::Resumed { .. }) = Reply::read(text)
                {
                    let is_it = |said: &&SaidKey<'_>| said.by == number && said.at == at;
                    let said = keys.said().iter().find(is_it)?;
                    let old = keys.had_before(said)?;
                    if old != number {
                        holds = known(history, keys, old, *place)?;
                        holds.held.values_mut().for_each(|hold| hold.proof = *place);
                    }
                } else {
                    note(&mut holds, request, text, *place);
                }
            }
            _ => doubt(&mut holds, &request.command)?,
        }
    }
    let life = life_of(history, number);
    for (_, connection) in others(history, &[], life) {
        for request in connection.client.iter().flat_map(|client| &client.requests) {
            if let Command::Steal(kind, name) = &request.command
                && request.sent < until
                && !request.answer.as_ref().is_some_and(|(text, _)| text.starts_with(b"0 "))
            {
                holds.doubtful.insert(lock_of(*kind, name));
            }
        }
    }
    Some(holds)
}

/// Notes what an answer says of the holds of its client.
fn note<'a>(holds: &mut KnownHolds<'a>, request: &'a Request, text: &[u8], place: Place) {
    let Some(reply) = Reply::read(text) else { return };
    let name = request.command.name().map(|name| &name[..]).unwrap_or_default();
    match reply {
        Reply::Got { kind, .. } => {
            let known = KnownHold { kind, proof: place, token: None };
            let hold = holds.held.entry(lock_of(kind, name)).or_insert(known);
            let token = hold.token.filter(|_| hold.kind == kind);
            *hold = KnownHold { kind, proof: place, token };
            holds.doubtful.remove(&lock_of(kind, name));
        }
        Reply::Fenced { kind, token, .. } => {
            holds.held.insert(lock_of(kind, name), KnownHold { kind, proof: place, token: Some(token) });
            holds.doubtful.remove(&lock_of(kind, name));
        }
        Reply::Released { kind, .. } => {
            holds.held.remove(&lock_of(kind, name));
            holds.doubtful.remove(&lock_of(kind, name));
        }
        // It does not hold it so. It may hold it in another way.
        Reply::ReleaseFailure { kind, .. } | Reply::NotHeld { kind, .. } => {
            let lock = lock_of(kind, name);
            if holds.held.get(&lock).is_some_and(|hold| hold.kind == kind) {
                holds.held.remove(&lock);
            }
        }
        Reply::ReleasedAll { .. } => *holds = KnownHolds::default(),
        _ => {}
    }
}

/// Notes that nobody knows whether a request was run. `None` if anything may have come of it.
fn doubt<'a>(holds: &mut KnownHolds<'a>, command: &'a Command<Vec<u8>>) -> Option<()> {
    match command {
        Command::Get(wish) => {
            let lock = lock_of(wish.kind(), wish.name());
            if holds.held.get(&lock).is_none_or(|hold| hold.kind != wish.kind()) {
                holds.doubtful.insert(lock);
            }
        }
        Command::Release(kind, name) => {
            holds.doubtful.insert(lock_of(*kind, name));
        }
        Command::ReleaseAll => holds.doubtful.extend(holds.held.keys()),
        Command::Resume(_) => return None,
        _ => {}
    }
    Some(())
}

/// The connections of a life, but these.
fn others<'a>(
    history: &'a History,
    but: &'a [Number],
    life: Option<Life>,
) -> impl Iterator<Item = (Number, &'a Connection)> {
    let all = history.connections.iter().enumerate();
    all.filter(move |(number, _)| !but.contains(number) && life_of(history, *number) == life)
}

/// Nobody else was granted a lock that was taken over, and it has the same token as before.
fn was_never_free(
    history: &History,
    resume: &SaidKey<'_>,
    old: Number,
    ((line, name), hold): (KnownLock<'_>, &KnownHold),
) -> Result<(), String> {
    let shown = name.escape_ascii();
    let is_alone = !hold.kind.is_counted();
    for (_, other) in others(history, &[old, resume.by], life_of(history, resume.by)) {
        let Some(client) = &other.client else { continue };
        for request in &client.requests {
            let Some((text, place)) = &request.answer else { continue };
            let is_between = request.sent > hold.proof && *place < resume.request.sent;
            match Reply::read(text) {
                Some(Reply::Got { kind, name: of, .. })
                    if is_between
                        && of == name
                        && line_of(kind) == line
                        && (is_alone || kind != hold.kind) =>
                {
                    return Err(format!(
                        "took over {line:?} \"{shown}\", which {} got meanwhile",
                        client.client
                    ));
                }
                _ => {}
            }
        }
    }
    let Some(client) = client_of(history, resume.by) else { return Ok(()) };
    for request in &client.requests[resume.at + 1..] {
        let Some((text, _)) = &request.answer else { return Ok(()) };
        match (Reply::read(text), request.command.name()) {
            (Some(Reply::Fenced { kind, token, .. }), Some(of)) if (kind, &of[..]) == (hold.kind, name) => {
                return match hold.token {
                    Some(before) if before != token => Err(format!(
                        "took over {line:?} \"{shown}\" with the token {before}, and now it is {token}"
                    )),
                    _ => Ok(()),
                };
            }
            // Whatever else it says of the lock may end the hold.
            (Some(Reply::ReleasedAll { .. }), _) => return Ok(()),
            (Some(reply), Some(of)) if of == name => match reply {
                Reply::NotHeld { kind, .. } | Reply::ReleaseFailure { kind, .. }
                    if kind == hold.kind && !is_stolen(history, resume, (line, name)) =>
                {
                    return Err(format!("took over {line:?} \"{shown}\", and does not hold it"));
                }
                Reply::Inspected { .. } => {}
                _ => return Ok(()),
            },
            _ => {}
        }
    }
    Ok(())
}

/// Whether an operator may have taken a lock away.
fn is_stolen(history: &History, resume: &SaidKey<'_>, lock: KnownLock<'_>) -> bool {
    others(history, &[], life_of(history, resume.by)).any(|(_, connection)| {
        let mut requests = connection.client.iter().flat_map(|client| &client.requests);
        requests.any(|request| match &request.command {
            Command::Steal(kind, name) => lock_of(*kind, name) == lock,
            _ => false,
        })
    })
}
