//! The open connections: by number, by last activity, and counted by account.

use super::tenure::Tenure;
use super::wait::Wait;
use crate::storage::{Id, Index, Linked, Slab};
use crate::types::{Account, Conn, Now, Origin};

/// An open connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) conn: Conn,
    pub(crate) origin: Origin,
    /// Where it is counted: with its account.
    pub(crate) tally: TallyId,
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
    /// Of the index by number.
    link: Option<Id<Connection>>,
}

impl Linked for Connection {
    fn link(&self) -> Option<Id<Self>> {
        self.link
    }

    fn link_mut(&mut self) -> &mut Option<Id<Self>> {
        &mut self.link
    }
}

/// The name that a connection gave itself with `iam`.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) name: Box<[u8]>,
    /// Ascends with each registration: `who` lists by it.
    pub(crate) order: u64,
}

/// The place of an account's tally. Accounts are numbered in 16 bits, and each has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TallyId(u16);

/// What is counted for one account.
#[derive(Clone, Debug, Default)]
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
    /// Who spoke last: commands mostly come several from one connection.
    speaker: Option<(Conn, Id<Connection>)>,
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
            speaker: None,
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
        self.index.find(&self.slots, hash(conn), |connection| connection.conn == conn)
    }

    /// The same for a connection that says something.
    #[inline]
    pub(crate) fn find_speaker(&mut self, conn: Conn) -> Option<Id<Connection>> {
        match self.speaker {
            Some((speaker, id)) if speaker == conn => Some(id),
            _ => {
                let id = self.find(conn)?;
                self.speaker = Some((conn, id));
                Some(id)
            }
        }
    }

    pub(crate) fn speaker(&self) -> Option<(Conn, Id<Connection>)> {
        self.speaker
    }

    pub(crate) fn open(&mut self, now: Now, conn: Conn, origin: Origin) -> Id<Connection> {
        let tally = self.tally_of(origin.account);
        let connection = Connection {
            conn,
            origin,
            tally,
            tenure: None,
            wait: None,
            registered: None,
            active: now,
            older: None,
            newer: None,
            link: None,
        };
        let id = self.index.insert(&mut self.slots, connection, |connection| hash(connection.conn));
        self.highest = self.highest.max(Some(conn));
        self.tally_mut(tally).connections += 1;
        id
    }

    /// Takes a connection out. It must not be linked by activity any more (see `unlink`).
    pub(crate) fn close(&mut self, id: Id<Connection>) -> Connection {
        let connection = self.index.remove(&mut self.slots, id, |connection| hash(connection.conn));
        self.speaker = self.speaker.filter(|(_, speaker)| *speaker != id);
        self.tally_mut(connection.tally).connections -= 1;
        connection
    }

    /// Where an account is counted.
    pub(crate) fn tally_of(&mut self, account: Account) -> TallyId {
        let position = self.tallies.iter().position(|tally| tally.account == account);
        let position = position.unwrap_or_else(|| {
            self.tallies.push(Tally { account, ..Tally::default() });
            self.tallies.len() - 1
        });
        TallyId(u16::try_from(position).expect("there are as many accounts as 16 bits can tell apart"))
    }

    #[inline]
    pub(crate) fn tally(&self, TallyId(position): TallyId) -> &Tally {
        &self.tallies[usize::from(position)]
    }

    #[inline]
    pub(crate) fn tally_mut(&mut self, TallyId(position): TallyId) -> &mut Tally {
        &mut self.tallies[usize::from(position)]
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
            let kept = known.filter(|_| bug!(RegisteringAgainKeepsThePlace));
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
        let tally = connection.tally;
        self.tally_mut(tally).waits += 1;
    }

    /// Notes that a connection's wait is over.
    pub(crate) fn take_wait(&mut self, id: Id<Connection>) {
        let connection = &mut self.slots[id];
        assert!(connection.wait.take().is_some(), "a wait ends once");
        let tally = connection.tally;
        self.tally_mut(tally).waits -= 1;
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

/// Numbers come from the driver, not from clients, so a fixed mixer will do: the upper half of a product with an odd
/// number.
fn hash(conn: Conn) -> u32 {
    (conn.bits().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::assert_balanced;

    #[test]
    fn a_slot_takes_88_bytes() {
        assert_eq!(Slab::<Connection>::slot_bytes(), 88, "docs/architecture.md counts with this");
    }

    #[test]
    fn numbers_are_spread_over_all_bits() {
        assert_balanced((0..4096_u32).map(|serial| hash(Conn::new(0, u64::from(serial)))));
    }
}
