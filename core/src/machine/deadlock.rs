//! Deadlocks: whether a wait that is about to begin could never be granted.
//!
//! The check is the reduction of Holt's resource graphs ("Some Deadlock Properties of Computer Systems", 1972). Every
//! connection that does not wait releases all it holds. Every connection that is granted something thereby does the
//! same, and so on. If the asker is still not granted, its wait would be a deadlock. A cycle in the graph is not
//! enough: if three may hold a lock, one release among the three holders lets the next one in.
//!
//! Checking only when a wait begins is enough. At that moment every existing wait can still be granted, because each
//! was checked when it began. No later event makes an existing wait impossible: each grant and each end of a wait is a
//! step of the reduction.
//!
//! Nobody is served while a search goes on, so it has a limit: [`Limits::step_holds`](crate::Limits::step_holds). What
//! it costs to look at a lock is known before: its holders, and its line if several may hold it. Locks are looked at in
//! a fixed order, nearest first. So whether a wait is refused depends only on who holds and waits for what.

use super::Machine;
use crate::storage::Id;
use crate::table::{Aim, Connection, Lock, TiedHold, Wait};
use crate::types::Kind;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What would become of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// It could be granted.
    Grant,
    /// It could never be granted.
    Deadlock,
    /// To find out takes more than the limit.
    Unknown,
}

/// The part of the graph that the asker depends on, as far as the search has come. Connections and locks are named by
/// the positions of their slots.
struct Search {
    asker: u32,
    /// The lock that it asks for by a place at the end of the line, to hold it as this kind, or whose end it would wait
    /// for.
    wanted: u32,
    kind: Kind,
    aim: Aim,
    sites: BTreeMap<u32, Site>,
    /// Locks that may have no site yet, in the order in which they are looked at.
    unseen: VecDeque<Id<Lock>>,
    /// Holds and waits that may still be looked at.
    left: u32,
    /// For each connection, the sites whose lock it holds and has not released.
    held: BTreeMap<u32, Vec<u32>>,
    /// For each site, which of those connections wait there.
    waiting: BTreeMap<u32, Vec<u32>>,
    /// For each site, which of those connections wait for its end, each with the order of its wait.
    ends: BTreeMap<u32, BTreeSet<(u64, u32)>>,
    /// Waiting connections that would be granted, and have released all.
    released: BTreeSet<u32>,
}

/// A lock with a line.
struct Site {
    /// How it is held.
    kind: Kind,
    /// Holders that would not release, as far as is known. If there is none, the whole line can be granted.
    left: u32,
    /// The first in line that would not be granted, as far as is known.
    next: Option<Id<Wait>>,
    /// No hold before this one stays. Only looked at if somebody waits for the lock's end. `None` if the lock is not
    /// tied: then nobody does.
    oldest: Option<Id<TiedHold>>,
}

impl Machine {
    /// How many of the asker's tied holds are looked at before a search. If there are more, the search comes first: it
    /// is mostly over at the first lock.
    const HOLDS_LOOKED_AT: usize = 64;

    /// Whether a connection's wait for a lock could ever be granted.
    ///
    /// The search visits each hold at most once, and only holds of locks that the asker depends on. In a line it visits
    /// only waits that would be granted beside a holder that stays.
    pub(crate) fn prospect(
        &self,
        asker: Id<Connection>,
        lock: Id<Lock>,
        (kind, aim): (Kind, Aim),
    ) -> Prospect {
        if aim == Aim::End && self.is_own(asker, lock) {
            return Prospect::Deadlock;
        }
        if self.keeps_nobody_waiting(asker, Self::HOLDS_LOOKED_AT) {
            return Prospect::Grant;
        }
        let most = self.config.limits.step_holds;
        let mut search = Search {
            asker: asker.position(),
            wanted: lock.position(),
            kind,
            aim,
            sites: BTreeMap::new(),
            unseen: VecDeque::from([lock]),
            left: most,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            ends: BTreeMap::new(),
            released: BTreeSet::new(),
        };
        while let Some(next) = search.unseen.pop_front() {
            if search.sites.contains_key(&next.position()) {
                continue;
            }
            let Some(left) = search.left.checked_sub(self.cost_of(next)) else {
                let is_harmless = self.keeps_nobody_waiting(asker, most as usize);
                return if is_harmless { Prospect::Grant } else { Prospect::Unknown };
            };
            search.left = left;
            self.look_at(next, &mut search);
            if self.is_granted_after(next, &mut search) {
                if search.sites.len() > 1 {
                    mark!(DeadlockRuledOut);
                }
                return Prospect::Grant;
            }
        }
        Prospect::Deadlock
    }

    /// Whether a connection holds a lock. Then its wait for the lock's end would be a wait for itself.
    fn is_own(&self, id: Id<Connection>, lock: Id<Lock>) -> bool {
        self.connections[id].tenure().is_some_and(|tenure| self.holds.is_holder(lock, tenure))
    }

    /// How many holds and waits there are to look at in a lock. The line behind a holder who holds alone is never
    /// walked: nobody in it is granted beside that one.
    fn cost_of(&self, lock: Id<Lock>) -> u32 {
        let line = match self.holds.locks()[lock].kind() {
            Kind::Exclusive | Kind::Write => 0,
            Kind::Shared | Kind::Read => self.holds.waiting(lock),
        };
        self.holds.holders(lock).saturating_add(line)
    }

