//! Getting locks and waiting for them: how waits begin and end, and what a grant is.

use super::accounts::{memory_of_own_hold, memory_of_own_wait};
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
    /// How many holders there may be, including it. 0 is no limit. 1 for exclusive locks and for writers.
    pub limit: u32,
    /// If it is for the end of the holds that there were: whose of these there still are.
    pub still: Option<Vec<Conn>>,
    /// When it began, in milliseconds.
    pub began: u64,
    /// When it ends at the latest, in milliseconds.
    pub deadline: u64,
}

impl Wait {
    /// The lock whose line it is in. Readers and writers stand in one line: it is the writers'.
    #[must_use]
    pub fn lock(&self) -> (Kind, Vec<u8>) {
        (line_of(self.kind), self.name.clone())
    }

    /// Whether it may become a holder beside `holders` others of its kind, and so many `rivals`.
    #[must_use]
    pub fn fits(&self, holders: usize, rivals: usize) -> bool {
        self.still.is_none() && rivals == 0 && (self.limit == 0 || holders < self.limit as usize)
    }

    /// The reply if it is not granted.
    fn failure(&self, how: &str) -> Vec<u8> {
        let what = if self.still.is_none() { "Get" } else { "Wait" };
        line(&format!("0 {} {what} {how}: ", word(self.kind)), &self.name)
    }

    fn verb(&self) -> &'static str {
        match (self.kind, self.still.is_none()) {
            (Kind::Exclusive, true) => "gw",
            (Kind::Exclusive, false) => "iw",
            (Kind::Shared, true) => "sgw",
            (Kind::Shared, false) => "siw",
            (Kind::Read, _) => "rgw",
            (Kind::Write, _) => "wgw",
        }
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

    /// The waits for a lock, from the head of its line. It is the same for readers and writers.
    #[must_use]
    pub fn line(&self, kind: Kind, name: &[u8]) -> Vec<&Wait> {
        let waits = self.waits_for(kind, name);
        waits.into_iter().filter(|wait| wait.still.is_none()).collect()
    }

    /// The waits for the end of a lock, in the order in which they began.
    #[must_use]
    pub fn ends(&self, kind: Kind, name: &[u8]) -> Vec<&Wait> {
        let waits = self.waits_for(kind, name);
        waits.into_iter().filter(|wait| wait.still.is_some()).collect()
    }

