//! Getting locks and waiting for them: how waits begin and end, and what a grant is.

use super::deadlock::{Prospect, prospect};
use super::figures::MEMORY_OF_WAIT;
use super::{Reference, line};
use crate::observe::Event;
use elockd_core::{Cause, Command, Conn, Input, Kind, Verb, Wish};
use std::collections::BTreeSet;

/// A connection that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The connection that waits.
    pub conn: Conn,
    /// The lock that it waits for.
    pub kind: Kind,
    /// The lock that it waits for.
    pub name: Vec<u8>,
    /// How many holders there may be, including it. 0 is no limit. 1 for exclusive locks.
    pub limit: u32,
    /// When it began, in milliseconds.
    pub began: u64,
    /// When it ends at the latest, in milliseconds.
    pub deadline: u64,
}

impl Wait {
    /// The lock that it is for.
    #[must_use]
    pub fn lock(&self) -> (Kind, Vec<u8>) {
        (self.kind, self.name.clone())
    }

    /// Whether it may become a holder beside `holders` others.
    #[must_use]
    pub fn fits(&self, holders: usize) -> bool {
        self.limit == 0 || holders < self.limit as usize
    }

    /// The reply if it is not granted.
    fn failure(&self, how: &str) -> Vec<u8> {
        line(&format!("0 {} Get {how}: ", word(self.kind)), &self.name)
    }

    fn verb(&self) -> &'static str {
        if self.kind == Kind::Exclusive { "gw" } else { "sgw" }
    }
}

impl Reference {
    /// All waits, in the order in which they began.
    #[must_use]
    pub fn waits(&self) -> &[Wait] {
        &self.waits
    }

    /// Whether a connection waits.
    #[must_use]
    pub fn is_waiting(&self, conn: Conn) -> bool {
        self.waits.iter().any(|wait| wait.conn == conn)
    }

    /// The waits for a lock, from the head of its line.
    #[must_use]
    pub fn line(&self, kind: Kind, name: &[u8]) -> Vec<&Wait> {
        self.waits.iter().filter(|wait| wait.kind == kind && wait.name == name).collect()
    }

    /// How long each wait lasted that is over, in milliseconds.
    #[must_use]
    pub fn waited(&self) -> &[(Kind, u64)] {
        &self.waited
    }

    /// How many waits were refused because it would have taken too long to find out about them.
    #[must_use]
    pub fn searches_refused(&self) -> u64 {
        self.counts.get("searches_refused").copied().unwrap_or(0)
    }

    /// `g`, `sg`, `gw`, `sgl`, `sgw`.
    pub(super) fn get(&mut self, conn: Conn, wish: &Wish<Vec<u8>>) -> Event {
        let (kind, name, limit, ms) = (wish.kind(), wish.name(), wish.limit(), wish.ms());
        if self.draining {
            return Event::Sent(conn, line("0 Shutting Down", b""));
        }
        let deadline = self.now.saturating_add(ms.unwrap_or(0).into());
        let wait = Wait { conn, kind, name: name.clone(), limit, began: self.now, deadline };
        let holders = self.holders(kind, name);
        if !self.since.contains_key(&(kind, name.clone(), conn)) {
            if self.has_too_many_locks(conn) {
                return Event::Sent(conn, line("0 Too Many Locks: ", name));
            }
            let is_old_and_shared = wish.verb() == Verb::SharedGet;
            let is_free = wait.fits(holders.len()) && self.line(kind, name).is_empty();
            if !is_free && !is_old_and_shared {
                return match ms {
                    None => Event::Sent(conn, wait.failure("Failure")),
                    // True for 0 ms, and at the end of time.
                    Some(_) if deadline == self.now => Event::Sent(conn, wait.failure("Timeout")),
                    Some(_) => self.wait(wait),
                };
            }
            let more =
                Self::memory_of_lock(name, holders.len() + 1) - Self::memory_of_lock(name, holders.len());
            if !self.has_memory(more) {
                return Event::Sent(conn, line("0 Out Of Memory: ", name));
            }
            self.hold(conn, kind, name);
            self.note_memory();
        }
        Event::Sent(conn, self.got(kind, name))
    }

    fn has_too_many_locks(&self, conn: Conn) -> bool {
        let account = self.accounts[&conn];
        let own = self.held.get(&conn).copied().unwrap_or(0);
        let of_account = self.held_by_account.get(&account).copied().unwrap_or(0);
        let limits = &self.config.limits;
        own >= limits.locks_per_connection as usize
            || of_account + self.waits_of_account(conn) >= limits.locks as usize
    }

    fn waits_of_account(&self, conn: Conn) -> usize {
        let account = self.accounts[&conn];
        self.waits.iter().filter(|wait| self.accounts[&wait.conn] == account).count()
    }

