//! The waits of the observed state, in their lines. There are two questions to a line: whether the lock could be
//! granted to its head, and whether a wait could ever be granted. Both are answered by their definitions, from
//! scratch each time.

use super::Lock;
use elockd_core::{Conn, Kind, Now};
use elockd_model_tests::reference::line_of;
use std::collections::{BTreeMap, BTreeSet};

/// A wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The connection that waits.
    pub conn: Conn,
    /// How it would hold the lock.
    pub kind: Kind,
    /// Its number among all waits of this machine, in the order in which they began.
    pub number: u64,
    /// The number of holders that it allows, itself included; 0 is no limit.
    pub limit: u32,
    /// Whose holds must end, if it waits for an end. `None` if it waits for the lock.
    pub still: Option<BTreeSet<Conn>>,
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
    /// The waits for the end of each lock, likewise.
    ends: BTreeMap<Lock, BTreeMap<u64, Wait>>,
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

    /// All waits, line by line, and then those for ends.
    pub fn all(&self) -> impl Iterator<Item = &Wait> {
        self.lines.values().chain(self.ends.values()).flat_map(BTreeMap::values)
    }

    /// The waits for ends, lock by lock.
    pub fn ends(&self) -> impl Iterator<Item = (&Lock, impl Iterator<Item = &Wait>)> {
        self.ends.iter().map(|(lock, waits)| (lock, waits.values()))
    }

    /// The first in a lock's line.
    #[must_use]
    pub fn head(&self, lock: &Lock) -> Option<&Wait> {
        self.lines.get(&in_line(lock))?.values().next()
    }

    /// How many wait for a lock or for its end.
    #[must_use]
    pub fn awaiting(&self, lock: &Lock) -> usize {
        let count =
            |of: &BTreeMap<Lock, BTreeMap<u64, Wait>>| of.get(&in_line(lock)).map_or(0, BTreeMap::len);
        count(&self.lines) + count(&self.ends)
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
        let wait = [&self.lines, &self.ends].into_iter().find_map(|of| of.get(lock)?.get(number));
        Some((lock, wait.expect("a wait is in one of them")))
    }

    /// The connections that wait.
    pub fn conns(&self) -> impl Iterator<Item = Conn> {
        self.places.keys().copied()
    }

    /// The number of waits for locks of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.all().filter(|wait| wait.kind == kind && wait.still.is_none()).count() as u64
    }

    /// A wait begins, at the end of its lock's line, or for the end of the holds of `still`.
    pub(super) fn begin(
        &mut self,
        conn: Conn,
        (kind, name): Lock,
        (limit, still): (u32, Option<BTreeSet<Conn>>),
        begun: Now,
        ms: u32,
    ) {
        let number = self.begun;
        self.begun += 1;
        let lock = (line_of(kind), name);
        let lists = if still.is_some() { &mut self.ends } else { &mut self.lines };
        let wait = Wait {
            conn,
            kind,
            number,
            limit,
            still,
            begun,
            deadline: Now(begun.0.saturating_add(ms.into())),
        };
        lists.entry(lock.clone()).or_default().insert(number, wait);
        self.places.insert(conn, (lock, number));
    }

    /// A connection's wait ends, if it has one.
    pub(super) fn end(&mut self, conn: Conn) -> Option<(Lock, Wait)> {
        let (lock, number) = self.places.remove(&conn)?;
        for lists in [&mut self.lines, &mut self.ends] {
            if let Some(waits) = lists.get_mut(&lock)
                && let Some(wait) = waits.remove(&number)
            {
                if waits.is_empty() {
                    lists.remove(&lock);
                }
                return Some((lock, wait));
            }
        }
        None
    }

    /// A connection's hold of a lock is over.
    pub(super) fn hold_is_over(&mut self, conn: Conn, lock: &Lock) {
        for wait in self.ends.get_mut(lock).into_iter().flat_map(BTreeMap::values_mut) {
            if let Some(still) = &mut wait.still {
                still.remove(&conn);
            }
        }
    }

    /// One connection's holds are another's from now on.
    pub(super) fn pass(&mut self, from: Conn, to: Conn) {
        for wait in self.ends.values_mut().flat_map(BTreeMap::values_mut) {
            if let Some(still) = &mut wait.still
                && still.remove(&from)
            {
                still.insert(to);
            }
        }
    }

    /// Whether one more wait, at the end of its line, could ever be granted. The definition: every connection that
    /// does not wait releases everything, every connection that is granted something thereby does the same, and so
    /// on. `holders` gives the holders of each lock.
    #[must_use]
    pub fn could_serve<'a>(
        &'a self,
        asker: Conn,
        lock: &Lock,
        (limit, is_end): (u32, bool),
        holders: impl Fn(&Lock) -> &'a BTreeSet<Conn>,
    ) -> bool {
        let mut stuck: BTreeSet<Conn> = self.conns().chain([asker]).collect();
        let mut lines: BTreeMap<Lock, Vec<(Conn, Kind, u32)>> = BTreeMap::new();
        for (lock, line) in self.lines() {
            lines.insert(lock.clone(), line.map(|wait| (wait.conn, wait.kind, wait.limit)).collect());
        }
        let asked_for_end = is_end.then(|| holders(lock).clone());
        if !is_end {
            lines.entry(in_line(lock)).or_default().push((asker, lock.0, limit));
        }
        let ends: Vec<(Conn, BTreeSet<Conn>)> = self
            .ends
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|wait| Some((wait.conn, wait.still.clone()?)))
            .chain(asked_for_end.map(|still| (asker, still)))
            .collect();
        loop {
            let before = stuck.len();
            for (conn, still) in &ends {
                if still.is_disjoint(&stuck) {
                    stuck.remove(conn);
                }
            }
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
