//! Both sides of each connection agree: what was applied is what was asked, in order, whole and within its
//! time; what was told is what was heard; and a connection ends when, and only when, there is a reason.

use super::Finding;
use crate::conversation::Conversation;
use crate::history::{ClientSide, Close, Connection, History, ServerSide};
use crate::log::{Ended, Entry, Event, Told};
use crate::plan::Plan;
use elockd_core::codec::encode_reason;
use elockd_core::{Cause, Command, Reason, Subject};

/// Judges every connection.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn judge(plan: &Plan, entries: &[Entry], history: &History) -> Result<(), Finding> {
    for connection in &history.connections {
        let Connection { addr, client, server } = connection;
        let of = |place, check, what: String| Finding {
            place,
            conn: server.as_ref().map(|server| server.conn),
            check,
            what: match client {
                Some(client) => format!("{} ({addr}): {what}", client.client),
                None => format!("{addr}: {what}"),
            },
        };
        if let Some(server) = server {
            ends(plan, entries, history, server)
                .map_err(|(place, what)| of(place, "ends have a reason", what))?;
        }
        match (client, server) {
            (Some(client), Some(server)) => {
                requests(client, server).map_err(|(place, what)| of(place, "requests run in order", what))?;
                replies(client, server).map_err(|(place, what)| of(place, "replies come in order", what))?;
                whole(plan, entries, history, client, server)
                    .map_err(|(place, what)| of(place, "nobody is left without an answer", what))?;
            }
            // It was never accepted.
            (Some(client), None) => {
                if !client.received.is_empty() {
                    let what = format!("was sent \"{}\" by nobody", client.received.escape_ascii());
                    return Err(of(client.connected, "replies come in order", what));
                }
            }
            (None, _) => {}
        }
    }
    Ok(())
}

/// Timers count whole milliseconds.
const SLACK_MS: u32 = 3;

type Verdict = Result<(), (usize, String)>;

/// What ran is what was asked, from the first request on and without a gap, each after it was sent.
fn requests(client: &ClientSide, server: &ServerSide) -> Verdict {
    for (number, run) in server.commands.iter().enumerate() {
        let Some(request) = client.requests.get(number) else {
            return Err((run.applied, format!("{:?} was run, which it did not ask", run.command)));
        };
        if request.command != run.command {
            let what = format!("{:?} was run, where it asked {:?}", run.command, request.command);
            return Err((run.applied, what));
        }
        if run.applied < request.sent {
            return Err((run.applied, format!("{:?} was run before it was asked", run.command)));
        }
        if let Some((_, answered)) = &request.answer
            && *answered < run.applied
        {
            return Err((run.applied, format!("{:?} was answered before it was run", run.command)));
        }
    }
    Ok(())
}

/// What was heard is what was told, from the first reply on and without a gap.
fn replies(client: &ClientSide, server: &ServerSide) -> Verdict {
    let seen = client.received_at.last().copied().unwrap_or(client.connected);
    if let Some((Close::Decided(Reason::TooManyConnections), _)) = server.closed {
        let mut line = Vec::new();
        encode_reason(Reason::TooManyConnections, &mut line);
        return if line.starts_with(&client.received) {
            Ok(())
        } else {
            Err((seen, format!("was refused with \"{}\"", client.received.escape_ascii())))
        };
    }
    if let Some(stray) = &client.stray {
        return Err((seen, format!("was sent \"{}\", which answers nothing", stray.escape_ascii())));
    }
    for (number, request) in client.requests.iter().enumerate() {
        let Some((answer, answered)) = &request.answer else { continue };
        let Some(run) = server.commands.get(number) else {
            return Err((*answered, format!("{:?} was answered and never run", request.command)));
        };
        let is_told = match &run.told {
            Some(Told::Reply(reply)) => reply == answer,
            // Its text is looked at by the judge that knows what was held.
            Some(Told::Listing(..)) => true,
            Some(Told::Disconnect(_)) | None => false,
        };
        if !is_told {
            let what = format!(
                "{:?} was answered \"{}\", and what was told is {:?}",
                request.command,
                answer.escape_ascii(),
                run.told
            );
            return Err((*answered, what));
        }
    }
    Ok(())
}

