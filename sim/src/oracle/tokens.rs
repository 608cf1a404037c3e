//! Fencing tokens as the clients alone saw them, over all lives of the server. Of two tokens that were shown, one
//! before the other was asked for, the later is higher, unless both are the same token of the same hold. A hold stays
//! the same when another connection takes it over with `resume`. A store that compares tokens sees no more than that.

use super::keys::Keys;
use super::{Finding, Judged};
use crate::history::{History, Place};
use elockd_core::{Command, Kind, Reply};
use std::collections::BTreeSet;

/// Judges every token that a client was shown.
///
/// # Errors
///
/// The first token that is not above all earlier ones.
pub fn judge(history: &History, judged: &mut Judged) -> Result<(), Finding> {
    let shown = shown(history);
    judged.tokens += shown.len() as u64;
    let mut answered: Vec<&Shown<'_>> = shown.iter().collect();
    answered.sort_by_key(|shown| shown.answered);
    let mut asked: Vec<&Shown<'_>> = shown.iter().collect();
    asked.sort_by_key(|shown| shown.asked);
    let mut before = answered.into_iter().peekable();
    let mut highest: Option<&Shown<'_>> = None;
    for later in asked {
        while let Some(earlier) = before.next_if(|earlier| earlier.answered < later.asked) {
            highest = highest.filter(|highest| highest.token >= earlier.token).or(Some(earlier));
        }
        if let Some(earlier) = highest.filter(|earlier| earlier.token >= later.token) {
            let name = later.hold.name.escape_ascii();
            let what = format!(
                "{} was shown for \"{name}\", and before it was asked for {} for \"{}\"",
                later.token,
                earlier.token,
                earlier.hold.name.escape_ascii()
            );
            return Err(Finding { place: later.answered, conn: None, check: "tokens ascend", what });
        }
    }
    Ok(())
}

/// A token that a client was shown.
#[derive(Clone, Debug)]
struct Shown<'a> {
    token: u64,
    hold: TokenHold<'a>,
    asked: Place,
    answered: Place,
    /// Whether its connection may have taken the hold over from another.
    may_be_resumed: bool,
}

/// A hold as its client knows it: the connection, the lock, and how often the connection had released that lock
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TokenHold<'a> {
    connection: usize,
    kind: Kind,
    name: &'a [u8],
    released: usize,
}

fn shown(history: &History) -> Vec<Shown<'_>> {
    let mut shown = Vec::new();
    for (connection, of) in history.connections.iter().enumerate() {
        let Some(client) = &of.client else { continue };
        let answered = client.requests.iter().filter_map(|request| Some((request, request.answer.as_ref()?)));
        let answered: Vec<_> = answered.collect();
        for (at, (request, (text, place))) in answered.iter().enumerate() {
            let Command::Fence(kind, name) = &request.command else { continue };
            let Some(Reply::Fenced { token, .. }) = Reply::read(text) else { continue };
            let ends_it = |text: &[u8]| match Reply::read(text) {
                Some(Reply::ReleasedAll { holds }) => holds > 0,
                // If the client is told that it does not hold it, the lock was stolen.
                Some(
                    Reply::Released { kind: of, name: other } | Reply::NotHeld { kind: of, name: other },
                ) => of == *kind && other == name,
                // Who goes on in another way has another hold.
                Some(Reply::Got { kind: of, name: other, .. }) => of.rival() == Some(*kind) && other == name,
                _ => false,
            };
            let released = answered[..at].iter().filter(|(_, (text, _))| ends_it(text)).count();
            let hold = TokenHold { connection, kind: *kind, name, released };
            let is_resumed = |text: &[u8]| matches!(Reply::read(text), Some(Reply::Resumed { .. }));
            let since = answered[..at].iter().rev().take_while(|(_, (text, _))| !ends_it(text));
            let may_be_resumed = since.into_iter().any(|(_, (text, _))| is_resumed(text));
            // The same token of the same hold again is nothing new.
            let last = shown.iter().rev().find(|shown: &&Shown<'_>| shown.hold == hold);
            if last.is_none_or(|last| last.token != token) {
                shown.push(Shown { token, hold, asked: request.sent, answered: *place, may_be_resumed });
            }
        }
    }
    once(history, shown)
}

/// Leaves out the tokens that were shown before to another connection that may have had the same hold.
fn once<'a>(history: &'a History, mut shown: Vec<Shown<'a>>) -> Vec<Shown<'a>> {
    let keys = Keys::new(history);
    shown.sort_by_key(|shown| shown.asked);
    let mut known = BTreeSet::new();
    shown.retain(
        |Shown { token, hold: TokenHold { connection, kind, name, .. }, may_be_resumed, .. }| {
            let is_new = known.insert((keys.group(*connection), kind.word(), *name, *token));
            is_new || !may_be_resumed
        },
    );
    shown
}
