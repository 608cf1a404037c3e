//! Accounts: logging in, what each may have, and what it may see. What an account has is counted when it is asked for.

use super::figures::MEMORY_OF_WAIT;
use super::{Reference, address, line, memory_of_registration};
use crate::observe::Event;
use elockd_core::{Account, Accounts, Cause, Conn, Profile, Reason};
use std::sync::Arc;

/// What a name that is held counts, beside its bytes if it is long.
const MEMORY_OF_NAME: u64 = 104;
/// What a hold counts.
const MEMORY_OF_HOLD: u64 = 56;

impl Reference {
    /// The table of accounts.
    #[must_use]
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.table
    }

    /// What a connection or a session may have and see.
    #[must_use]
    pub fn profile(&self, conn: Conn) -> &Profile {
        self.table.of(self.accounts[&conn])
    }

    /// Every connection and session of an account.
    fn of_account(&self, account: Account) -> Vec<Conn> {
        self.accounts.iter().filter(|(_, of)| **of == account).map(|(conn, _)| *conn).collect()
    }

    /// How many connections an account may have.
    fn most_connections(&self, account: Account) -> usize {
        self.table.of(account).quotas.connections.unwrap_or(self.config.limits.connections) as usize
    }

    /// Whether an account has no connection left. The first comparison only saves the count.
    pub(super) fn has_no_connection_left(&self, account: Account) -> bool {
        let most = self.most_connections(account);
        let of = || self.open.iter().filter(|client| client.origin.account == account).count();
        self.open.len() >= most && of() >= most
    }

    /// What counts for an account's quota of memory, by the table in the operators' manual.
    #[must_use]
    pub fn memory_of_account(&self, account: Account) -> u64 {
        let conns = self.of_account(account);
        let is_its = |conn: &Conn| conns.contains(conn);
        let open = self.open.iter().filter(|client| is_its(&client.conn)).count() as u64 * 1024;
        let left = self.sessions.iter().filter(|session| is_its(&session.conn)).count() as u64 * 256;
        let called = self.registered.iter().filter(|(conn, _)| is_its(conn));
        let called: u64 = called.map(|(_, name)| memory_of_registration(name)).sum();
        let mut held = 0;
        for ((_, name), holders) in &self.locks {
            held += holders.iter().filter(|conn| is_its(conn)).count() as u64 * memory_of_own_hold(name);
        }
        let waits = self.waits.iter().filter(|wait| is_its(&wait.conn));
        let waits: u64 = waits.map(|wait| memory_of_own_wait(&wait.name)).sum();
        open + left + called + held + waits
    }

    /// Whether a connection's account may take so much more memory.
    pub(super) fn account_has_memory(&self, conn: Conn, more: u64) -> bool {
        let most = self.profile(conn).quotas.memory_bytes;
        most.is_none_or(|most| self.memory_of_account(self.accounts[&conn]) + more <= most)
    }

    /// `auth`, with the account whose the token is.
    pub(super) fn login(&mut self, conn: Conn, account: Option<Account>) -> Event {
        let before = self.client(conn).origin;
        let holds = self.held.get(&conn).copied().unwrap_or(0);
        let known = account.filter(|account| self.table.get(*account).is_some());
        let Some(account) = known.filter(|account| *account == before.account || holds == 0) else {
            return Event::Sent(conn, line("0 Auth Failure", b""));
        };
        let origin = elockd_core::Origin { account, ..before };
        if account != before.account {
            let most = self.config.limits.connections_per_address as usize;
            let is_crowded = address(origin)
                .filter(|address_| Some(address_) != address(before).as_ref())
                .is_some_and(|address| most > 0 && self.count_from(&address) >= most);
            if self.has_no_connection_left(account) || is_crowded {
                self.close(conn, Cause::Refused);
                let last_line = b"0 Too Many Connections\n".to_vec();
                return Event::Disconnected(conn, Reason::TooManyConnections, last_line);
            }
            self.accounts.insert(conn, account);
            let client = self.open.iter_mut().find(|client| client.conn == conn).expect("it is open");
            client.origin = origin;
            if let Some(address) = address(origin) {
                self.note_peak("peak_address_connections", self.count_from(&address));
            }
        }
        Event::Sent(conn, line("1 Auth Success: ", self.table.of(account).name.as_bytes()))
    }

    /// `q` and `q full` of who sees only its own figures.
    pub(super) fn own_figures(&self, conn: Conn) -> Vec<u8> {
        let (account, profile, limits) = (self.accounts[&conn], self.profile(conn), &self.config.limits);
        let conns = self.of_account(account);
        let waits = |is_end| {
            let waits = self.waits.iter().filter(|wait| conns.contains(&wait.conn));
            waits.filter(|wait| wait.still.is_some() == is_end).count()
        };
        let quotas = profile.quotas;
        let memory = quotas.memory_bytes.unwrap_or(limits.memory_bytes).min(limits.memory_bytes);
        let lines = [
            format!("account: {}\n", profile.name),
            format!(
                "connections: {}\n",
                self.open.iter().filter(|client| conns.contains(&client.conn)).count()
            ),
            format!("end_waiters: {}\n", waits(true)),
            format!("holds: {}\n", self.holds(|_, holder| conns.contains(&holder))),
            format!("limit_connections: {}\n", self.most_connections(account)),
            format!("limit_locks: {}\n", quotas.locks.unwrap_or(limits.locks)),
            format!("limit_memory_bytes: {memory}\n"),
            format!("limit_waiters: {}\n", quotas.waiters.unwrap_or(limits.waiters)),
            format!("memory_bytes: {}\n", self.memory_of_account(account)),
            format!("waiters: {}\n", waits(false)),
        ];
        line(&lines.concat(), b"")
    }

    /// Whether listings show a lock to a connection.
    pub(super) fn sees(&self, conn: Conn, name: &[u8]) -> bool {
        match &self.profile(conn).names {
            None => true,
            Some(starts) => starts.iter().any(|start| name.get(..start.len()) == Some(start)),
        }
    }
}

/// What a hold counts for its account: with its name, whoever else holds that.
pub(super) fn memory_of_own_hold(name: &[u8]) -> u64 {
    MEMORY_OF_HOLD + MEMORY_OF_NAME + memory_of_long_name(name)
}

/// What a wait counts for its account: as the hold that it may become, and beside it.
pub(super) fn memory_of_own_wait(name: &[u8]) -> u64 {
    MEMORY_OF_WAIT + MEMORY_OF_NAME + memory_of_long_name(name)
}

fn memory_of_long_name(name: &[u8]) -> u64 {
    if name.len() > 29 { name.len() as u64 + 16 } else { 0 }
}
