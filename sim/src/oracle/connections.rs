//! Both sides of each connection agree. The applied commands are the requests, in order, whole and in time. The told
//! replies are the received ones. No request is left without an answer, and no more is kept unsent than is allowed.

use super::{Finding, Found, SLACK_MS, connection_finding};
use crate::conversation::Conversation;
use crate::history::{ClientSide, Close, History, ServerSide};
use crate::log::{Ended, Entry, Told};
use crate::plan::Plan;
use elockd_core::wire::encode_reason;
use elockd_core::{Cause, Command, Reason};

/// Time in which a client that is idle, kicked or taken over has to read its last replies (docs/protocol.md).
const LAST_WORDS_MS: u32 = 1_000;

/// Judges every connection.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn judge(plan: &Plan, entries: &[Entry], history: &History) -> Result<(), Finding> {
    for connection in &history.connections {
        let of =
            |check| move |(place, what): (_, String)| connection_finding(connection, check, place, &what);
        match (&connection.client, &connection.server) {
            (Some(client), Some(server)) => {
                requests(client, server).map_err(of("requests run in order"))?;
                replies(client, server).map_err(of("replies come in order"))?;
                whole(plan, entries, history, client, server)
                    .map_err(of("nobody is left without an answer"))?;
                unsent(server).map_err(of("unsent replies are bounded"))?;
            }
            // It was never accepted.
            (Some(client), None) if !client.received.is_empty() => {
                let what = format!("was sent \"{}\" by nobody", client.received.escape_ascii());
                return Err(of("replies come in order")((client.connected, what)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The commands that ran are the requests, from the first on and without a gap, each after it was sent.
fn requests(client: &ClientSide, server: &ServerSide) -> Found {
    for (number, run) in server.commands.iter().enumerate() {
        let Some(request) = client.requests.get(number) else {
            return Err((run.applied, format!("{:?} was run, which it did not ask", run.command)));
        };
        if !is_said_as(&run.command, &request.command) {
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

/// Whether a command is what the server tells the machine when a client asks this. Whether it may say so is for the
/// judge of accounts.
fn is_said_as(run: &Command<Vec<u8>>, asked: &Command<Vec<u8>>) -> bool {
    match (run, asked) {
        (Command::Login(_), Command::Auth(_)) | (Command::Help(_), Command::Help(_)) => true,
        (Command::Refused(verb, _), asked) => asked.verb() == Some(*verb),
        (run, asked) => run == asked,
    }
}

/// The missing reply of a wait that is not over.
static NOTHING: Vec<u8> = Vec::new();

/// The received replies are the told ones, from the first on and without a gap.
fn replies(client: &ClientSide, server: &ServerSide) -> Found {
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
            // The judge that knows the holds checks its text.
            Some(Told::Listing(..)) => true,
            Some(Told::Wait | Told::Disconnect(_)) | None => false,
        };
        if is_told && *answered < run.told_at.place {
            return Err((*answered, format!("{:?} was answered before its wait was over", request.command)));
        }
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
    let next =
        client.requests.iter().rposition(|request| request.answer.is_some()).map_or(0, |last| last + 1);
    let told = server.commands.iter().skip(next).find_map(|run| match &run.told {
        Some(Told::Reply(reply)) => Some(Some(reply)),
        Some(Told::Listing(..)) => Some(None),
        // A reply to a request behind a wait comes after the wait's reply.
        Some(Told::Wait) => Some(Some(&NOTHING)),
        Some(Told::Disconnect(_)) | None => None,
    });
    let is_start = match told {
        Some(Some(reply)) => reply.starts_with(&client.rest),
        Some(None) => true,
        None => client.rest.is_empty(),
    };
    if is_start {
        Ok(())
    } else {
        Err((seen, format!("was sent \"{}\" and no more of it", client.rest.escape_ascii())))
    }
}

/// If the server closed in order, it had run all that it had read, and answered all that it had run.
fn whole(
    plan: &Plan,
    entries: &[Entry],
    history: &History,
    client: &ClientSide,
    server: &ServerSide,
) -> Found {
    let Some((close, closed)) = server.closed else { return Ok(()) };
    let ended_a_wait =
        server.commands.last().is_some_and(|run| run.has_waited && run.told_at.place == closed);
    // While the answer to a wrong token is held back, nothing runs either.
    let is_braked = server.commands.last().is_some_and(|run| run.command == Command::Login(None));
    // A FIN during a wait is a client's last word: it ends the wait, and requests behind it are not run.
    let runs_all = matches!(close, Close::Said(Cause::Eof | Cause::Shutdown)) && !ended_a_wait && !is_braked;
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
    let is_in_order = matches!(
        close,
        Close::Said(Cause::Eof | Cause::Shutdown)
            | Close::Decided(Reason::Quit | Reason::Idle | Reason::Kicked | Reason::Resumed)
    );
    // Four things may cut replies off: a peer that took nothing, the end of the second that one has whom others end, a
    // failure, and a shutdown that took too long.
    let Some((dropped, since)) = server.dropped else { return Ok(()) };
    let has_stalled = |since: u32| entries[dropped].at_ms + SLACK_MS >= since + plan.server.write_timeout_ms;
    let is_over_soon = matches!(close, Close::Decided(Reason::Idle | Reason::Kicked | Reason::Resumed));
    let has_had_its_second = entries[dropped].at_ms + SLACK_MS >= entries[closed].at_ms + LAST_WORDS_MS;
    let was_cut_off = server.failed.is_some()
        || (is_over_soon && has_had_its_second)
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

/// Replies that are told and not written never exceed the limit by more than one batch on each side.
fn unsent(server: &ServerSide) -> Found {
    /// 64 KiB that waited, 64 KiB that were told at once, and a last batch of 64 of the longest replies.
    const MOST: usize = 210 << 10;
    for run in &server.commands {
        match server.unsent(run.applied) {
            Some(unsent) if unsent > MOST => {
                return Err((run.applied, format!("{unsent} bytes of its replies are kept unsent")));
            }
            Some(_) => {}
            None => break,
        }
    }
    Ok(())
}
