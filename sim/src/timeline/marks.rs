//! What a connection sent and received, as marks on its lane: one for each write, and for each read that completed a
//! reply, with the whole text.

use super::holds::Refused;
use super::html::some_lines;
use crate::history::{ClientSide, Place};
use crate::log::spoken;
use std::collections::BTreeMap;

/// A mark at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: Place,
    pub(super) kind: MarkKind,
    pub(super) text: String,
    /// The number of the lock that it is about.
    pub(super) lock: Option<usize>,
}

/// What a mark shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkKind {
    /// Requests that were sent.
    Asked,
    /// Replies that were read.
    Answered,
    /// A get that was refused.
    Refused,
    /// FIN that was sent by a client that goes on reading.
    HalfClosed,
}

/// The marks of what a client sent and received.
pub(super) fn of_client(client: &ClientSide) -> Vec<Mark> {
    let mut asked: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    let mut answered: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for request in &client.requests {
        let line = spoken(&request.command);
        let none = if request.answer.is_none() { "   (no answer)" } else { "" };
        asked.entry(request.sent).or_default().push(format!("> {line}{none}"));
        if let Some((bytes, at)) = &request.answer {
            answered.entry(*at).or_default().push(format!("< {}", reply(bytes)));
        }
    }
    let name = client.client;
    let marks = |kind, verb, some: BTreeMap<Place, Vec<String>>| {
        some.into_iter().map(move |(at, lines)| {
            let text = format!("{name} {verb}\n{}", some_lines(&lines));
            Mark { at, kind, text, lock: None }
        })
    };
    let half_closed = client.half_closed.map(|at| {
        let text = format!("{name} sends FIN and reads on");
        Mark { at, kind: MarkKind::HalfClosed, text, lock: None }
    });
    marks(MarkKind::Asked, "asks", asked)
        .chain(marks(MarkKind::Answered, "hears", answered))
        .chain(half_closed)
        .collect()
}

/// The mark of a refused get of the lock with this number.
pub(super) fn of_refused(refused: &Refused<'_>, lock: usize) -> Mark {
    let text = format!("refused: {}\n< {}", spoken(refused.command), reply(refused.reply));
    Mark { at: refused.at, kind: MarkKind::Refused, text, lock: Some(lock) }
}

/// A reply without its line end; shortened if it is long.
fn reply(bytes: &[u8]) -> String {
    const MOST: usize = 120;
    let bytes = bytes.trim_ascii_end();
    let shown = bytes.get(..MOST).unwrap_or(bytes);
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{}{more}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;
    use crate::log::Event;
    use crate::script::Client;
    use crate::timeline::scene::Scene;

    #[test]
    fn a_write_is_one_mark_and_a_read_is_one_mark() {
        let mut scene = Scene::new();
        scene.open(1, 0);
        let sent = scene.note(Event::Sent(Client(1), b"g a\nping\nq".to_vec()));
        scene.apply(1, b"g a", b"1 Lock Get Success: a\n");
        let read = scene.note(Event::Received(Client(1), b"1 Lock Get Success: a\n".to_vec()));
        let fin = scene.note(Event::HalfClosed(Client(1)));
        let (plan, report) = scene.report();
        let history = History::new(&plan, &report.entries);
        let marks = of_client(history.connections[0].client.as_ref().unwrap());
        let text = |text: &str| text.to_owned();
        let mark = |at, kind, text| Mark { at, kind, text, lock: None };
        let expected = [
            mark(sent, MarkKind::Asked, text("c1 asks\n> g a\n> ping   (no answer)")),
            mark(read, MarkKind::Answered, text("c1 hears\n< 1 Lock Get Success: a")),
            mark(fin, MarkKind::HalfClosed, text("c1 sends FIN and reads on")),
        ];
        assert_eq!(marks, expected);
    }

    #[test]
    fn long_replies_are_cut() {
        assert_eq!(reply(b"1 pong\n"), "1 pong");
        assert_eq!(reply(b"a\nb\n\n"), "a\\nb");
        assert_eq!(reply(&[b'x'; 200]).len(), 120 + "…".len());
    }
}
