//! What `ls` and `who` show, owned: for tables and for JSON.

use crate::name::Name;
use crate::span;
use elockd_client::{Answer, Group, Kind, Role, Row, Subject};
use serde::Serialize;
use std::time::Duration;

/// A row of `ls`: what one connection has to do with one lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LockRow {
    pub(crate) name: Name,
    pub(crate) kind: &'static str,
    pub(crate) role: &'static str,
    /// The age of the hold or the wait, in milliseconds.
    pub(crate) ms: u64,
    /// How many wait for the lock.
    pub(crate) waiters: u32,
    pub(crate) address: String,
    /// Whether the connection has ended, and its hold lingers.
    pub(crate) lingers: bool,
    pub(crate) registered: Option<Name>,
    #[serde(skip)]
    pub(crate) group: Group,
}

impl LockRow {
    /// The rows of an answer to `ls`.
    pub(crate) fn of(answer: &Answer) -> Result<Vec<Self>, elockd_client::Error> {
        let row = |row: Row<'_>| match row {
            Row::Hold { group, ms, waiters, addr, is_lingering, name, registered } => Some(Self {
                name: Name::told(name),
                kind: kind_word(group.kind),
                role: role_word(group.role),
                ms,
                waiters,
                address: addr.to_string(),
                lingers: is_lingering,
                registered: registered.map(Name::told),
                group,
            }),
            _ => None,
        };
        Ok(answer.rows(Subject::All)?.into_iter().filter_map(row).collect())
    }

    pub(crate) fn holds(&self) -> bool {
        self.group.role == Role::Holds
    }

    /// For how long, for people.
    pub(crate) fn age(&self) -> String {
        span::shown(Duration::from_millis(self.ms))
    }

    /// Its address as `kick` wants it.
    pub(crate) fn wire_address(&self) -> String {
        if self.lingers { format!("~{}", self.address) } else { self.address.clone() }
    }

    /// The connection, for people: `alice (10.0.0.7:5123)`, or the address alone.
    pub(crate) fn who(&self) -> String {
        let address = self.wire_address();
        match &self.registered {
            Some(name) => format!("{name} ({address})"),
            None => address,
        }
    }

    /// What it does, for people.
    pub(crate) fn state(&self) -> &'static str {
        match self.group.role {
            Role::Holds if self.lingers => "lingers",
            Role::Holds => "held",
            Role::Waits => "waits",
            Role::AwaitsEnd => "awaits end",
        }
    }
}

pub(crate) const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Exclusive => "exclusive",
        Kind::Shared => "shared",
        Kind::Read => "read",
        Kind::Write => "write",
    }
}

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Holds => "holds",
        Role::Waits => "waits",
        Role::AwaitsEnd => "awaits_end",
    }
}

/// A row of `who`: a connection that has registered a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WhoRow {
    pub(crate) address: String,
    pub(crate) registered: Name,
}

impl WhoRow {
    /// The rows of an answer to `who`.
    pub(crate) fn of(answer: &Answer) -> Result<Vec<Self>, elockd_client::Error> {
        let row = |row: Row<'_>| match row {
            Row::Registered { addr, name } => {
                Some(Self { address: addr.to_string(), registered: Name::told(name) })
            }
            _ => None,
        };
        Ok(answer.rows(Subject::Who)?.into_iter().filter_map(row).collect())
    }
}
