//! The observed state: who holds what, who waits for what, and which fencing tokens there are. It is what the machine's
//! inputs and replies imply; it looks at nothing inside the machine. A connection that was told "success" holds the
//! lock until it is told that it has released it, or until it ends. If it was told that its holds linger, they go on as
//! a session's, until the session's time is over or somebody resumes. The invariants compare the machine with this
//! state.
//!
//! The machine does what is due at the time of an input before the input itself. So the effect of an input is noted
//! only when an outcome comes that must come after it, or when all outcomes have come.

mod sessions;
mod tokens;
mod waits;

pub use sessions::{Grace, Session};
pub use tokens::Tokens;
pub use waits::{Wait, Waits};

use elockd_core::{Accounts, Cause, Command, Conn, Input, Kind, Now, Origin, Output, Reason, Reply};
use sessions::Sessions;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A lock: its name space and its name.
pub type Lock = (Kind, Vec<u8>);

/// What inputs and replies imply.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What accounts may have and see.
    accounts: Arc<Accounts>,
    /// The latest time that the machine was given.
    now: Now,
    /// Open connections and their holds.
    open: BTreeMap<Conn, BTreeSet<Lock>>,
    /// Where each open connection comes from.
    origins: BTreeMap<Conn, Origin>,
    /// The registered names of open connections.
    names: BTreeMap<Conn, Vec<u8>>,
    /// The holders of each lock, by kind. A lock without holders is not in it.
    holders: [BTreeMap<Vec<u8>, BTreeSet<Conn>>; Kind::ALL.len()],
    /// The number of holds, by kind.
    holds: [u64; Kind::ALL.len()],
    /// Holds that were released because their connection ended, by kind.
    orphans: [u64; Kind::ALL.len()],
    waits: Waits,
    sessions: Sessions,
    tokens: Tokens,
    counts: Counts,
    /// Holds that were stolen, until their old holders get the lock again.
    stolen: BTreeSet<(Conn, Lock)>,
    draining: bool,
    /// Whether sessions that are due at the time of the current input have still to end.
    sessions_are_due: bool,
    /// The effect of the current input, until it is noted.
    pending: Option<Pending>,
    /// The current command.
    asked: Option<(Conn, Command<Vec<u8>>)>,
    /// The wait that the end of its connection ended just now.
    cut_off: Option<(Lock, Wait)>,
}

/// Counters that only go up, without orphans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waits that began.
    pub waits: u64,
    /// Waits that were granted.
    pub granted: u64,
    /// Waits that timed out, or ended by a FIN.
    pub timed_out: u64,
    /// Waits that a shutdown ended.
    pub drained: u64,
    /// Waits that were refused as deadlocks.
    pub deadlocks: u64,
    /// Waits that were refused because too many wait.
    pub queue_full: u64,
    /// Holds that ended by `ra`, by kind.
    pub released_together: [u64; Kind::ALL.len()],
    /// Holds that ended because their holder went on in another way.
    pub changes: u64,
    /// Sessions that were taken over with `resume`.
    pub resumed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Pending {
    Close(Conn, Cause),
    Drain,
}

impl Observed {
    /// Nothing has happened yet. Accounts may have and see this.
    #[must_use]
    pub fn of(accounts: Arc<Accounts>) -> Self {
        Self { accounts, ..Self::default() }
    }

    /// What accounts may have and see.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The latest time that the machine was given.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// The open connections and their holds.
    #[must_use]
    pub fn open(&self) -> &BTreeMap<Conn, BTreeSet<Lock>> {
        &self.open
    }

    /// Where an open connection comes from.
    #[must_use]
    pub fn origin(&self, conn: Conn) -> Option<&Origin> {
        self.origins.get(&conn)
    }

    /// The registered name of an open connection.
    #[must_use]
    pub fn registered(&self, conn: Conn) -> Option<&[u8]> {
        self.names.get(&conn).map(Vec::as_slice)
    }

    /// What ended connections left, by those connections.
    #[must_use]
    pub fn sessions(&self) -> &BTreeMap<Conn, Session> {
        &self.sessions.left
    }

    /// The grace of an open connection, if it asked for any.
    #[must_use]
    pub fn grace(&self, conn: Conn) -> Option<&Grace> {
        self.sessions.graces.get(&conn)
    }

    /// The graces of open connections and of sessions.
    pub fn graces(&self) -> impl Iterator<Item = &Grace> {
        self.sessions.graces.values().chain(self.sessions.left.values().map(|session| &session.grace))
    }

    /// The connection that has what a key opens, or that left it.
    #[must_use]
    pub fn opened_by(&self, key: &[u8]) -> Option<Conn> {
        self.sessions.opened_by(key)
    }

