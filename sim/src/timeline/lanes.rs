//! The lane of one connection: when each side of it lived, what it held (in rows that do not overlap), and what it
//! sent and received.

use super::ends;
use super::holds::{HoldEnd, Holds, Id, NamedLock, WaitEnd};
use super::lives::{LifeEnd, LifeSpan, find};
use super::marks::{self, Mark};
use super::picture::Span;
use crate::history::{ClientSide, Connection, Place, ServerSide};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The numbers of locks.
pub(super) type Numbers<'a> = BTreeMap<NamedLock<'a>, usize>;

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    /// Its client's name, if the log has one.
    pub(super) name: Option<String>,
    pub(super) addr: SocketAddr,
    /// The server's name for it.
    pub(super) id: Option<Id>,
    /// The client's side of it.
    pub(super) client: Option<Span>,
    /// The server's side.
    pub(super) server: Option<Span>,
    /// How it ended, in a word, and the position of that word.
    pub(super) end: Option<(Place, String)>,
    /// Its whole story.
    pub(super) story: Vec<(Place, String)>,
    pub(super) bars: Vec<Bar>,
    pub(super) waits: Vec<Bar<WaitEnd>>,
    /// The number of rows that its bars need.
    pub(super) rows: usize,
    pub(super) marks: Vec<Mark>,
    /// Whether the violation is about it.
    pub(super) is_violated: bool,
}

/// A hold, or a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar<End = HoldEnd> {
    /// The lock's number.
    pub(super) lock: usize,
    pub(super) span: Span,
    pub(super) end: End,
    pub(super) row: usize,
}

impl Lane {
    /// The lanes of a run that ends at this place.
    pub(super) fn new(
        connection: &Connection,
        lives: &[LifeSpan],
        holds: &Holds<'_>,
        numbers: &Numbers<'_>,
        end: Place,
    ) -> Self {
        let life = connection.server.as_ref().and_then(|server| find(lives, server.life));
        let is_server_dead = life.is_some_and(|life| life.end != LifeEnd::Lasts);
        let client = connection.client.as_ref().map(|client| client_span(client, end));
        let server = connection
            .server
            .as_ref()
            .map(|server| server_span(server, life.map_or(end, |life| life.span.to)));
        let id = connection.server.as_ref().map(|server| (server.life, server.conn));
        let (bars, waits, rows) = bars(id, holds, numbers);
        let mut marks: Vec<_> = connection.client.iter().flat_map(marks::of_client).collect();
        let refused = id.and_then(|id| holds.refused.get(&id)).into_iter().flatten();
        marks.extend(refused.map(|refused| marks::of_refused(refused, numbers[&refused.lock])));
        let ends = [client, server].into_iter().flatten().map(|span| span.to).filter(|to| *to < end);
        let last = ends.max();
        Self {
            name: connection.client.as_ref().map(|client| client.client.to_string()),
            addr: connection.addr,
            id,
            client,
            server,
            end: last.zip(ends::word(connection, is_server_dead)),
            story: story(connection, life),
            bars,
            waits,
            rows,
            marks,
            is_violated: false,
        }
    }

    /// Where it begins.
    pub(super) fn from(&self) -> Place {
        [self.client, self.server].into_iter().flatten().map(|span| span.from).min().unwrap_or_default()
    }
}

fn client_span(client: &ClientSide, end: Place) -> Span {
    Span { from: client.connected, to: client.ended.map_or(end, |(_, at)| at) }
}

fn server_span(server: &ServerSide, life_end: Place) -> Span {
    Span { from: server.opened, to: server.closed.map_or(life_end, |(_, at)| at) }
}

/// The story of a connection, step by step.
fn story(connection: &Connection, life: Option<&LifeSpan>) -> Vec<(Place, String)> {
    let mut story = Vec::new();
    if let Some(client) = &connection.client {
        story.push((
            client.connected,
            format!("{} is connected from {}, {}", client.client, client.host, connection.addr),
        ));
        story.extend(client.half_closed.map(|at| (at, "the client sends FIN".to_owned())));
        story.extend(
            client
                .ended
                .map(|(ended, at)| (at, format!("the client's side is over: {}", ends::client_word(ended)))),
        );
    }
    if let Some(server) = &connection.server {
        story.push((server.opened, format!("the server has it as connection {}", server.conn.serial())));
        match (server.closed, life) {
            (Some((close, at)), _) => {
                story.push((at, format!("the server's side is over: {}", ends::server_word(close))));
            }
            (None, Some(life)) if life.end != LifeEnd::Lasts => {
                story.push((life.span.to, "the server's life is over".to_owned()));
            }
            (None, _) => {}
        }
    }
    story.sort_by_key(|(at, _)| *at);
    story
}

/// The holds and waits of a connection. Each stands in the first row that is free: if possible in the row of the last
/// hold of the same lock, or of the last wait for it.
fn bars(id: Option<Id>, holds: &Holds<'_>, numbers: &Numbers<'_>) -> (Vec<Bar>, Vec<Bar<WaitEnd>>, usize) {
    let Some(id) = id else { return Default::default() };
    let held = holds.holds.get(&id).into_iter().flatten();
    let held = held.map(|hold| (hold.span, numbers[&hold.lock], Ok(hold.end)));
    let waited = holds.waits.get(&id).into_iter().flatten();
    let waited = waited.map(|wait| (wait.span, numbers[&wait.lock], Err(wait.end)));
    let mut all: Vec<_> = held.chain(waited).collect();
    all.sort_by_key(|(span, ..)| span.from);
    let mut rows: Vec<Place> = Vec::new();
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    let (mut bars, mut waits) = (Vec::new(), Vec::new());
    for (span, lock, end) in all {
        let is_free = |row: &usize| rows[*row] <= span.from;
        let usual = last.get(&lock).copied().filter(is_free);
        let row = usual.or_else(|| (0..rows.len()).find(is_free)).unwrap_or(rows.len());
        if row == rows.len() {
            rows.push(0);
        }
        rows[row] = span.to;
        last.insert(lock, row);
        match end {
            Ok(end) => bars.push(Bar { lock, span, end, row }),
            Err(end) => waits.push(Bar { lock, span, end, row }),
        }
    }
    (bars, waits, rows.len())
}
