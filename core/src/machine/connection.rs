//! The open connections: by number, by last activity, and counted by account.

use crate::canary::{Canary, is_planted};
use crate::storage::{Id, Index, Slab};
use crate::types::{Account, Conn, Now, Origin};

use super::tenure::Tenure;
use super::wait::Wait;

/// An open connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) conn: Conn,
    pub(crate) origin: Origin,
    /// What it holds; `None` until its first get.
    pub(crate) tenure: Option<Id<Tenure>>,
    /// What it waits for.
    pub(crate) wait: Option<Id<Wait>>,
    /// Boxed: most connections have none.
    pub(crate) registered: Option<Box<Registered>>,
    /// When it last said something, or its last wait ended. Kept up to date only where there is an idle limit.
    pub(crate) active: Now,
    /// Neighbours by last activity. Linked only where there is an idle limit, and not while it waits.
    older: Option<Id<Connection>>,
    newer: Option<Id<Connection>>,
}

/// The name that a connection gave itself with `iam`.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) name: Box<[u8]>,
    /// Ascends with each registration: `who` lists by it.
    pub(crate) order: u64,
}

/// What is counted for one account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) account: Account,
    pub(crate) connections: u32,
    pub(crate) holds: u32,
    pub(crate) waits: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Connections {
    slots: Slab<Connection>,
    index: Index<Connection>,
    /// The highest number seen: numbers at or below it are never opened again.
    pub(crate) highest: Option<Conn>,
    /// The longest idle, and the latest active.
    oldest: Option<Id<Connection>>,
    newest: Option<Id<Connection>>,
    /// One entry for each account seen, in order of appearance; there are few.
    tallies: Vec<Tally>,
    pub(crate) last_registration: u64,
}