    /// Whether it is certain that nobody waits for what a connection holds. Then its wait is no deadlock: every
    /// existing wait can be granted without its releases, and so its own can too. Looks at up to `most` tied holds. If
    /// the connection holds more than a step may look at, nothing is certain.
    fn keeps_nobody_waiting(&self, id: Id<Connection>, most: usize) -> bool {
        let Some(tenure) = self.connections[id].tenure() else { return true };
        if self.holds.tenure(tenure).holds() > self.config.limits.step_holds {
            return false;
        }
        let mut own = self.holds.tied(tenure);
        let is_wanted = |(_, hold): (Id<TiedHold>, &TiedHold)| {
            cost!(HoldSearched);
            self.holds.awaiting(hold.lock()) > 0
        };
        !own.by_ref().take(most).any(is_wanted) && own.next().is_none()
    }

    fn look_at(&self, lock: Id<Lock>, search: &mut Search) {
        let at = lock.position();
        let mut left = 0;
        for tenure in self.holds.holder_tenures(lock) {
            cost!(HoldSearched);
            // A session does not wait.
            let Some(owner) = self.holds.tenure(tenure).owner() else { continue };
            let holder = owner.position();
            let wait = self.connections[owner].wait().map(|wait| &self.holds.waits()[wait]);
            let stays = wait.is_some() || holder == search.asker;
            if !stays || self.is_released(holder, wait, search) {
                continue;
            }
            left += 1;
            let held = search.held.entry(holder).or_default();
            if let Some(wait) = wait.filter(|_| held.is_empty()) {
                let (lock, order) = (wait.lock(), wait.order());
                search.unseen.push_back(lock);
                search.waiting.entry(lock.position()).or_default().push(holder);
                if wait.place().aim() == Aim::End {
                    search.ends.entry(lock.position()).or_default().insert((order, holder));
                }
            }
            held.push(at);
        }
        let (next, oldest) = (self.holds.line_head(lock), self.holds.oldest_tied(lock));
        search.sites.insert(at, Site { kind: self.holds.locks()[lock].kind(), left, next, oldest });
    }

    /// Grants whatever can be granted, beginning with the line of one lock. Returns whether the asker would be granted.
    fn is_granted_after(&self, lock: Id<Lock>, search: &mut Search) -> bool {
        let mut changed = vec![lock.position()];
        while let Some(at) = changed.pop() {
            let Site { kind: held, left, next, .. } = search.sites[&at];
            let has_room = next.is_none() && search.aim.has_room_beside(left, || search.kind == held);
            if at == search.wanted && (left == 0 || has_room) {
                return true;
            }
            if left == 0 {
                for waiter in search.waiting.remove(&at).unwrap_or_default() {
                    search.release(waiter, &mut changed);
                }
                continue;
            }
            if let Some(next) = next {
                let wait = &self.holds.waits()[next];
                if wait.place().has_room_beside(left, held) {
                    cost!(WaitSearched);
                    search.sites.get_mut(&at).expect("a changed lock has a site").next =
                        wait.place().behind();
                    search.release(wait.by().position(), &mut changed);
                    changed.push(at);
                }
            }
            if search.ends.contains_key(&at) {
                let oldest = self.oldest_staying(at, search);
                let is_over = |order: u64| oldest.is_none_or(|oldest| oldest > order);
                while let Some(waiter) = search.take_ended(at, is_over) {
                    search.release(waiter, &mut changed);
                }
            }
        }
        false
    }

    /// The order of the oldest hold that would not be released, as far as is known.
    fn oldest_staying(&self, at: u32, search: &mut Search) -> Option<u64> {
        let site = search.sites.get_mut(&at).expect("only a lock with a site is looked at");
        while let Some(oldest) = site.oldest {
            let hold = &self.holds.ties().holds()[oldest];
            // A session does not wait.
            let owner = self.holds.tenure(hold.tenure()).owner();
            if owner.is_some_and(|owner| search.held.contains_key(&owner.position())) {
                return Some(hold.order());
            }
            site.oldest = hold.newer();
        }
        None
    }

    /// Whether the waiting connection `conn` would be granted, and then release. `wait` is what it waits for.
    fn is_released(&self, conn: u32, wait: Option<&Wait>, search: &mut Search) -> bool {
        if search.released.contains(&conn) {
            return true;
        }
        let Some(wait) = wait else { return false };
        let at = wait.lock().position();
        let Some(site) = search.sites.get(&at) else { return false };
        let is_over = |oldest: Option<u64>| oldest.is_none_or(|oldest| oldest > wait.order());
        site.left == 0 || wait.place().aim() == Aim::End && is_over(self.oldest_staying(at, search))
    }
}

impl Search {
    /// Takes out the connection that waits longest for the end of a lock, if its wait is over.
    fn take_ended(&mut self, at: u32, is_over: impl Fn(u64) -> bool) -> Option<u32> {
        let ends = self.ends.get_mut(&at)?;
        let (order, waiter) = *ends.first()?;
        is_over(order).then(|| ends.remove(&(order, waiter)))?;
        Some(waiter)
    }

    /// Has a connection release all it holds. Adds the sites that this changes to `changed`.
    fn release(&mut self, conn: u32, changed: &mut Vec<u32>) {
        self.released.insert(conn);
        for held in self.held.remove(&conn).unwrap_or_default() {
            self.sites.get_mut(&held).expect("a lock known to be held has a site").left -= 1;
            changed.push(held);
        }
    }
}
