//! The fencing tokens of the observed state: which hold has which, and which may still be given out.

use super::Lock;
use elockd_core::Conn;
use std::collections::BTreeMap;

/// The tokens of one machine.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// The highest that was given out, or passed over.
    highest: u64,
    /// The highest that may be given out.
    last: u64,
    /// How many were given out.
    given: u64,
    /// The token of each hold that has one.
    of: BTreeMap<(Conn, Lock), u64>,
}

impl Tokens {
    /// Tokens have to be below 2^53.
    const MOST: u64 = (1 << 53) - 1;

    /// The highest that was given out, or passed over.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// The highest that may be given out.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many were given out.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.given
    }

    /// How many may still be given out.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.last - self.highest.min(self.last)
    }

    /// The token of a connection's hold, if it has one.
    #[must_use]
    pub fn of(&self, conn: Conn, lock: &Lock) -> Option<u64> {
        self.of.get(&(conn, lock.clone())).copied()
    }

    pub(super) fn reserved(&mut self, first: u64, last: u64) {
        let last = last.min(Self::MOST);
        if last <= self.last || last < first {
            return;
        }
        // A range that does not follow directly on the remaining tokens replaces them.
        if first > self.last + 1 {
            self.highest = first - 1;
        }
        self.last = last;
    }

    pub(super) fn shown(&mut self, conn: Conn, lock: Lock, token: u64) {
        if self.of(conn, &lock).is_none() {
            self.of.insert((conn, lock), token);
            self.highest = self.highest.max(token);
            self.given += 1;
        }
    }

    /// One connection's holds are another's from now on.
    pub(super) fn pass(&mut self, from: Conn, to: Conn) {
        let of = std::mem::take(&mut self.of).into_iter();
        self.of =
            of.map(|((conn, lock), token)| ((if conn == from { to } else { conn }, lock), token)).collect();
    }

    /// A hold is over.
    pub(super) fn over(&mut self, conn: Conn, lock: &Lock) {
        self.of.remove(&(conn, lock.clone()));
    }
}
