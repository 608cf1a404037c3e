//! Holds as clients see them: from a success that was read to a release that was sent, or to an end that was seen.

use crate::cluster::happenings::Happenings;
use crate::cluster::history::{ClientConn, ClientHistory, Point};
use elockd_core::{Command, Kind, Reply};
use elockd_model_tests::reference::line_of;

/// A hold.
#[derive(Clone, Debug)]
pub(super) struct SeenHold {
    pub(super) conn: usize,
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) from: Point,
    /// It is over at this place, and at this time.
    pub(super) until: Point,
}

impl SeenHold {
    /// The lock: one of readers and writers is one.
    pub(super) fn lock(&self) -> (Kind, &[u8]) {
        (line_of(self.kind), &self.name)
    }

    /// Whether both were at the same time.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (from, until) = (self.from.max(other.from), self.until.place.min(other.until.place));
        from.place < until && self.from.ms.max(other.from.ms) < self.until.ms.min(other.until.ms)
    }
}

/// All holds, connection by connection. Whose node lost power hears of no end: there the client's own lease counts,
/// which runs from the sending of its last request that was answered.
pub(super) fn seen(history: &ClientHistory, happenings: &Happenings) -> Vec<SeenHold> {
    let never = Point { place: usize::MAX, ms: u32::MAX };
    let mut holds = Vec::new();
    for (number, conn) in history.conns.iter().enumerate() {
        let mut end = conn.ended.map_or(never, |(at, _)| at);
        if happenings.lost_power(conn.node, conn.opened.ms, end.ms) {
            end.ms = end.ms.min(lease_ends_ms(conn));
        }
        // A node that shuts down releases what its connections hold as it closes them: both are on their way at once.
        if let Some(ms) = happenings.leaves(conn.node, conn.opened.ms) {
            end.ms = end.ms.min(ms);
        }
        for mut hold in of(number, conn, never) {
            hold.until = Point { place: hold.until.place.min(end.place), ms: hold.until.ms.min(end.ms) };
            holds.push(hold);
        }
    }
    holds
}

/// When the client's own lease is over.
fn lease_ends_ms(conn: &ClientConn) -> u32 {
    let mut answered = conn.requests.iter().filter(|asked| asked.answer.is_some());
    answered.next_back().map_or(0, |asked| asked.sent.ms + super::LEASE_MS)
}

/// The holds of a connection, as if it never ended.
fn of(number: usize, conn: &ClientConn, never: Point) -> Vec<SeenHold> {
    let mut holds: Vec<SeenHold> = Vec::new();
    let end = |holds: &mut Vec<SeenHold>, at: Point, is_it: &dyn Fn(&SeenHold) -> bool| {
        for hold in holds.iter_mut().filter(|hold| hold.until == never && is_it(hold)) {
            hold.until = at;
        }
    };
    // Requests of a connection are answered in order, so what was sent later ends what was answered earlier.
    for asked in &conn.requests {
        match &asked.command {
            Command::Release(kind, name) => {
                end(&mut holds, asked.sent, &|hold| hold.kind == *kind && hold.name == *name);
            }
            Command::ReleaseAll => end(&mut holds, asked.sent, &|_| true),
            // A reader that asks to write may be one no more before it knows.
            Command::Get(wish) if wish.kind() == Kind::Read || wish.kind() == Kind::Write => {
                let is_change = |hold: &SeenHold| {
                    hold.name == *wish.name() && line_of(hold.kind) == Kind::Write && hold.kind != wish.kind()
                };
                end(&mut holds, asked.sent, &is_change);
            }
            _ => {}
        }
        let Some((_, at)) = &asked.answer else { continue };
        let Some(Reply::Got { kind, name, .. } | Reply::Fenced { kind, name, .. }) = asked.reply() else {
            continue;
        };
        let is_known = |hold: &SeenHold| hold.until == never && hold.kind == kind && hold.name == name;
        if !holds.iter().any(is_known) {
            holds.push(SeenHold { conn: number, kind, name: name.to_vec(), from: *at, until: never });
        }
    }
    holds
}
