//! The waits of the observed state, in their lines. There are two questions to a line: whether the lock could be
//! granted to its head, and whether a wait could ever be granted. Both are answered by their definitions, from
//! scratch each time.

use super::Lock;
use elockd_core::{Conn, Kind, Now};
use elockd_model_tests::reference::line_of;
use std::collections::{BTreeMap, BTreeSet};

/// A wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The connection that waits.
    pub conn: Conn,
    /// How it would hold the lock.
    pub kind: Kind,
    /// Its number among all waits of this machine, in the order in which they began.
    pub number: u64,
    /// The number of holders that it allows, itself included; 0 is no limit.
    pub limit: u32,
    /// When it began.
    pub begun: Now,
    /// Its deadline.
    pub deadline: Now,
}

impl Wait {
    /// Whether it could be granted if it were the first in line, and the lock had so many holders of its kind and so
    /// many `rivals`.
    #[must_use]
    pub fn could_join(&self, holders: usize, rivals: usize) -> bool {
        rivals == 0 && (self.limit == 0 || holders < self.limit as usize)
    }

    /// Whether its time is up.
    #[must_use]
    pub fn is_due(&self, now: Now) -> bool {
        self.deadline <= now
    }
}

/// The lock under which a line is found.
fn in_line((kind, name): &Lock) -> Lock {
    (line_of(*kind), name.clone())
}

/// All waits.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// The line of each lock that has waits, by the numbers of the waits. Readers stand in the line of writers.
    lines: BTreeMap<Lock, BTreeMap<u64, Wait>>,
    /// The lock and the number of each waiting connection's wait.
    places: BTreeMap<Conn, (Lock, u64)>,
    /// The number of waits that began.
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
        self.lines.get(&in_line(lock))?.values().next()
    }

    /// The length of a lock's line.
    #[must_use]
    pub fn length(&self, lock: &Lock) -> usize {
        self.lines.get(&in_line(lock)).map_or(0, BTreeMap::len)
    }

    /// The length of the longest line.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.lines.values().map(BTreeMap::len).max().unwrap_or(0)
    }

    /// The wait of a connection, if it waits.
    #[must_use]
    pub fn of(&self, conn: Conn) -> Option<(&Lock, &Wait)> {
        let (lock, number) = self.places.get(&conn)?;
        Some((lock, &self.lines[lock][number]))
    }

    /// The connections that wait.
    pub fn conns(&self) -> impl Iterator<Item = Conn> {
        self.places.keys().copied()
    }

    /// The number of waits for locks of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.all().filter(|wait| wait.kind == kind).count() as u64
    }

    /// A wait begins, at the end of its lock's line.
    pub(super) fn begin(&mut self, conn: Conn, (kind, name): Lock, limit: u32, begun: Now, ms: u32) {
        let number = self.begun;
        self.begun += 1;
        let lock = (line_of(kind), name);
        let wait =
            Wait { conn, kind, number, limit, begun, deadline: Now(begun.0.saturating_add(ms.into())) };
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

    /// Whether one more wait, at the end of its line, could ever be granted. The definition: every connection that
    /// does not wait releases everything, every connection that is granted something thereby does the same, and so
    /// on. `holders` gives the holders of each lock.
    #[must_use]
    pub fn could_serve<'a>(
        &'a self,
        asker: Conn,
        lock: &Lock,
        limit: u32,
        holders: impl Fn(&Lock) -> &'a BTreeSet<Conn>,
    ) -> bool {
        let mut stuck: BTreeSet<Conn> = self.conns().chain([asker]).collect();
        let mut lines: BTreeMap<Lock, Vec<(Conn, Kind, u32)>> = BTreeMap::new();
        for (lock, line) in self.lines() {
            lines.insert(lock.clone(), line.map(|wait| (wait.conn, wait.kind, wait.limit)).collect());
        }
        lines.entry(in_line(lock)).or_default().push((asker, lock.0, limit));
        loop {
            let before = stuck.len();
            for ((_, name), line) in &mut lines {
                let served = line.iter().take_while(|(conn, kind, limit)| {
                    let left = |kind| {
                        let held_by: &BTreeSet<Conn> = holders(&(kind, name.clone()));
                        held_by.iter().filter(|holder| stuck.contains(holder)).count()
                    };
                    let rivals = kind.rival().map_or(0, left);
                    let is_served = rivals == 0 && (*limit == 0 || left(*kind) < *limit as usize);
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
