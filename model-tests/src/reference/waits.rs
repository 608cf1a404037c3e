//! Getting locks, and waiting for them: who gets in line, who leaves it and how, and what a grant is.

use super::deadlock::would_be_for_ever;
use super::{Reference, line};
use crate::observe::Event;
use elockd_core::{Cause, Command, Conn, Input, Kind, Verb, Wish};

/// A connection that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who waits.
    pub conn: Conn,
    /// For what.
    pub kind: Kind,
    /// For what.
    pub name: Vec<u8>,
    /// How many holders there may be then, it included; 0 is no limit. 1 for exclusive locks.
    pub limit: u32,
    /// Since when, in milliseconds.
    pub began: u64,
    /// When it ends at the latest.
    pub deadline: u64,
}

impl Wait {
    /// The lock that it is for.
    #[must_use]
    pub fn lock(&self) -> (Kind, Vec<u8>) {
        (self.kind, self.name.clone())
    }

    /// Whether it may become a holder beside so many others.
    #[must_use]
    pub fn fits(&self, holders: usize) -> bool {
        self.limit == 0 || holders < self.limit as usize
    }

    /// What it is answered when it comes to nothing.
    fn failure(&self, how: &str) -> Vec<u8> {
        line(&format!("0 {} Get {how}: ", word(self.kind)), &self.name)
    }

    fn verb(&self) -> &'static str {
        if self.kind == Kind::Exclusive { "gw" } else { "sgw" }
    }
}

impl Reference {
    /// Everything that is waited for, in the order in which the waits began.
    #[must_use]
    pub fn waits(&self) -> &[Wait] {
        &self.waits
    }

    /// Whether a connection waits.
    #[must_use]
    pub fn is_waiting(&self, conn: Conn) -> bool {
        self.waits.iter().any(|wait| wait.conn == conn)
    }

    /// Who waits for a lock, in line.
    #[must_use]
    pub fn line(&self, kind: Kind, name: &[u8]) -> Vec<&Wait> {
        self.waits.iter().filter(|wait| wait.kind == kind && wait.name == name).collect()
    }

    /// How long each wait lasted that is over, in milliseconds.
    #[must_use]
    pub fn waited(&self) -> &[(Kind, u64)] {
        &self.waited
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
        if !holders.contains(&conn) {
            if self.has_too_many_locks(conn) {
                return Event::Sent(conn, line("0 Too Many Locks: ", name));
            }
            let is_old_and_shared = wish.verb() == Verb::SharedGet;
            let is_free = wait.fits(holders.len()) && self.line(kind, name).is_empty();
            if !is_free && !is_old_and_shared {
                return match ms {
                    None => Event::Sent(conn, wait.failure("Failure")),
                    // Also where time ends, and nothing lies ahead.
                    Some(_) if deadline == self.now => Event::Sent(conn, wait.failure("Timeout")),
                    Some(_) => self.wait(wait),
                };
            }
            self.hold(conn, kind, name);
        }
        Event::Sent(conn, self.got(kind, name))
    }

    fn has_too_many_locks(&self, conn: Conn) -> bool {
        let account = self.client(conn).origin.account;
        let own = self.holds(|_, holder| holder == conn);
        let of_account = self.holds(|_, holder| self.client(holder).origin.account == account);
        let limits = &self.config.limits;
        own >= limits.locks_per_connection as usize
            || of_account + self.waits_of_account(conn) >= limits.locks as usize
    }

    fn waits_of_account(&self, conn: Conn) -> usize {
        let account = self.client(conn).origin.account;
        self.waits.iter().filter(|wait| self.client(wait.conn).origin.account == account).count()
    }

    /// Begins a wait, unless it may not.
    fn wait(&mut self, wait: Wait) -> Event {
        if would_be_for_ever(&self.locks, &self.waits, &wait) {
            return Event::Sent(wait.conn, wait.failure("Deadlock"));
        }
        let limits = &self.config.limits;
        if self.waits_of_account(wait.conn) >= limits.waiters as usize
            || self.line(wait.kind, &wait.name).len() >= limits.waiters_per_name as usize
        {
            return Event::Sent(wait.conn, wait.failure("Queue Full"));
        }
        self.count("waits");
        let conn = wait.conn;
        self.waits.push(wait);
        Event::Waits(conn)
    }

    /// Ends the waits that are due, the one with the oldest deadline first.
    pub(super) fn time_out(&mut self) -> Vec<Event> {
        let mut due: Vec<Wait> =
            self.waits.iter().filter(|wait| wait.deadline <= self.now).cloned().collect();
        // Of two with the same deadline the one that began earlier stays in front.
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

    /// The connection's own end comes while it waits: after a FIN it is told.
    pub(super) fn hang_up(&mut self, conn: Conn, cause: Cause) -> Option<Event> {
        let wait = self.waits.iter().find(|wait| wait.conn == conn)?.clone();
        if cause == Cause::Eof {
            return Some(self.end_wait(&wait, "waits_timed_out", wait.failure("Timeout")));
        }
        self.forget_wait(&wait);
        None
    }

    /// Makes a holder of everyone whose turn it is, in the order in which they began to wait.
    pub(super) fn grant(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let is_next = |of: &Self, wait: &&Wait| {
            let is_head = of.line(wait.kind, &wait.name)[0] == *wait;
            is_head && wait.fits(of.holders(wait.kind, &wait.name).len())
        };
        while let Some(wait) = self.waits.iter().find(|wait| is_next(self, wait)).cloned() {
            self.hold(wait.conn, wait.kind, &wait.name);
            let text = self.got(wait.kind, &wait.name);
            events.push(self.end_wait(&wait, "waits_granted", text));
        }
        events
    }

    /// Ends a wait with a reply. From now on its connection is as idle as if it had just said something.
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

    /// A deadlock told by doing it, without the definition: the wait begins whatever comes of it, and then
    /// everybody who does not wait releases all it holds, again and again. Time stands still meanwhile.
    #[must_use]
    pub fn is_stuck_whatever_others_do(&self, conn: Conn, kind: Kind, name: &[u8], limit: u32) -> bool {
        let mut world = self.clone();
        let (began, deadline) = (world.now, u64::MAX);
        world.waits.push(Wait { conn, kind, name: name.to_vec(), limit, began, deadline });
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