    /// Begins a wait, or refuses it.
    fn wait(&mut self, wait: Wait) -> Event {
        let limits = &self.config.limits;
        match prospect(&self.locks, &self.waits, &wait, limits.step_holds as usize) {
            Prospect::Served => {}
            Prospect::Never => return Event::Sent(wait.conn, wait.failure("Deadlock")),
            Prospect::Unknown => {
                self.count("searches_refused");
                return Event::Sent(wait.conn, wait.failure("Queue Full"));
            }
        }
        if self.waits_of_account(wait.conn) >= limits.waiters as usize
            || self.line(wait.kind, &wait.name).len() >= limits.waiters_per_name as usize
        {
            return Event::Sent(wait.conn, wait.failure("Queue Full"));
        }
        if !self.has_memory(MEMORY_OF_WAIT) {
            return Event::Sent(wait.conn, line("0 Out Of Memory: ", &wait.name));
        }
        self.count("waits");
        let conn = wait.conn;
        self.waits.push(wait);
        self.note_peak("peak_waiters", self.waits.len());
        self.note_memory();
        Event::Waits(conn)
    }

    /// Ends the waits that are due, the earliest deadline first.
    pub(super) fn time_out(&mut self) -> Vec<Event> {
        let mut due: Vec<Wait> =
            self.waits.iter().filter(|wait| wait.deadline <= self.now).cloned().collect();
        // A stable sort: of equal deadlines, the wait that began first stays first.
        due.sort_by_key(|wait| wait.deadline);
        due.into_iter().map(|wait| self.end_wait(&wait, "waits_timed_out", wait.failure("Timeout"))).collect()
    }

    /// Ends every wait, because nothing is granted any more.
    pub(super) fn drain(&mut self) -> Vec<Event> {
        self.draining = true;
        let waits = self.waits.clone();
        let end = |wait: &Wait| self.end_wait(wait, "waits_drained", line("0 Shutting Down", b""));
        waits.iter().map(end).collect()
    }

    /// Ends the wait of a connection that ends. After a FIN it gets a reply.
    pub(super) fn hang_up(&mut self, conn: Conn, cause: Cause) -> Option<Event> {
        let wait = self.waits.iter().find(|wait| wait.conn == conn)?.clone();
        if cause == Cause::Eof {
            return Some(self.end_wait(&wait, "waits_timed_out", wait.failure("Timeout")));
        }
        self.forget_wait(&wait);
        None
    }

    /// Grants every wait whose turn it is, in the order in which the waits began.
    pub(super) fn grant(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let next = |of: &Self| {
            let mut lines = BTreeSet::new();
            let mut heads = of.waits.iter().filter(|wait| lines.insert(wait.lock()));
            heads.find(|wait| wait.fits(of.holders(wait.kind, &wait.name).len())).cloned()
        };
        while let Some(wait) = next(self) {
            self.hold(wait.conn, wait.kind, &wait.name);
            let text = self.got(wait.kind, &wait.name);
            events.push(self.end_wait(&wait, "waits_granted", text));
            self.note_memory();
        }
        events
    }

    /// Ends a wait with a reply. The connection's idle time begins anew.
    fn end_wait(&mut self, wait: &Wait, counted: &'static str, text: Vec<u8>) -> Event {
        self.forget_wait(wait);
        self.count(counted);
        self.touch(wait.conn);
        self.note_failure(wait.verb(), &text);
        Event::Sent(wait.conn, text)
    }

    pub(super) fn forget_wait(&mut self, wait: &Wait) {
        self.waits.retain(|other| other != wait);
        self.waited.push((wait.kind, self.now - wait.began));
    }

    fn got(&self, kind: Kind, name: &[u8]) -> Vec<u8> {
        let holders = self.holders(kind, name).len();
        line(&format!("{holders} {} Get Success: ", word(kind)), name)
    }

    /// Finds a deadlock by trying, without the definition. The wait begins in any case. Then every session ends, and
    /// every connection that does not wait releases all it holds, again and again. Time does not pass meanwhile.
    #[must_use]
    pub fn is_stuck_whatever_others_do(&self, conn: Conn, kind: Kind, name: &[u8], limit: u32) -> bool {
        let mut world = self.clone();
        let (began, deadline) = (world.now, u64::MAX);
        world.waits.push(Wait { conn, kind, name: name.to_vec(), limit, began, deadline });
        world.end_all_sessions();
        world.grant();
        while world.is_waiting(conn) {
            let free = |client: &&super::Client| {
                !world.is_waiting(client.conn) && world.holds(|_, holder| holder == client.conn) > 0
            };
            let Some(next) = world.open.iter().find(free).map(|client| client.conn) else { return true };
            world.apply(elockd_core::Now(began), &Input::Command(next, Command::ReleaseAll));
        }
        false
    }
}

pub(super) fn word(kind: Kind) -> &'static str {
    if kind == Kind::Exclusive { "Lock" } else { "Shared Lock" }
}
