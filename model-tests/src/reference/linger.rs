//! Holds that outlive their connection, on request. What a connection leaves stays under its number: it is still listed
//! as the holder, and is not open. Whoever resumes that becomes the holder in its place.

use super::{Reference, line};
use elockd_core::{Account, Cause, Conn, Origin};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::collections::BTreeMap;
use std::hash::Hasher;

/// What a connection left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The connection, which is still listed as a holder.
    pub conn: Conn,
    /// Its origin.
    pub origin: Origin,
    /// What its key is made of: the connection that first asked for it.
    pub number: Conn,
    /// For how many milliseconds its holds outlive a connection.
    pub ms: u32,
    /// When it ends.
    pub due: u64,
}

impl Reference {
    /// What ended connections left.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// What open connections asked for: a number that their key is made of, and a time in milliseconds.
    #[must_use]
    pub fn graces(&self) -> &BTreeMap<Conn, (Conn, u32)> {
        &self.graces
    }

    /// How often one connection took over what another had or left.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.counts.get("resumed").copied().unwrap_or(0)
    }

    /// The keys that open something: first those of sessions, then those of open connections.
    #[must_use]
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let sessions = self.sessions.iter().map(|session| session.number);
        let graces = self.graces.values().filter(|(_, ms)| *ms > 0).map(|(number, _)| *number);
        sessions.chain(graces).map(|number| self.key(number)).collect()
    }

    /// The connection or the session whose key is made of a number, or else the connection of that number.
    #[must_use]
    pub fn holder_of(&self, number: Conn) -> Conn {
        let session = self.sessions.iter().find(|session| session.number == number);
        let mut graces = self.graces.iter();
        let grace = graces.find(|(_, (of, _))| *of == number).map(|(conn, _)| *conn);
        session.map(|session| session.conn).or(grace).unwrap_or(number)
    }

    /// Whether a connection, or what it left, took over what another had.
    #[must_use]
    pub fn has_resumed(&self, conn: Conn) -> bool {
        self.number_of(conn).is_some_and(|number| number != conn)
    }

    /// The number that the key of a connection, or of what it left, is made of.
    #[must_use]
    pub fn number_of(&self, conn: Conn) -> Option<Conn> {
        let session = self.sessions.iter().find(|session| session.conn == conn);
        session.map(|session| session.number).or(self.graces.get(&conn).map(|(number, _)| *number))
    }

    /// The address of a connection, or of a session, as listings show it.
    #[must_use]
    pub fn address_of(&self, conn: Conn) -> String {
        match self.sessions.iter().find(|session| session.conn == conn) {
            Some(session) => format!("~{}", session.origin.addr),
            None => self.client(conn).origin.addr.to_string(),
        }
    }

    fn key(&self, number: Conn) -> Vec<u8> {
        let mut hasher = SipHasher24::new_with_key(&self.config.secret.0);
        hasher.write(&number.bits().to_le_bytes());
        let hash = hasher.finish128();
        let bytes = [hash.h1.to_le_bytes(), hash.h2.to_le_bytes()].concat();
        let digits = |byte: &u8| format!("{byte:02x}").into_bytes();
        bytes.iter().flat_map(digits).collect()
    }

    pub(super) fn linger(&mut self, conn: Conn, ms: u32) -> Vec<u8> {
        if ms > self.config.limits.linger_ms {
            return line("0 Linger Failure", b"");
        }
        let number = self.graces.get(&conn).map_or(conn, |(number, _)| *number);
        if ms > 0 || self.graces.contains_key(&conn) {
            self.graces.insert(conn, (number, ms));
        }
        match ms {
            0 => line("1 Linger Success: - 0", b""),
            _ => line("1 Linger Success: ", &[&self.key(number)[..], format!(" {ms}").as_bytes()].concat()),
        }
    }

    /// Returns the reply, and the connection that ends.
    pub(super) fn resume(&mut self, conn: Conn, key: &[u8]) -> (Vec<u8>, Option<Conn>) {
        if self.draining.contains(&conn.node()) {
            return (line("0 Shutting Down", b""), None);
        }
        let own = self.held.get(&conn).copied().unwrap_or(0);
        let success = |holds: usize| line(&format!("1 Resume Success: {holds}"), b"");
        let has_key = |(number, ms): (Conn, u32)| ms > 0 && self.key(number) == key;
        let sessions = self.sessions.iter();
        let left = sessions.map(|session| (session.conn, (session.number, session.ms)));
        let alive = self.graces.iter().map(|(conn, grace)| (*conn, *grace));
        let found = left.chain(alive).find(|(_, grace)| has_key(*grace));
        match found {
            Some((old, _)) if old == conn => (success(own), None),
            Some((old, grace)) if own == 0 && self.accounts[&old] == self.accounts[&conn] => {
                self.count("resumed");
                self.take_over(old, conn);
                self.graces.insert(conn, grace);
                let is_alive = self.is_open(old);
                if is_alive {
                    self.close(old, Cause::Resumed);
                } else {
                    self.sessions.retain(|session| session.conn != old);
                    self.accounts.remove(&old);
                }
                (success(self.held.get(&conn).copied().unwrap_or(0)), is_alive.then_some(old))
            }
            _ => (line("0 Resume Failure", b""), None),
        }
    }

    /// Puts a connection into the place of another, wherever that holds something, and in the order of registration.
    fn take_over(&mut self, old: Conn, conn: Conn) {
        self.graces.remove(&old);
        for holders in self.locks.values_mut() {
            holders.iter_mut().filter(|holder| **holder == old).for_each(|holder| *holder = conn);
        }
        let since = std::mem::take(&mut self.since).into_iter();
        let by = |holder| if holder == old { conn } else { holder };
        self.since = since.map(|((kind, name, holder), since)| ((kind, name, by(holder)), since)).collect();
        let tokens = std::mem::take(&mut self.tokens).into_iter();
        self.tokens = tokens.map(|((kind, name, holder), token)| ((kind, name, by(holder)), token)).collect();
        for still in self.waits.iter_mut().filter_map(|wait| wait.still.as_mut()) {
            still.iter_mut().filter(|holder| **holder == old).for_each(|holder| *holder = conn);
        }
        if let Some(held) = self.held.remove(&old) {
            self.held.insert(conn, held);
        }
        if self.called(old).is_some() {
            self.registered.retain(|(of, _)| *of != conn);
            self.registered.iter_mut().filter(|(of, _)| *of == old).for_each(|(of, _)| *of = conn);
        }
    }

    /// Called when a connection ends. Whether what it holds outlives it.
    pub(super) fn leaves_a_session(&mut self, conn: Conn, cause: Cause) -> bool {
        let Some((number, ms)) = self.graces.remove(&conn) else { return false };
        let origin = self.client(conn).origin;
        let due = self.now.saturating_add(ms.into());
        let lasting = [Cause::Eof, Cause::Error, Cause::Stalled, Cause::Shutdown, Cause::NodeLost];
        let is_asked = lasting.contains(&cause);
        let holds = self.held.get(&conn).copied().unwrap_or(0);
        let leaves = is_asked && holds > 0 && due > self.now;
        if leaves {
            self.sessions.push(Session { conn, origin, number, ms, due });
        }
        leaves
    }

    pub(super) fn end_due_sessions(&mut self) {
        self.end_sessions(|session, now| session.due <= now);
    }

    /// Ends the sessions that come from an address, written with `~`, or have a name. Returns how many.
    pub(super) fn kick_sessions(&mut self, wanted: &[u8]) -> usize {
        let called: Vec<Conn> =
            self.registered.iter().filter(|(_, name)| name == wanted).map(|(conn, _)| *conn).collect();
        self.end_sessions(|session, _| {
            format!("~{}", session.origin.addr).as_bytes() == wanted || called.contains(&session.conn)
        })
    }

    /// Ends all sessions.
    pub(super) fn end_all_sessions(&mut self) {
        self.end_sessions(|_, _| true);
    }

    fn end_sessions(&mut self, is_over: impl Fn(&Session, u64) -> bool) -> usize {
        let (over, left): (Vec<_>, Vec<_>) =
            self.sessions.iter().copied().partition(|session| is_over(session, self.now));
        self.sessions = left;
        for session in &over {
            self.orphan(session.conn);
        }
        over.len()
    }

    /// The account of a connection or of a session.
    #[must_use]
    pub fn account_of(&self, conn: Conn) -> Option<Account> {
        self.accounts.get(&conn).copied()
    }
}
