//! Deadlocks: whether a wait that is about to begin could never be granted.
//!
//! It never could if it were not granted even when every connection that is not waiting released all it holds,
//! every connection granted thereby did the same, and so on. That is the reduction of Holt's resource graphs
//! ("Some Deadlock Properties of Computer Systems", 1972). A cycle alone says too little: of a lock that three
//! may hold, one of its three holders is enough.
//!
//! To look when a wait begins is enough: every wait before it could be granted then, and nothing that happens
//! later takes that away, because whatever is granted or ends goes the way of those that release.

use super::Machine;
use crate::storage::Id;
use crate::table::{Connection, Lock, TiedHold, Wait};

use std::collections::{BTreeMap, BTreeSet};

/// The part of the graph that the asker needs, as far as it has been looked at. Connections and locks are called
/// by their slots' positions.
struct Search {
    asker: u32,
    /// What it asks for: a place at the end of this lock's line, with this limit.
    wanted: u32,
    limit: u32,
    sites: BTreeMap<u32, Site>,
    /// Locks whose sites are not looked at yet.
    unseen: Vec<Id<Lock>>,
    /// In which sites a connection holds the lock and has not released it.
    held: BTreeMap<u32, Vec<u32>>,
    /// Of those connections, who waits in which site.
    waiting: BTreeMap<u32, Vec<u32>>,
    /// Waiting connections that would be granted one after the other, and release.
    released: BTreeSet<u32>,
}

/// A lock with a line.
struct Site {
    /// Holders that would not release, as far as is known. When there is none, everybody in line is granted.
    left: u32,
    /// Who is first in line of those that would not be granted, as far as is known.
    next: Option<Id<Wait>>,
}

impl Machine {
    /// Of a connection's tied holds, how many are looked at before the search is made anyway.
    const HOLDS_LOOKED_AT: usize = 64;

    /// Whether a connection's wait for a lock could never be granted.
    ///
    /// It looks at no hold twice, and only at those of locks whose holders the asker needs; in lines, only at
    /// waits that would be granted beside a holder that stays.
    pub(crate) fn is_deadlock(&self, asker: Id<Connection>, lock: Id<Lock>, limit: u32) -> bool {
        if self.keeps_nobody_waiting(asker) {
            return false;
        }
        let mut search = Search {
            asker: asker.position(),
            wanted: lock.position(),
            limit,
            sites: BTreeMap::new(),
            unseen: vec![lock],
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            released: BTreeSet::new(),
        };
        while let Some(next) = search.unseen.pop() {
            if search.sites.contains_key(&next.position()) {
                continue;
            }
            self.look_at(next, &mut search);
            if self.is_granted_after(next, &mut search) {
                if search.sites.len() > 1 {
                    mark!(DeadlockRuledOut);
                }
                return false;
            }
        }
        true
    }

    /// Whether it is known that nobody waits for what a connection holds. Every wait that goes on could be granted
    /// if it released all; so if nobody needs that, its own wait can be granted too.
    fn keeps_nobody_waiting(&self, id: Id<Connection>) -> bool {
        let Some(tenure) = self.connections[id].tenure() else { return true };
        let mut own = self.holds.tied(tenure);
        let is_wanted = |(_, hold): (Id<TiedHold>, &TiedHold)| self.holds.waiting(hold.lock()) > 0;
        !own.by_ref().take(Self::HOLDS_LOOKED_AT).any(is_wanted) && own.next().is_none()
    }

    fn look_at(&self, lock: Id<Lock>, search: &mut Search) {
        let at = lock.position();
        let mut left = 0;
        for tenure in self.holds.holder_tenures(lock) {
            let owner = self.holds.tenure(tenure).owner().expect("a holder of a lock with a line lives");
            let holder = owner.position();
            let wait = self.connections[owner].wait().map(|wait| self.holds.waits()[wait].lock());
            let stays = wait.is_some() || holder == search.asker;
            if !stays || search.is_released(holder, wait) {
                continue;
            }
            left += 1;
            let held = search.held.entry(holder).or_default();
            if let Some(wait) = wait.filter(|_| held.is_empty()) {
                search.unseen.push(wait);
                search.waiting.entry(wait.position()).or_default().push(holder);
            }
            held.push(at);
        }
        search.sites.insert(at, Site { left, next: self.holds.line_head(lock) });
    }

    /// Lets go on who can, beginning with the line of one lock. Says whether the asker would be granted.
    fn is_granted_after(&self, lock: Id<Lock>, search: &mut Search) -> bool {
        let mut changed = vec![lock.position()];
        while let Some(at) = changed.pop() {
            let Site { left, next } = search.sites[&at];
            let is_enough = |limit: u32| limit == 0 || left < limit;
            if at == search.wanted && (left == 0 || next.is_none() && is_enough(search.limit)) {
                return true;
            }
            if left == 0 {
                for waiter in search.waiting.remove(&at).unwrap_or_default() {
                    search.release(waiter, &mut changed);
                }
            } else if let Some(next) = next {
                let wait = &self.holds.waits()[next];
                if is_enough(wait.place().limit()) {
                    search.sites.get_mut(&at).expect("looked at").next = wait.place().behind();
                    search.release(wait.by().position(), &mut changed);
                    changed.push(at);
                }
            }
        }
        false
    }
}

impl Search {
    /// Whether a connection, which waits for a lock, would be granted and release.
    fn is_released(&self, conn: u32, wait: Option<Id<Lock>>) -> bool {
        self.released.contains(&conn)
            || wait.is_some_and(|lock| self.sites.get(&lock.position()).is_some_and(|site| site.left == 0))
    }

    /// Takes note that a connection would release all it holds: in which sites that changes something.
    fn release(&mut self, conn: u32, changed: &mut Vec<u32>) {
        self.released.insert(conn);
        for held in self.held.remove(&conn).unwrap_or_default() {
            self.sites.get_mut(&held).expect("looked at, or it would not be known to be held").left -= 1;
            changed.push(held);
        }
    }
}
