//! Who has a lock, and who waits for it: what `ls` shows, owned.

use crate::error::Shown;
use elockd_core::Addr;
use elockd_core::wire::{Group, Role, Row};
use std::fmt;
use std::time::Duration;

/// A row of `ls`: what one connection has to do with one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The lock.
    pub lock: Vec<u8>,
    /// The kind of lock, and whether the connection holds it, waits for it, or waits for its end.
    pub group: Group,
    /// The registered name of the connection, if it has one.
    pub name: Option<Vec<u8>>,
    /// The connection's address.
    pub address: Addr,
    /// Whether the connection has ended, and its lock lingers.
    pub is_lingering: bool,
    /// How long it has held the lock, or waited.
    pub since: Duration,
    /// How many wait for the lock.
    pub waiters: u32,
}

impl Holder {
    pub(crate) fn of(row: &Row<'_>) -> Option<Self> {
        let Row::Hold { group, ms, waiters, addr, is_lingering, name, registered } = *row else {
            return None;
        };
        Some(Self {
            lock: name.to_vec(),
            group,
            name: registered.map(<[u8]>::to_vec),
            address: addr,
            is_lingering,
            since: Duration::from_millis(ms),
            waiters,
        })
    }

    /// Whether it holds the lock. If not, it waits.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.group.role == Role::Holds
    }
}

impl fmt::Display for Holder {
    /// `NAME (ADDRESS)`, or the address alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} ({})", Shown(name), self.address),
            None => write!(f, "{}", self.address),
        }
    }
}
