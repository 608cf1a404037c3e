//! What clients saw: their connections, what they sent, what they were answered, and how each connection ended. Judges
//! go by this alone, and by what was done to the world.

use super::marks::ClusterMarks;
use elockd_core::{Command, Reply};
use std::net::SocketAddr;

/// A point in a run. Places are in the order in which things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) place: usize,
    /// Milliseconds since the run began.
    pub(super) ms: u32,
}

/// How a connection ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeenEnd {
    /// The node closed it.
    Closed,
    /// It said `0 No Quorum`.
    NoQuorum,
    /// The client closed it.
    Dropped,
    /// The client gave it up, because nothing was answered for long.
    GivenUp,
}

/// A request of a client.
#[derive(Clone, Debug)]
pub(super) struct ClientAsked {
    pub(super) command: Command<Vec<u8>>,
    pub(super) sent: Point,
    pub(super) answer: Option<(String, Point)>,
}

impl ClientAsked {
    /// The answer, read.
    pub(super) fn reply(&self) -> Option<Reply<'_>> {
        self.answer.as_ref().and_then(|(text, _)| Reply::read(text.as_bytes()))
    }
}

/// The longest that a request may wait, in milliseconds.
pub(super) fn waits_ms(command: &Command<Vec<u8>>) -> u32 {
    match command {
        Command::Get(wish) => wish.ms().unwrap_or(0),
        Command::AwaitEnd { ms, .. } => *ms,
        _ => 0,
    }
}

/// A connection of a client.
#[derive(Clone, Debug)]
pub(super) struct ClientConn {
    pub(super) client: u8,
    /// The node that it is connected to.
    pub(super) node: u16,
    pub(super) address: SocketAddr,
    pub(super) opened: Point,
    pub(super) requests: Vec<ClientAsked>,
    pub(super) ended: Option<(Point, SeenEnd)>,
}

/// All that clients saw.
#[derive(Debug, Default)]
pub(super) struct ClientHistory {
    pub(super) conns: Vec<ClientConn>,
    now_ms: u32,
    places: usize,
}

impl ClientHistory {
    pub(super) fn set_time(&mut self, now_ms: u32) {
        self.now_ms = now_ms;
    }

    pub(super) fn now(&self) -> Point {
        Point { place: self.places, ms: self.now_ms }
    }

    fn next(&mut self) -> Point {
        self.places += 1;
        self.now()
    }

    /// A client has connected. Returns the number of the connection.
    pub(super) fn opened(&mut self, client: u8, node: u16, address: SocketAddr) -> usize {
        let opened = self.next();
        self.conns.push(ClientConn { client, node, address, opened, requests: Vec::new(), ended: None });
        self.conns.len() - 1
    }

    /// A client is about to send a request. Returns the number of the request.
    pub(super) fn sends(&mut self, conn: usize, command: Command<Vec<u8>>) -> usize {
        let sent = self.next();
        let requests = &mut self.conns[conn].requests;
        requests.push(ClientAsked { command, sent, answer: None });
        requests.len() - 1
    }

    /// A client has read an answer.
    pub(super) fn answered(&mut self, conn: usize, request: usize, text: &str) {
        let at = self.next();
        self.conns[conn].requests[request].answer = Some((text.to_owned(), at));
    }

    /// A client has seen the end of a connection, or ends it. Only the first end counts.
    pub(super) fn ended(&mut self, conn: usize, how: SeenEnd) {
        let at = self.next();
        self.conns[conn].ended.get_or_insert((at, how));
    }

    /// Counts what clients saw.
    pub(super) fn count(&self, marks: &mut ClusterMarks) {
        /// A get that took longer has waited.
        const WAITED_MS: u32 = 20;
        for conn in &self.conns {
            match conn.ended {
                Some((_, SeenEnd::NoQuorum)) => marks.no_quorum += 1,
                Some((_, SeenEnd::Closed)) => marks.closed_connections += 1,
                _ => {}
            }
            for asked in &conn.requests {
                let Some((_, at)) = &asked.answer else { continue };
                marks.answers += 1;
                match asked.reply() {
                    Some(Reply::Got { .. }) => {
                        marks.gets += 1;
                        marks.waits += u64::from(at.ms - asked.sent.ms > WAITED_MS);
                    }
                    Some(Reply::Resumed { .. }) => marks.resumed += 1,
                    _ => {}
                }
            }
        }
    }

    /// Everything in words, a line for each thing that happened, in order.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<(Point, String)> = Vec::new();
        for (number, conn) in self.conns.iter().enumerate() {
            let ClientConn { client, node, opened, requests, ended, address } = conn;
            lines.push((
                *opened,
                format!("#{number}: client {client} connects to node {node} from {address}"),
            ));
            for (nth, asked) in requests.iter().enumerate() {
                let line = asked.command.line();
                let line = line.trim_ascii_end().escape_ascii();
                lines.push((asked.sent, format!("#{number} asks {nth}: {line}")));
                if let Some((text, at)) = &asked.answer {
                    lines.push((*at, format!("#{number} is answered {nth}: {}", text.trim_end())));
                }
            }
            if let Some((at, how)) = ended {
                lines.push((*at, format!("#{number} ends: {how:?}")));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(at, line)| format!("{:>6} ms {line}", at.ms)).collect()
    }
}
