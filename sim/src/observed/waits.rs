//! Who waits for what, in line, and the two questions that one may ask of a line: whether its head could be
//! granted what it waits for, and whether a wait could ever be served. Both are answered by their definitions,
//! anew each time.

use super::Lock;
use elockd_core::{Conn, Kind, Now};
use std::collections::{BTreeMap, BTreeSet};

/// A wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Whose.
    pub conn: Conn,
    /// Which of all waits of this machine, counted in the order in which they began.
    pub number: u64,
    /// How many holders there may be with this one; 0 is no limit.
    pub limit: u32,
    /// When it began.
    pub begun: Now,
    /// When it ends without the lock.
    pub deadline: Now,
}

impl Wait {
    /// Whether a lock that so many hold could be granted to it, were it the first in line.
    #[must_use]
    pub fn could_join(&self, holders: usize) -> bool {
        self.limit == 0 || holders < self.limit as usize
    }

    /// Whether its time is up.
    #[must_use]
    pub fn is_due(&self, now: Now) -> bool {
        self.deadline <= now
    }
}

/// All waits.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// The line of each lock that somebody waits for, by the waits' numbers.
    lines: BTreeMap<Lock, BTreeMap<u64, Wait>>,
    /// Where each connection that waits stands.
    places: BTreeMap<Conn, (Lock, u64)>,
    /// How many have begun.
    begun: u64,
}

impl Waits {
    /// The lines, each with its head first.
    pub fn lines(&self) -> impl Iterator<Item = (&Lock, impl Iterator<Item = &Wait>)> {
        self.lines.iter().map(|(lock, line)| (lock, line.values()))
    }

    /// All waits, line by line.
    pub fn all(&self) -> impl Iterator<Item = &Wait> {
        self.lines.values().flat_map(BTreeMap::values)
    }

    /// The first in a lock's line.
    #[must_use]
    pub fn head(&self, lock: &Lock) -> Option<&Wait> {
        self.lines.get(lock)?.values().next()
    }

    /// How many wait for a lock.
    #[must_use]
    pub fn length(&self, lock: &Lock) -> usize {
        self.lines.get(lock).map_or(0, BTreeMap::len)
    }

    /// How many wait in the longest line.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.lines.values().map(BTreeMap::len).max().unwrap_or(0)
    }

    /// What a connection waits for, if it waits.
    #[must_use]
    pub fn of(&self, conn: Conn) -> Option<(&Lock, &Wait)> {
        let (lock, number) = self.places.get(&conn)?;
        Some((lock, &self.lines[lock][number]))
    }

    /// Who waits.
    pub fn conns(&self) -> impl Iterator<Item = Conn> {
        self.places.keys().copied()
    }

    /// How many waits for locks of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.lines.iter().filter(|((of, _), _)| *of == kind).map(|(_, line)| line.len() as u64).sum()
    }

    /// A wait begins, at the end of its lock's line.
    pub(super) fn begin(&mut self, conn: Conn, lock: Lock, limit: u32, begun: Now, ms: u32) {
        let number = self.begun;
        self.begun += 1;
        let wait = Wait { conn, number, limit, begun, deadline: Now(begun.0.saturating_add(ms.into())) };
        self.lines.entry(lock.clone()).or_default().insert(number, wait);
        self.places.insert(conn, (lock, number));
    }

    /// A connection's wait ends, if it has one.
    pub(super) fn end(&mut self, conn: Conn) -> Option<(Lock, Wait)> {
        let (lock, number) = self.places.remove(&conn)?;
        let line = self.lines.get_mut(&lock)?;
        let wait = line.remove(&number)?;
        if line.is_empty() {
            self.lines.remove(&lock);
        }
        Some((lock, wait))
    }

    /// Whether one more wait, at the end of its line, could ever be served: every connection that does not wait
    /// releases all it holds, whoever is served by that does so too, and so on. `holders` says who holds what.
    #[must_use]
    pub fn could_serve<'a>(
        &'a self,
        asker: Conn,
        lock: &'a Lock,
        limit: u32,
        holders: impl Fn(&Lock) -> &'a BTreeSet<Conn>,
    ) -> bool {
        let mut stuck: BTreeSet<Conn> = self.conns().chain([asker]).collect();
        let mut lines: BTreeMap<&Lock, Vec<(Conn, u32)>> = BTreeMap::new();
        for (lock, line) in self.lines() {
            lines.insert(lock, line.map(|wait| (wait.conn, wait.limit)).collect());
        }
        lines.entry(lock).or_default().push((asker, limit));
        loop {
            let before = stuck.len();
            for (lock, line) in &mut lines {
                let held_by = holders(lock);
                let served = line.iter().take_while(|(conn, limit)| {
                    let left = held_by.iter().filter(|holder| stuck.contains(holder)).count();
                    let is_served = *limit == 0 || left < *limit as usize;
                    is_served && stuck.remove(conn)
                });
                let served = served.count();
                line.drain(..served);
            }
            if !stuck.contains(&asker) {
                return true;
            }
            if stuck.len() == before {
                return false;
            }
        }
    }
}