    /// What listings know a holder by, also while it is resumed: the connection that first asked for its grace, or
    /// itself.
    #[must_use]
    pub fn number_of(&self, holder: Conn) -> Conn {
        let left = self.sessions.left.get(&holder).map(|session| &session.grace);
        self.sessions.graces.get(&holder).or(left).map_or(holder, |grace| grace.number)
    }

    /// The holds of an open connection, or those that it left.
    #[must_use]
    pub fn held_by(&self, conn: Conn) -> &BTreeSet<Lock> {
        static NOTHING: BTreeSet<Lock> = BTreeSet::new();
        let left = self.sessions.left.get(&conn).map(|session| &session.held);
        self.open.get(&conn).or(left).unwrap_or(&NOTHING)
    }

    /// The held locks of a kind, with their holders.
    #[must_use]
    pub fn locks(&self, kind: Kind) -> &BTreeMap<Vec<u8>, BTreeSet<Conn>> {
        &self.holders[kind as usize]
    }

    /// The holders of a lock.
    #[must_use]
    pub fn holders_of(&self, (kind, name): &Lock) -> &BTreeSet<Conn> {
        static NOBODY: BTreeSet<Conn> = BTreeSet::new();
        self.locks(*kind).get(name).unwrap_or(&NOBODY)
    }

    /// The number of a lock's holders.
    #[must_use]
    pub fn holders(&self, kind: Kind, name: &[u8]) -> usize {
        self.locks(kind).get(name).map_or(0, BTreeSet::len)
    }

    /// Whether a connection holds a lock.
    #[must_use]
    pub fn is_holder(&self, conn: Conn, kind: Kind, name: &[u8]) -> bool {
        self.locks(kind).get(name).is_some_and(|holders| holders.contains(&conn))
    }

    /// The number of holds of a kind.
    #[must_use]
    pub fn holds(&self, kind: Kind) -> u64 {
        self.holds[kind as usize]
    }

    /// The number of orphaned holds of a kind.
    #[must_use]
    pub fn orphans(&self, kind: Kind) -> u64 {
        self.orphans[kind as usize]
    }