impl Connections {
    pub(crate) fn new(chunk_slots: u32, index_tables: u32) -> Self {
        Self {
            slots: Slab::new(chunk_slots),
            index: Index::new(index_tables),
            highest: None,
            oldest: None,
            newest: None,
            tallies: vec![Tally::default()],
            last_registration: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.slots.len()
    }

    pub(crate) fn slots(&self) -> &Slab<Connection> {
        &self.slots
    }

    pub(crate) fn indexed(&self) -> u32 {
        self.index.len()
    }

    pub(crate) fn find(&self, conn: Conn) -> Option<Id<Connection>> {
        self.index.find(hash(conn), |id| self.slots[id].conn == conn)
    }

    pub(crate) fn open(&mut self, now: Now, conn: Conn, origin: Origin) -> Id<Connection> {
        let id = self.slots.insert(Connection {
            conn,
            origin,
            tenure: None,
            wait: None,
            registered: None,
            active: now,
            older: None,
            newer: None,
        });
        let slots = &self.slots;
        self.index.insert(hash(conn), id, |id| hash(slots[id].conn));
        self.highest = self.highest.max(Some(conn));
        self.tally_mut(origin.account).connections += 1;
        id
    }

    /// Takes a connection out. It must not be linked by activity any more (see `unlink`).
    pub(crate) fn close(&mut self, id: Id<Connection>) -> Connection {
        let connection = self.slots.remove(id);
        let slots = &self.slots;
        self.index.remove(hash(connection.conn), id, |id| hash(slots[id].conn));
        self.tally_mut(connection.origin.account).connections -= 1;
        connection
    }

    /// What is counted for an account: nothing, for one that was never seen.
    pub(crate) fn tally(&self, account: Account) -> Tally {
        self.tallies.iter().find(|tally| tally.account == account).copied().unwrap_or_default()
    }

    pub(crate) fn tally_mut(&mut self, account: Account) -> &mut Tally {
        let position = self.tallies.iter().position(|tally| tally.account == account);
        let position = position.unwrap_or_else(|| {
            self.tallies.push(Tally { account, ..Tally::default() });
            self.tallies.len() - 1
        });
        &mut self.tallies[position]
    }

    pub(crate) fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// The connection that has been idle longest, where there is an idle limit.
    pub(crate) fn oldest(&self) -> Option<Id<Connection>> {
        self.oldest
    }

    /// The connections by last activity, longest idle first, where there is an idle limit.
    pub(crate) fn by_activity(&self) -> impl Iterator<Item = Id<Connection>> {
        std::iter::successors(self.oldest, |id| self.slots[*id].newer)
    }

    /// Makes a connection the latest active one.
    pub(crate) fn link(&mut self, id: Id<Connection>, now: Now) {
        let older = self.newest.replace(id);
        let connection = &mut self.slots[id];
        connection.active = now;
        connection.older = older;
        match older {
            Some(older) => self.slots[older].newer = Some(id),
            None => self.oldest = Some(id),
        }
    }

    /// Takes a connection out of the order of activity.
    pub(crate) fn unlink(&mut self, id: Id<Connection>) {
        let connection = &mut self.slots[id];
        let (older, newer) = (connection.older.take(), connection.newer.take());
        match older {
            Some(older) => self.slots[older].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.slots[newer].older = older,
            None => self.newest = older,
        }
    }

    /// Notes that a connection said something.
    pub(crate) fn touch(&mut self, id: Id<Connection>, now: Now) {
        if self.newest == Some(id) {
            self.slots[id].active = now;
        } else {
            self.unlink(id);
            self.link(id, now);
        }
    }

    /// Gives a connection a name, or takes it back.
    pub(crate) fn register(&mut self, id: Id<Connection>, name: &[u8]) {
        self.slots[id].registered = if name.is_empty() {
            None
        } else {
            self.last_registration += 1;
            let known = self.slots[id].registered.as_ref().map(|registered| registered.order);
            let kept = known.filter(|_| is_planted(Canary::RegisteringAgainKeepsThePlace));
            let order = kept.unwrap_or(self.last_registration);
            Some(Box::new(Registered { name: name.into(), order }))
        };
    }

    pub(crate) fn set_tenure(&mut self, id: Id<Connection>, tenure: Id<Tenure>) {
        self.slots[id].tenure = Some(tenure);
    }

    /// Takes a connection's tenure from it: its next get begins another.
    pub(crate) fn forget_tenure(&mut self, id: Id<Connection>) {
        self.slots[id].tenure = None;
    }

    /// Notes that a connection waits, and counts it.
    pub(crate) fn set_wait(&mut self, id: Id<Connection>, wait: Id<Wait>) {
        let connection = &mut self.slots[id];
        assert!(connection.wait.replace(wait).is_none(), "a connection waits for one thing at a time");
        let account = connection.origin.account;
        self.tally_mut(account).waits += 1;
    }

    /// Notes that a connection's wait is over.
    pub(crate) fn take_wait(&mut self, id: Id<Connection>) {
        let connection = &mut self.slots[id];
        assert!(connection.wait.take().is_some(), "a wait ends once");
        let account = connection.origin.account;
        self.tally_mut(account).waits -= 1;
    }

    /// Gives a connection a registration from a snapshot.
    pub(crate) fn restore_registration(&mut self, id: Id<Connection>, registered: Registered) {
        self.slots[id].registered = Some(Box::new(registered));
    }
}

impl std::ops::Index<Id<Connection>> for Connections {
    type Output = Connection;

    fn index(&self, id: Id<Connection>) -> &Connection {
        &self.slots[id]
    }
}

/// Numbers come from the driver, not from clients, so a fixed mixer will do: an odd multiplier, and the
/// upper half folded down, because the index places by the lowest bits.
fn hash(conn: Conn) -> u64 {
    let mixed = conn.bits().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::assert_balanced;

    #[test]
    fn a_slot_takes_80_bytes() {
        assert_eq!(Slab::<Connection>::slot_bytes(), 80, "docs/architecture.md counts with this");
    }

    #[test]
    fn numbers_are_spread_over_all_bits() {
        assert_balanced((0..4096_u32).map(|serial| hash(Conn::new(0, u64::from(serial)))));
    }
}
