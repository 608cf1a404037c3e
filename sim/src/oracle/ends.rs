//! A connection ends when, and only when, there is a reason, and soon after it: its locks depend on that. Both sides
//! are compared: the end that the server reports must be what its client did, or what a fault did to it.

use super::{Finding, Found, SLACK_MS, connection_finding};
use crate::history::{ClientSide, Close, Connection, History, Place, ServerSide};
use crate::log::{Ended, Entry, Event};
use crate::plan::Plan;
use crate::script::Fault;
use elockd_core::{Cause, Command, Input, Reason};

/// Judges every connection's end.
///
/// # Errors
///
/// The first end that has no reason, or the first reason that has no end.
pub fn judge(plan: &Plan, entries: &[Entry], history: &History) -> Result<(), Finding> {
    let ends = Ends { plan, entries, history };
    for connection in &history.connections {
        let Some(server) = &connection.server else { continue };
        let of =
            |check| move |(place, what): (_, String)| connection_finding(connection, check, place, &what);
        ends.has_reason(server).map_err(of("ends have a reason"))?;
        ends.comes_at_once(server).map_err(of("ends come at once"))?;
        if let Some(client) = &connection.client {
            ends.is_known_to_both(client, server).map_err(of("ends have a reason"))?;
            ends.is_noticed(connection, client, server).map_err(of("ends come at once"))?;
        }
    }
    Ok(())
}

struct Ends<'a> {
    plan: &'a Plan,
    entries: &'a [Entry],
    history: &'a History,
}

