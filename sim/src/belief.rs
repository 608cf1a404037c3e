//! Who holds what, as one has to believe from what was said: the machine's inputs and its replies, and
//! nothing of its state. A connection that was told "success" holds the lock until it is told that it has
//! released it, or ends. The invariants hold the machine to it.

use elockd_core::{Conn, Input, Kind, Output, Reply};
use std::collections::{BTreeMap, BTreeSet};

/// A lock: which name space, and the name.
pub type Lock = (Kind, Vec<u8>);

/// What one has to believe.
#[derive(Clone, Debug, Default)]
pub struct Belief {
    /// Open connections and what each holds.
    open: BTreeMap<Conn, BTreeSet<Lock>>,
    /// Who holds each lock, by kind. A lock without holders is not in it.
    holders: [BTreeMap<Vec<u8>, BTreeSet<Conn>>; 2],
    /// Holds there are, by kind.
    holds: [u64; 2],
    /// Holds that were released because their connection ended, by kind.
    orphans: [u64; 2],
    draining: bool,
}

impl Belief {
    /// The open connections and what each holds.
    #[must_use]
    pub fn open(&self) -> &BTreeMap<Conn, BTreeSet<Lock>> {
        &self.open
    }

    /// Everything of a kind that is held.
    #[must_use]
    pub fn locks(&self, kind: Kind) -> &BTreeMap<Vec<u8>, BTreeSet<Conn>> {
        &self.holders[kind as usize]
    }

    /// How many hold a lock.
    #[must_use]
    pub fn holders(&self, kind: Kind, name: &[u8]) -> usize {
        self.locks(kind).get(name).map_or(0, BTreeSet::len)
    }

    /// Whether a connection holds a lock.
    #[must_use]
    pub fn is_holder(&self, conn: Conn, kind: Kind, name: &[u8]) -> bool {
        self.locks(kind).get(name).is_some_and(|holders| holders.contains(&conn))
    }

    /// How many holds of a kind there are.
    #[must_use]
    pub fn holds(&self, kind: Kind) -> u64 {
        self.holds[kind as usize]
    }

    /// How many holds of a kind were orphaned.
    #[must_use]
    pub fn orphans(&self, kind: Kind) -> u64 {
        self.orphans[kind as usize]
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Takes note of an input. What comes of it has to be told after it.
    pub fn input(&mut self, input: &Input<&[u8]>) {
        match input {
            Input::Opened(conn, _) => {
                self.open.entry(*conn).or_default();
            }
            Input::Closed(conn, _) => self.end(*conn),
            Input::Drain => self.draining = true,
            Input::Command(..) | Input::Tick => {}
        }
    }

    /// Takes note of what came of it.
    pub fn output(&mut self, to: Conn, output: &Output<'_>) {
        match output {
            Output::Reply(Reply::Got { kind, name, .. }) => {
                if self.holders[*kind as usize].entry(name.to_vec()).or_default().insert(to) {
                    self.holds[*kind as usize] += 1;
                    self.open.entry(to).or_default().insert((*kind, name.to_vec()));
                }
            }
            Output::Reply(Reply::Released { kind, name }) => {
                let lock = (*kind, name.to_vec());
                if let Some(held) = self.open.get_mut(&to) {
                    held.remove(&lock);
                }
                self.remove(to, &lock);
            }
            Output::Reply(_) => {}
            Output::Disconnect(_) => self.end(to),
        }
    }

    fn end(&mut self, conn: Conn) {
        for lock in self.open.remove(&conn).unwrap_or_default() {
            self.orphans[lock.0 as usize] += 1;
            self.remove(conn, &lock);
        }
    }

    fn remove(&mut self, conn: Conn, lock: &Lock) {
        let of_kind = &mut self.holders[lock.0 as usize];
        let Some(holders) = of_kind.get_mut(&lock.1) else { return };
        if holders.remove(&conn) {
            self.holds[lock.0 as usize] -= 1;
        }
        if holders.is_empty() {
            of_kind.remove(&lock.1);
        }
    }
}