    /// All waits.
    #[must_use]
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// All fencing tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Counters that only go up.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a lock was stolen from this connection, and the connection has not got it again since.
    #[must_use]
    pub fn is_stolen(&self, conn: Conn, kind: Kind, name: &[u8]) -> bool {
        self.stolen.contains(&(conn, (kind, name.to_vec())))
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The wait that the end of this connection ended just now.
    #[must_use]
    pub fn cut_off(&self, conn: Conn) -> Option<&(Lock, Wait)> {
        self.cut_off.as_ref().filter(|(_, wait)| wait.conn == conn)
    }

    /// Whether the lock could be granted to the first in its line.
    #[must_use]
    pub fn could_be_granted(&self, lock: &Lock) -> bool {
        self.waits.head(lock).is_some_and(|head| {
            let count = |kind| self.holders(kind, &lock.1);
            head.could_join(count(head.kind), head.kind.rival().map_or(0, count))
        })
    }

    /// Whether a wait of this connection for this lock, at the end of its line, or for its end, could ever be granted.
    #[must_use]
    pub fn could_serve(&self, asker: Conn, lock: &Lock, (limit, is_end): (u32, bool)) -> bool {
        self.waits.could_serve(asker, lock, (limit, is_end), |lock| self.holders_of(lock))
    }

    /// Notes an input.
    pub fn input(&mut self, now: Now, input: &Input<Command<&[u8]>>) {
        self.now = self.now.max(now);
        self.sessions_are_due = true;
        match input {
            Input::Opened(conn, origin) => {
                self.open.entry(*conn).or_default();
                self.origins.insert(*conn, *origin);
            }
            Input::Closed(conn, cause) => self.pending = Some(Pending::Close(*conn, *cause)),
            Input::Drain(_) => self.pending = Some(Pending::Drain),
            Input::Command(conn, command) => self.asked = Some((*conn, command.map(<[u8]>::to_vec))),
            Input::Tokens { first, last } => self.tokens.reserved(*first, *last),
            Input::Accounts(accounts) => self.accounts = Arc::clone(accounts),
            // A single daemon has no other node.
            Input::Gone(_) | Input::Tick | Input::Lapse { .. } => {}
        }
    }

    /// An outcome is about to be told: notes the input's effect if the outcome must come after it. First come the waits
    /// that are due and the connections that are idle, then the sessions that are due, and then what those let in.
    pub fn before(&mut self, to: Conn, output: &Output<'_>) {
        let comes_before_sessions = match output {
            Output::Disconnect(Reason::Idle) => true,
            Output::Reply(Reply::GetTimeout { .. } | Reply::EndTimeout { .. }) => {
                self.waits.of(to).is_some_and(|(_, wait)| wait.is_due(self.now))
            }
            _ => false,
        };
        if comes_before_sessions {
            return;
        }
        self.end_due_sessions();
        let comes_first = match (self.pending, output) {
            (None, _) => return,
            (Some(Pending::Drain), Output::Reply(Reply::ShuttingDown)) => false,
            (Some(Pending::Drain), _) => true,
            (Some(Pending::Close(..)), Output::Reply(Reply::Ended { .. })) => {
                let still = self.waits.of(to).and_then(|(_, wait)| wait.still.as_ref());
                still.is_some_and(BTreeSet::is_empty)
            }
            (Some(Pending::Close(..)), Output::Reply(Reply::Got { kind, name, .. })) => {
                let lock = (*kind, name.to_vec());
                let is_head = self.waits.head(&lock).is_some_and(|head| head.conn == to);
                is_head && self.could_be_granted(&lock)
            }
            (Some(Pending::Close(..)), _) => false,
        };
        if !comes_first {
            self.settle();
        }
    }

    /// Notes an outcome.
    pub fn output(&mut self, to: Conn, output: &Output<'_>) {
        match output {
            Output::Wait => self.begin_wait(to),
            Output::Reply(reply) => self.reply(to, reply),
            Output::Disconnect(_) => self.end(to),
        }
    }

    /// All outcomes of the input were told.
    pub fn applied(&mut self) {
        self.end_due_sessions();
        self.settle();
        self.asked = None;
        self.cut_off = None;
    }

    fn settle(&mut self) {
        match self.pending.take() {
            Some(Pending::Close(conn, cause)) => {
                self.cut_off = self.waits.end(conn);
                self.leave(conn, cause);
                self.end(conn);
            }
            Some(Pending::Drain) => self.draining = true,
            None => {}
        }
    }

    fn begin_wait(&mut self, to: Conn) {
        let Some((_, command)) = self.asked.as_ref().filter(|(conn, _)| *conn == to) else { return };
        if let Some(Wanted { lock, limit, ms, is_end }) = wanted(command) {
            self.counts.waits += 1;
            let still = is_end.then(|| self.holders_of(&lock).clone());
            self.waits.begin(to, lock, (limit, still), self.now, ms);
        }
    }

    fn reply(&mut self, to: Conn, reply: &Reply<'_>) {
        let has_waited = self.waits.end(to).is_some() || self.cut_off(to).is_some();
        match reply {
            Reply::Got { kind, name, .. } => {
                self.counts.granted += u64::from(has_waited);
                self.stolen.remove(&(to, (*kind, name.to_vec())));
                let before = kind.rival().filter(|rival| self.is_holder(to, *rival, name));
                if let Some(rival) = before {
                    self.counts.changes += 1;
                    self.release(to, &(rival, name.to_vec()));
                }
                if self.holders[*kind as usize].entry(name.to_vec()).or_default().insert(to) {
                    self.holds[*kind as usize] += 1;
                    self.open.entry(to).or_default().insert((*kind, name.to_vec()));
                }
            }
            Reply::Ended { .. } => self.counts.granted += u64::from(has_waited),
            Reply::GetTimeout { .. } | Reply::EndTimeout { .. } => {
                self.counts.timed_out += u64::from(has_waited);
            }
            Reply::ShuttingDown => self.counts.drained += u64::from(has_waited),
            Reply::GetDeadlock { .. } | Reply::EndDeadlock { .. } => self.counts.deadlocks += 1,
            Reply::QueueFull { .. } | Reply::EndQueueFull { .. } => self.counts.queue_full += 1,
            Reply::Released { kind, name } => self.release(to, &(*kind, name.to_vec())),
            Reply::ReleasedAll { .. } => {
                for lock in self.open.get(&to).cloned().unwrap_or_default() {
                    self.counts.released_together[lock.0 as usize] += 1;
                    self.release(to, &lock);
                }
            }
            Reply::Fenced { kind, token, name } => self.tokens.shown(to, (*kind, name.to_vec()), *token),
            Reply::Registered => {
                let Some((_, Command::Iam(name))) = &self.asked else { return };
                if name.is_empty() {
                    self.names.remove(&to);
                } else {
                    self.names.insert(to, name.clone());
                }
            }
            Reply::LoggedIn { .. } => {
                if let Some((_, Command::Login(Some(account)))) = self.asked
                    && let Some(origin) = self.origins.get_mut(&to)
                {
                    origin.account = account;
                }
            }
            Reply::Lingers { key, ms } => self.sessions.lingers(to, *key, *ms),
            Reply::Resumed { .. } => self.resume(to),
            Reply::Kicked { addr, .. } => {
                let meant = self.sessions.left.iter().filter(|(_, session)| session.is_meant(addr));
                for conn in meant.map(|(conn, _)| *conn).collect::<Vec<_>>() {
                    self.end_session(conn);
                }
            }
            Reply::Stolen { kind, was_held: true, name } => {
                let lock = (*kind, name.to_vec());
                for holder in self.holders_of(&lock).clone() {
                    self.stolen.insert((holder, lock.clone()));
                    self.release(holder, &lock);
                }
            }
            _ => {}
        }
    }

    fn release(&mut self, conn: Conn, lock: &Lock) {
        let left = self.sessions.left.get_mut(&conn).map(|session| &mut session.held);
        if let Some(held) = self.open.get_mut(&conn).or(left) {
            held.remove(lock);
        }
        self.remove(conn, lock);
    }

    /// A connection ends. If it leaves a session, its holds are that one's from now on.
    fn leave(&mut self, conn: Conn, cause: Cause) {
        let Some((grace, due)) = self.sessions.ends(conn, cause, self.now) else { return };
        let (Some(origin), Some(held)) = (self.origins.get(&conn), self.open.get_mut(&conn)) else { return };
        if !held.is_empty() {
            let (held, name) = (std::mem::take(held), self.names.get(&conn).cloned());
            self.sessions.left.insert(conn, Session { origin: *origin, name, held, grace, due });
        }
    }

    /// A connection has said a key, and was told that it is right.
    fn resume(&mut self, to: Conn) {
        let Some((_, Command::Resume(key))) = &self.asked else { return };
        let Some(old) = self.sessions.opened_by(key).filter(|old| *old != to) else { return };
        self.counts.resumed += 1;
        let (held, name, grace) = if let Some(session) = self.sessions.left.remove(&old) {
            (session.held, session.name, Some(session.grace))
        } else {
            let held = self.open.get_mut(&old).map(std::mem::take).unwrap_or_default();
            (held, self.names.remove(&old), self.sessions.graces.remove(&old))
        };
        for (kind, name) in &held {
            if let Some(holders) = self.holders[*kind as usize].get_mut(name) {
                holders.remove(&old);
                holders.insert(to);
            }
        }
        self.open.entry(to).or_default().extend(held);
        self.names.extend(name.map(|name| (to, name)));
        self.sessions.graces.extend(grace.map(|grace| (to, grace)));
        self.tokens.pass(old, to);
        self.waits.pass(old, to);
        let stolen = std::mem::take(&mut self.stolen).into_iter();
        self.stolen = stolen.map(|(from, lock)| (if from == old { to } else { from }, lock)).collect();
    }

    fn end_due_sessions(&mut self) {
        if std::mem::take(&mut self.sessions_are_due) {
            for conn in self.sessions.due(self.now) {
                self.end_session(conn);
            }
        }
    }

    fn end_session(&mut self, conn: Conn) {
        if let Some(session) = self.sessions.left.remove(&conn) {
            self.stolen.retain(|(from, _)| *from != conn);
            self.orphan(conn, &session.held);
        }
    }

    fn end(&mut self, conn: Conn) {
        self.waits.end(conn);
        self.origins.remove(&conn);
        self.names.remove(&conn);
        self.sessions.graces.remove(&conn);
        if !self.sessions.left.contains_key(&conn) {
            self.stolen.retain(|(from, _)| *from != conn);
        }
        let held = self.open.remove(&conn).unwrap_or_default();
        self.orphan(conn, &held);
    }

    fn orphan(&mut self, conn: Conn, held: &BTreeSet<Lock>) {
        for lock in held {
            self.orphans[lock.0 as usize] += 1;
            self.remove(conn, lock);
        }
    }

    fn remove(&mut self, conn: Conn, lock: &Lock) {
        let of_kind = &mut self.holders[lock.0 as usize];
        let Some(holders) = of_kind.get_mut(&lock.1) else { return };
        if holders.remove(&conn) {
            self.holds[lock.0 as usize] -= 1;
            self.tokens.over(conn, lock);
            self.waits.hold_is_over(conn, lock);
        }
        if holders.is_empty() {
            of_kind.remove(&lock.1);
        }
    }
}

/// What a command may wait for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The lock.
    pub lock: Lock,
    /// The number of holders that it allows. 0 is no limit.
    pub limit: u32,
    /// How long it waits at most, in milliseconds.
    pub ms: u32,
    /// Whether it waits for the end of the lock's holds.
    pub is_end: bool,
}

/// What a command may wait for. `None` if it does not wait.
#[must_use]
pub fn wanted(command: &Command<Vec<u8>>) -> Option<Wanted> {
    match command {
        Command::Get(wish) => {
            let lock = (wish.kind(), wish.name().clone());
            wish.ms().map(|ms| Wanted { lock, limit: wish.limit(), ms, is_end: false })
        }
        Command::AwaitEnd { kind, ms, name } => {
            Some(Wanted { lock: (*kind, name.clone()), limit: 0, ms: *ms, is_end: true })
        }
        _ => None,
    }
}