    fn waits_for(&self, kind: Kind, name: &[u8]) -> Vec<&Wait> {
        self.waits.iter().filter(|wait| wait.lock() == (line_of(kind), name.to_vec())).collect()
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

    /// `g`, `sg`, `gw`, `sgl`, `sgw`, `rg`, `rgw`, `wg`, `wgw`.
    pub(super) fn get(&mut self, conn: Conn, wish: &Wish<Vec<u8>>) -> Event {
        let (kind, name, limit, ms) = (wish.kind(), wish.name(), wish.limit(), wish.ms());
        if self.draining.contains(&conn.node()) {
            return Event::Sent(conn, line("0 Shutting Down", b""));
        }
        let deadline = self.now.saturating_add(ms.unwrap_or(0).into());
        let wait = Wait { conn, kind, name: name.clone(), limit, still: None, began: self.now, deadline };
        let holders = self.holders(kind, name);
        let rivals = rival(kind).map_or(&[][..], |rival| self.holders(rival, name));
        if let Some(rival) = rival(kind).filter(|_| rivals.contains(&conn)) {
            // It goes on holding the lock, in another way. A reader beside others cannot.
            if kind == Kind::Write && rivals.len() > 1 {
                return Event::Sent(conn, wait.failure("Failure"));
            }
            self.end_hold(conn, rival, name);
            self.hold(conn, kind, name);
            self.count("changes");
            return Event::Sent(conn, self.got(kind, name));
        }
        if !self.since.contains_key(&(kind, name.clone(), conn)) {
            if self.has_too_many_locks(conn) {
                return Event::Sent(conn, line("0 Too Many Locks: ", name));
            }
            let is_old_and_shared = wish.verb() == Verb::SharedGet;
            let is_free = wait.fits(holders.len(), rivals.len()) && self.line(kind, name).is_empty();
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
            if !self.has_memory(more) || !self.account_has_memory(conn, memory_of_own_hold(name)) {
                return Event::Sent(conn, line("0 Out Of Memory: ", name));
            }
            self.hold(conn, kind, name);
            self.note_memory();
        }
        Event::Sent(conn, self.got(kind, name))
    }

    /// `iw`, `siw`.
    pub(super) fn wait_for_end(&mut self, conn: Conn, kind: Kind, ms: u32, name: &[u8]) -> Event {
        if self.draining.contains(&conn.node()) {
            return Event::Sent(conn, line("0 Shutting Down", b""));
        }
        let holders = self.holders(kind, name).to_vec();
        if holders.is_empty() {
            return Event::Sent(conn, ended(kind, name));
        }
        let deadline = self.now.saturating_add(ms.into());
        let still = Some(holders);
        let wait = Wait { conn, kind, name: name.to_vec(), limit: 0, still, began: self.now, deadline };
        // True for 0 ms, and at the end of time.
        if deadline == self.now {
            return Event::Sent(conn, wait.failure("Timeout"));
        }
        self.wait(wait)
    }

    fn has_too_many_locks(&self, conn: Conn) -> bool {
        let account = self.accounts[&conn];
        let own = self.held.get(&conn).copied().unwrap_or(0);
        let of_account = self.held_by_account.get(&account).copied().unwrap_or(0);
        let limits = &self.config.limits;
        let most = self.profile(conn).quotas.locks.unwrap_or(limits.locks);
        own >= limits.locks_per_connection as usize
            || of_account + self.waits_of_account(conn, |wait| wait.still.is_none()) >= most as usize
    }

    fn waits_of_account(&self, conn: Conn, is_wanted: impl Fn(&Wait) -> bool) -> usize {
        let account = self.accounts[&conn];
        self.waits.iter().filter(|wait| self.accounts[&wait.conn] == account && is_wanted(wait)).count()
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
        let most = self.profile(wait.conn).quotas.waiters.unwrap_or(limits.waiters);
        if self.waits_of_account(wait.conn, |_| true) >= most as usize
            || self.waits_for(wait.kind, &wait.name).len() >= limits.waiters_per_name as usize
        {
            return Event::Sent(wait.conn, wait.failure("Queue Full"));
        }
        if !self.has_memory(MEMORY_OF_WAIT)
            || !self.account_has_memory(wait.conn, memory_of_own_wait(&wait.name))
        {
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

    /// Ends every wait of a node's connections, because nothing is granted to them any more.
    pub(super) fn drain(&mut self, node: u16) -> Vec<Event> {
        self.draining.insert(node);
        let waits: Vec<Wait> = self.waits.iter().filter(|wait| wait.conn.node() == node).cloned().collect();
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
            let mut heads = of.waits.iter().filter(|wait| wait.still.is_some() || lines.insert(wait.lock()));
            let is_over = |wait: &Wait| wait.still.as_ref().is_some_and(Vec::is_empty);
            let count = |kind, wait: &Wait| of.holders(kind, &wait.name).len();
            let rivals = |wait: &Wait| rival(wait.kind).map_or(0, |kind| count(kind, wait));
            let is_next = |wait: &&Wait| is_over(wait) || wait.fits(count(wait.kind, wait), rivals(wait));
            heads.find(is_next).cloned()
        };
        while let Some(wait) = next(self) {
            if wait.still.is_some() {
                events.push(self.end_wait(&wait, "waits_granted", ended(wait.kind, &wait.name)));
                continue;
            }
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
    /// every connection that does not wait releases all it holds, again and again. Without a limit the wait is for the
    /// end of all holds. Time does not pass meanwhile.
    #[must_use]
    pub fn is_stuck_whatever_others_do(
        &self,
        conn: Conn,
        kind: Kind,
        name: &[u8],
        limit: Option<u32>,
    ) -> bool {
        let mut world = self.clone();
        let (began, deadline) = (world.now, u64::MAX);
        let still = limit.is_none().then(|| world.holders(kind, name).to_vec());
        let (name, limit) = (name.to_vec(), limit.unwrap_or(0));
        world.waits.push(Wait { conn, kind, name, limit, still, began, deadline });
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

fn ended(kind: Kind, name: &[u8]) -> Vec<u8> {
    line(&format!("1 {} Ended: ", word(kind)), name)
}

pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Exclusive => "Lock",
        Kind::Shared => "Shared Lock",
        Kind::Read => "Read Lock",
        Kind::Write => "Write Lock",
    }
}

/// The kind that a lock cannot be held in at the same time.
#[must_use]
pub fn rival(kind: Kind) -> Option<Kind> {
    match kind {
        Kind::Exclusive | Kind::Shared => None,
        Kind::Read => Some(Kind::Write),
        Kind::Write => Some(Kind::Read),
    }
}

/// The kind whose line a kind's waits stand in: readers stand among the writers.
#[must_use]
pub fn line_of(kind: Kind) -> Kind {
    if kind == Kind::Read { Kind::Write } else { kind }
}