impl Ends<'_> {
    fn ms(&self, place: Place) -> u32 {
        self.entries[place].at_ms
    }

    /// The server's reason for the end was true.
    fn has_reason(&self, server: &ServerSide) -> Found {
        let Some((close, closed)) = server.closed else { return Ok(()) };
        let wrong = |what: &str| Err((closed, format!("was ended as {close:?}, {what}")));
        let before = |place: Option<Place>| place.is_some_and(|place| place <= closed);
        match close {
            Close::Said(Cause::Eof) if !before(server.fin) => wrong("and sent no FIN"),
            Close::Said(Cause::Error) if !before(server.failed) => wrong("and nothing had failed"),
            Close::Said(Cause::Stalled) => {
                let timeout_ms = self.plan.server.write_timeout_ms;
                match server.dropped.and_then(|(_, since)| since) {
                    Some(since) if self.ms(closed) + SLACK_MS >= since + timeout_ms => Ok(()),
                    Some(since) => wrong(&format!("and had taken its replies until {since} ms")),
                    None => wrong("and had taken all of its replies"),
                }
            }
            Close::Said(Cause::Shutdown) => {
                let drains = self.entries[..closed].iter().any(|entry| {
                    matches!(&entry.event, Event::Applied(applied)
                        if applied.life == server.life && matches!(applied.input, Input::Drain(_)))
                });
                if drains { Ok(()) } else { wrong("and there was no shutdown") }
            }
            Close::Said(Cause::Quit | Cause::Idle | Cause::Kicked | Cause::Resumed | Cause::Refused) => {
                wrong("which only the machine decides")
            }
            Close::Said(Cause::NodeLost) | Close::Decided(Reason::NoQuorum) => {
                wrong("and a single daemon has no other node")
            }
            Close::Decided(Reason::Quit) => {
                let said = server.commands.last().is_some_and(|run| run.command == Command::Quit);
                if said { Ok(()) } else { wrong("and had not said so") }
            }
            Close::Decided(Reason::Kicked) => {
                let Event::Applied(applied) = &self.entries[closed].event else {
                    return wrong("and nothing was applied");
                };
                let is_named = matches!(&applied.input, Input::Command(_, Command::Kick(wanted))
                    if *wanted == server.shown || server.registered(closed) == Some(wanted));
                if is_named { Ok(()) } else { wrong("and nobody asked for it") }
            }
            Close::Decided(Reason::Resumed) => {
                let said = match &self.entries[closed].event {
                    Event::Applied(applied) => match &applied.input {
                        Input::Command(by, Command::Resume(key)) if *by != server.conn => Some(key),
                        _ => None,
                    },
                    _ => None,
                };
                match said {
                    Some(key) if server.has_had(key) => Ok(()),
                    Some(_) => wrong("and another's key was said"),
                    None => wrong("and nobody said its key"),
                }
            }
            // The reference model decides these too.
            Close::Decided(Reason::Idle | Reason::TooManyConnections)
            | Close::Said(Cause::Eof | Cause::Error) => Ok(()),
        }
    }

    /// Once the server has read a FIN or an error, it ends the connection in the same moment.
    fn comes_at_once(&self, server: &ServerSide) -> Found {
        for (place, what) in [(server.fin, "sent FIN"), (server.failed, "failed")] {
            let Some(place) = place else { continue };
            let is_late = server
                .closed
                .is_none_or(|(_, closed)| closed > place && self.ms(closed) > self.ms(place) + 1);
            if is_late && self.lives_on(server, place, self.ms(place) + SLACK_MS) {
                return Err((place, format!("{what}, and holds its locks")));
            }
        }
        Ok(())
    }

    /// The end that the client saw is the one that the server made.
    fn is_known_to_both(&self, client: &ClientSide, server: &ServerSide) -> Found {
        /// A reset destroys what was sent last. To send no reset, the server takes input for this long.
        const LINGER_MS: u32 = 1_000;
        let Some((ended, place)) = client.ended else { return Ok(()) };
        let is_over = self.history.ends.get(&server.life).is_some_and(|end| *end < place);
        let was_cut = self.entries[..place].iter().any(|entry| {
            matches!(entry.event, Event::Fault(fault) if is_trouble(fault, client) && !is_late(fault))
        });
        let closed_before = server.closed.filter(|(_, closed)| *closed < place);
        if is_over || was_cut || !matches!(ended, Ended::Fin | Ended::Broken) {
            return Ok(());
        }
        let Some((close, closed)) = closed_before else {
            return Err((place, format!("saw its end ({ended:?}), and the machine still has it")));
        };
        if ended == Ended::Fin {
            let is_own = client.half_closed.is_some_and(|half_closed| half_closed < place);
            if close == Close::Said(Cause::Eof) && !is_own {
                return Err((place, "was closed as if it had sent FIN".to_owned()));
            }
            return Ok(());
        }
        let is_in_order = matches!(close, Close::Decided(_) | Close::Said(Cause::Eof | Cause::Shutdown))
            && server.failed.is_none();
        let waited = server
            .dropped
            .is_some_and(|(dropped, _)| self.ms(dropped) + SLACK_MS >= self.ms(closed) + LINGER_MS);
        let has_stalled = server.dropped.is_some_and(|(_, since)| since.is_some());
        if is_in_order && !waited && !has_stalled {
            return Err((place, format!("was closed as {close:?} and got a reset")));
        }
        Ok(())
    }

    /// If a client ends its side and no fault is in the way, the server hears of it as soon as a message can arrive.
    fn is_noticed(&self, connection: &Connection, client: &ClientSide, server: &ServerSide) -> Found {
        let own_end = client.ended.filter(|(ended, _)| matches!(ended, Ended::Closed | Ended::Crashed));
        let Some(place) = client.half_closed.or(own_end.map(|(_, place)| place)) else { return Ok(()) };
        let from_ms = self.ms(place.max(server.opened));
        let until_ms = from_ms + self.plan.network.latency_us.1.div_ceil(1_000) + SLACK_MS + 2;
        let has_trouble = self
            .entries
            .iter()
            .take_while(|entry| entry.at_ms <= until_ms)
            .any(|entry| matches!(entry.event, Event::Fault(fault) if is_trouble(fault, client)));
        // A server with too much to send or to run reads no further, and hears of nothing.
        let until = self.entries.partition_point(|entry| entry.at_ms <= until_ms) - 1;
        let is_busy = connection.is_busy(place) || connection.is_busy(until);
        if has_trouble || is_busy || !self.lives_on(server, place, until_ms) {
            return Ok(());
        }
        let closed = server.closed.map(|(_, closed)| closed);
        let noticed = [server.fin, server.failed, closed].into_iter().flatten().min();
        if noticed.is_some_and(|noticed| self.ms(noticed) <= until_ms) {
            return Ok(());
        }
        Err((place, format!("has ended its side, and by {until_ms} ms the server had not noticed")))
    }

    /// Whether the server's process was still running at a time after this place.
    fn lives_on(&self, server: &ServerSide, place: Place, beyond_ms: u32) -> bool {
        let goes_on = self.entries.last().is_some_and(|last| last.at_ms > beyond_ms + 1);
        let end = self.history.ends.get(&server.life);
        goes_on && end.is_none_or(|end| *end > place && self.ms(*end) > beyond_ms + 1)
    }
}

/// Whether a fault can keep a client's messages from the server.
fn is_trouble(fault: Fault, client: &ClientSide) -> bool {
    let is_in_the_way = matches!(
        fault,
        Fault::CutOff(_) | Fault::Mute(_) | Fault::Unheard(_) | Fault::Hold(_) | Fault::Slow(..)
    );
    is_in_the_way && fault.host() == Some(client.host)
}

/// Whether a fault delays messages and loses none.
const fn is_late(fault: Fault) -> bool {
    matches!(fault, Fault::Hold(_) | Fault::Slow(..))
}