/// Where the server closed in order, everything it had read was run, and everything that was run answered.
fn whole(
    plan: &Plan,
    entries: &[Entry],
    history: &History,
    client: &ClientSide,
    server: &ServerSide,
) -> Verdict {
    let Some((close, closed)) = server.closed else { return Ok(()) };
    let runs_all = matches!(close, Close::Said(Cause::Eof | Cause::Shutdown));
    if runs_all {
        let read = server.read.iter().take_while(|(place, _)| *place < closed).last();
        let bytes = read.map_or(0, |(_, bytes)| *bytes).min(client.sent.len());
        let mut conversation = Conversation::new(plan.server.line_bytes, plan.server.silent_errors);
        let asked = conversation.said(&client.sent[..bytes]).len();
        if server.commands.len() < asked {
            let what = format!("{asked} requests were read, and only {} run", server.commands.len());
            return Err((closed, what));
        }
    }
    let is_in_order = runs_all || matches!(close, Close::Decided(Reason::Quit | Reason::Idle));
    // A peer that took nothing, a failure, and a shutdown that took too long cut replies off.
    let Some((dropped, since)) = server.dropped else { return Ok(()) };
    let has_stalled = |since: u32| entries[dropped].at_ms + SLACK_MS >= since + plan.server.write_timeout_ms;
    let was_cut_off = server.failed.is_some()
        || since.is_some_and(has_stalled)
        || history.ends.get(&server.life).is_some_and(|end| dropped > *end);
    let Some((Ended::Fin, ended)) = client.ended else { return Ok(()) };
    if !is_in_order || was_cut_off {
        return Ok(());
    }
    for (number, run) in server.commands.iter().enumerate() {
        let has_answer = matches!(run.told, Some(Told::Reply(_) | Told::Listing(..)));
        if has_answer && client.requests[number].answer.is_none() {
            return Err((ended, format!("the answer to {:?} never came", run.command)));
        }
    }
    Ok(())
}

/// A connection ends at once when there is a reason, and not without one.
fn ends(plan: &Plan, entries: &[Entry], history: &History, server: &ServerSide) -> Verdict {
    let ms = |place: usize| entries[place].at_ms;
    if let Some(fin) = server.fin
        && server.closed.is_none_or(|(_, closed)| closed > fin && ms(closed) > ms(fin) + 1)
        && history.ends.get(&server.life).is_none_or(|end| *end > fin)
        && is_followed_by_time(entries, fin, server)
    {
        return Err((fin, "sent FIN, and holds its locks".to_owned()));
    }
    let Some((close, closed)) = server.closed else { return Ok(()) };
    let wrong = |what: &str| Err((closed, format!("was ended as {close:?}, {what}")));
    let before = |place: Option<usize>| place.is_some_and(|place| place <= closed);
    match close {
        Close::Said(Cause::Eof) if !before(server.fin) => wrong("and sent no FIN"),
        Close::Said(Cause::Error) if !before(server.failed) => wrong("and nothing had failed"),
        Close::Said(Cause::Stalled) => {
            let since = server.dropped.and_then(|(_, since)| since);
            match since {
                Some(since) if ms(closed) + SLACK_MS >= since + plan.server.write_timeout_ms => Ok(()),
                Some(since) => wrong(&format!("and had taken its replies until {since} ms")),
                None => wrong("and had taken all of its replies"),
            }
        }
        Close::Said(Cause::Shutdown) => {
            let drains = entries[..closed].iter().any(|entry| {
                matches!(&entry.event, Event::Applied(applied)
                    if applied.life == server.life && applied.input == elockd_core::Input::Drain)
            });
            if drains { Ok(()) } else { wrong("and there was no shutdown") }
        }
        Close::Decided(Reason::Quit) => {
            let said = server.commands.last().is_some_and(|run| run.command == Command::Quit);
            if said { Ok(()) } else { wrong("and had not said so") }
        }
        _ => Ok(()),
    }
}

/// Whether the server went on for longer than it takes to notice, with this connection.
fn is_followed_by_time(entries: &[Entry], place: usize, server: &ServerSide) -> bool {
    let until_ms = entries[place].at_ms + 3;
    let is_killed = entries[place..].iter().take_while(|entry| entry.at_ms <= until_ms).any(|entry| {
        matches!(
            entry.event,
            Event::Fault(crate::script::Fault::KillServer | crate::script::Fault::StartServer)
        )
    });
    let lives_on = entries[place..].iter().any(|entry| {
        entry.at_ms > until_ms
            && matches!(&entry.event, Event::Applied(applied) if applied.life == server.life)
    });
    !is_killed && lives_on
}

/// Whether a listing may be refused for its size.
#[must_use]
pub(super) fn may_be_too_large(plan: &Plan, subject: Subject, text: &[u8]) -> bool {
    let mut refusal = Vec::new();
    elockd_core::listing::write_too_large(subject, &mut refusal);
    plan.server.listing_bytes < 1 << 20 && text == refusal
}
