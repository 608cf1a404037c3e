//! Deadlocks: whether a wait that is about to begin could never be granted.
//!
//! It never could if it were not granted even when every connection that is not waiting released all it holds,
//! every connection granted thereby did the same, and so on. That is the reduction of Holt's resource graphs
//! ("Some Deadlock Properties of Computer Systems", 1972). A cycle alone says too little: of a lock that three
//! may hold, one of its three holders is enough.
//!
//! To look when a wait begins is enough: every wait before it could be granted then, and nothing that happens
//! later takes that away, because whatever is granted or ends goes the way of those that release.

use crate::canary::{Canary, is_planted};
use crate::mark::{Mark, reach};
use crate::storage::Id;

use std::collections::{BTreeMap, BTreeSet};

use super::Machine;
use super::connection::Connection;
use super::lock::Lock;

/// The part of the graph that the asker needs, as far as it has been looked at. Connections and locks are called
/// by their slots' positions.
struct Search {
    asker: u32,
    sites: BTreeMap<u32, Site>,
    /// Locks whose sites are not looked at yet.
    unseen: Vec<Id<Lock>>,
    /// In which sites a connection holds the lock that has not released yet.
    held: BTreeMap<u32, Vec<u32>>,
    /// Waiting connections that would be granted, and release.
    released: BTreeSet<u32>,
}

/// A lock with a line.
#[derive(Default)]
struct Site {
    holders: u32,
    /// How many of those would release.
    released: u32,
    /// Who waits, and how many holders there may be with it; 0 is no limit.
    line: Vec<(u32, u32)>,
    /// How many of those would be granted.
    served: usize,
}

impl Machine {
    /// Whether a connection's wait for a lock could never be granted.
    ///
    /// It looks at no hold and no wait twice, and only at those of locks whose holders the asker needs; at
    /// nothing at all when it holds nothing that somebody else holds or waits for.
    pub(super) fn is_deadlock(&self, asker: Id<Connection>, lock: Id<Lock>, limit: u32) -> bool {
        let tied =
            self.connections[asker].tenure.map_or([0; 2], |tenure| self.holds.tenures[tenure].tied_count);
        if tied == [0; 2] {
            return false;
        }
        let mut search = Search {
            asker: asker.position(),
            sites: BTreeMap::new(),
            unseen: vec![lock],
            held: BTreeMap::new(),
            released: BTreeSet::new(),
        };
        while let Some(next) = search.unseen.pop() {
            if search.sites.contains_key(&next.position()) {
                continue;
            }
            self.look_at(next, &mut search);
            if next == lock {
                let site = search.sites.get_mut(&lock.position()).expect("just looked at");
                site.line.push((search.asker, limit));
            }
            if search.reduce(next.position()) {
                if search.sites.len() > 1 {
                    reach(Mark::DeadlockRuledOut);
                }
                return false;
            }
        }
        true
    }

    fn look_at(&self, lock: Id<Lock>, search: &mut Search) {
        let mut site = Site::default();
        for tenure in self.holds.holder_tenures(lock) {
            let owner = self.holds.tenures[tenure].owner.expect("a holder of a lock with a line lives");
            let holder = owner.position();
            site.holders += 1;
            let wait = self.connections[owner].wait;
            let is_first = site.holders == 1 || !is_planted(Canary::DeadlockSeesOnlyTheFirstHolder);
            let stands_still = (wait.is_some() || holder == search.asker) && is_first;
            if !stands_still || search.released.contains(&holder) {
                site.released += 1;
                continue;
            }
            search.held.entry(holder).or_default().push(lock.position());
            search.unseen.extend(wait.map(|wait| self.holds.waits.slots[wait].lock));
        }
        let line = self.holds.waits.line(self.holds.line_head(lock));
        site.line = line.map(|(_, wait)| (wait.by.position(), wait.limit)).collect();
        search.sites.insert(lock.position(), site);
    }
}

impl Search {
    /// Lets go on who can, beginning with the line of one site. Says whether the asker would be granted.
    fn reduce(&mut self, site: u32) -> bool {
        let mut changed = vec![site];
        while let Some(at) = changed.pop() {
            let site = self.sites.get_mut(&at).expect("only sites that were looked at change");
            let next = if is_planted(Canary::DeadlockMissed) {
                site.line
                    .iter()
                    .rev()
                    .find(|(waiter, _)| *waiter == self.asker)
                    .or(site.line.get(site.served))
            } else {
                site.line.get(site.served)
            };
            let Some(&(waiter, limit)) = next else { continue };
            let left = site.holders - site.released;
            let is_enough = limit == 0 || left < limit;
            if !is_enough || (left > 0 && is_planted(Canary::DeadlockInvented)) {
                continue;
            }
            site.served += 1;
            if waiter == self.asker {
                return true;
            }
            self.released.insert(waiter);
            // The next in line, and the lines of what it holds.
            changed.push(at);
            for held in self.held.remove(&waiter).unwrap_or_default() {
                self.sites
                    .get_mut(&held)
                    .expect("looked at, or it would not be known to be held")
                    .released += 1;
                changed.push(held);
            }
        }
        false
    }
}
