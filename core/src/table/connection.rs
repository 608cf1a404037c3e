//! The open connections: by number, and by last activity.

use super::account::{Tallies, Tally, TallyId};
use super::addresses::{Addresses, Source};
use super::grace::{Grace, Registration};
use super::line::{Aim, Place};
use super::memory;
use super::nodes::Nodes;
use super::tenure::Tenure;
use super::wait::Wait;
use crate::accounts::Accounts;
use crate::config::Config;
use crate::storage::{Broken, Chain, Id, Index, Linked, Links, List, Slab, TextPlace, Texts};
use crate::types::{Account, Conn, Now, Origin};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An open connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    conn: Conn,
    origin: Origin,
    /// The tally of its account.
    tally: TallyId,
    /// What it holds. `None` before its first get, and after its tenure ended.
    tenure: Option<Id<Tenure>>,
    /// What it waits for.
    wait: Option<Id<Wait>>,
    /// The grace that it asked for with `linger`, or took over.
    grace: Option<Id<Grace>>,
    /// Boxed: most connections have none.
    registered: Option<Box<Registered>>,
    /// When it last sent a command, or its last wait ended, by the clock of silence. Kept up to date only if there is
    /// an idle limit.
    active: Now,
    /// Its place in the order of activity. It has one only if there is an idle limit, and not while it waits.
    by_activity: Links<Connection>,
    /// The link of the index by number.
    link: Option<Id<Connection>>,
}

impl Connection {
    pub(crate) fn conn(&self) -> Conn {
        self.conn
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where it is counted.
    #[inline]
    pub(crate) fn tally(&self) -> TallyId {
        self.tally
    }

    /// What it holds. `None` before its first get, and after its tenure ended.
    #[inline]
    pub(crate) fn tenure(&self) -> Option<Id<Tenure>> {
        self.tenure
    }

    /// What it waits for.
    #[inline]
    pub(crate) fn wait(&self) -> Option<Id<Wait>> {
        self.wait
    }

    /// The grace that it asked for with `linger`, or took over.
    #[inline]
    pub(crate) fn grace(&self) -> Option<Id<Grace>> {
        self.grace
    }

    /// When it gave itself a name. [`Connections::name_of`] has the name.
    pub(crate) fn registered(&self) -> Option<&Registered> {
        self.registered.as_deref()
    }

    /// What its registered name counts for the limit of memory.
    pub(crate) fn name_memory(&self) -> u64 {
        self.registered().map_or(0, |registered| memory::of_registration(registered.bytes.into()))
    }
}

impl Linked for Connection {
    fn link(&self) -> Option<Id<Self>> {
        self.link
    }

    fn link_mut(&mut self) -> &mut Option<Id<Self>> {
        &mut self.link
    }
}

/// The connections by last activity, the longest idle first.
struct ByActivity;

impl Chain for ByActivity {
    type Value = Connection;

    fn links(connection: &Connection) -> &Links<Connection> {
        &connection.by_activity
    }

    fn links_mut(connection: &mut Connection) -> &mut Links<Connection> {
        &mut connection.by_activity
    }
}

/// The name that a connection gave itself with `iam`.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    place: TextPlace,
    /// Bytes of the name.
    bytes: u16,
    /// Ascends with each registration. `who` lists in this order.
    order: u64,
}

impl Registered {
    /// Ascends with each registration. `who` lists in this order.
    pub(crate) fn order(&self) -> u64 {
        self.order
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Connections {
    slots: Slab<Connection>,
    index: Index<Connection>,
    /// The connection that sent the last command, as a cache: several commands in a row mostly come from one
    /// connection.
    speaker: Option<(Conn, Id<Connection>)>,
    nodes: Nodes,
    by_activity: List<ByActivity>,
    /// Registered names. The owner of each is the position of its connection.
    names: Texts,
    /// Milliseconds that were lapses. The clock of silence stood still meanwhile, so it is behind by them.
    lapsed: u64,
    tallies: Tallies,
    /// Operators are not in it.
    addresses: Addresses,
    /// What connections and their names count for the limit of memory.
    memory: u64,
    last_registration: u64,
}

impl Connections {
    pub(crate) fn new(config: &Config) -> Self {
        let storage = &config.storage;
        // There are far fewer connections than locks.
        let index_tables = (storage.index_tables / 16).max(1);
        Self {
            slots: Slab::new(storage.chunk_slots),
            index: Index::new(index_tables),
            speaker: None,
            nodes: Nodes::default(),
            by_activity: List::EMPTY,
            names: Texts::new(storage.text_chunk_bytes),
            lapsed: 0,
            tallies: Tallies::new(config.accounts.clone(), config.limits.clone()),
            addresses: Addresses::default(),
            memory: 0,
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

    /// Like `find`, for a connection that sends a command: fast if the last command was its own.
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

    /// Opens a connection, however many come from its address.
    pub(crate) fn open(&mut self, now: Now, conn: Conn, origin: Origin) -> Id<Connection> {
        let (id, _) = self.open_within(now, conn, origin, 0).expect("there is no limit");
        id
    }

    /// Opens a connection, unless `most` from its address are open already; 0 is no limit. Returns too how many from
    /// there are open now: 0 if it has no address, or is an operator's.
    pub(crate) fn open_within(
        &mut self,
        now: Now,
        conn: Conn,
        origin: Origin,
        most: u32,
    ) -> Option<(Id<Connection>, u32)> {
        let from_address = match origin.source() {
            Some(source) => self.addresses.add(source, most)?,
            None => 0,
        };
        let tally = self.tally_of(origin.account);
        let connection = Connection {
            conn,
            origin,
            tally,
            tenure: None,
            wait: None,
            grace: None,
            registered: None,
            active: self.silence_clock(now),
            by_activity: Links::NONE,
            link: None,
        };
        let id = self.index.insert(&mut self.slots, connection, |connection| hash(connection.conn));
        self.note_number(conn);
        self.nodes.add(conn, id);
        self.tally_mut(tally).add_connection();
        self.memory += memory::CONNECTION;
        Some((id, from_address))
    }

    /// Takes a connection out. It must have left the order of activity (see `unlink`).
    pub(crate) fn close(&mut self, id: Id<Connection>) -> Connection {
        self.set_registered(id, None);
        let connection = self.index.remove(&mut self.slots, id, |connection| hash(connection.conn));
        self.nodes.remove(connection.conn);
        self.speaker = self.speaker.filter(|(_, speaker)| *speaker != id);
        self.tally_mut(connection.tally).remove_connection();
        if let Some(source) = connection.origin.source() {
            self.addresses.remove(source);
        }
        self.memory -= memory::CONNECTION;
        connection
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Has a node drain from now on, or no longer.
    pub(crate) fn set_drains(&mut self, node: u16, drains: bool) {
        if drains { self.nodes.begin_drain(node) } else { self.nodes.end_drain(node) }
    }

    /// Whether the node drains that accepted a connection.
    pub(crate) fn drains(&self, id: Id<Connection>) -> bool {
        self.nodes.drains(self.slots[id].conn.node())
    }

    /// Every connection of a node, by number. Looks at no other, unless the node is a single daemon.
    pub(crate) fn of_node(&self, node: u16) -> Vec<Id<Connection>> {
        if node != Nodes::UNLISTED {
            let listed = self.nodes.get(node).into_iter().flat_map(|node| node.connections().values());
            return listed.copied().collect();
        }
        let is_its = |(_, connection): &(Id<Connection>, &Connection)| connection.conn.node() == node;
        let mut all: Vec<_> = self.slots.iter().filter(is_its).map(|(id, _)| id).collect();
        all.sort_by_key(|id| self.slots[*id].conn);
        all
    }

    /// Notes a number. It and all below it on its node are never opened again.
    pub(crate) fn note_number(&mut self, conn: Conn) {
        self.nodes.note_number(conn);
    }

    /// The tally of an account. Adds one if the account is new.
    pub(crate) fn tally_of(&mut self, account: Account) -> TallyId {
        self.tallies.tally_of(account)
    }

    #[inline]
    pub(crate) fn tally(&self, id: TallyId) -> &Tally {
        self.tallies.tally(id)
    }

    #[inline]
    pub(crate) fn tally_mut(&mut self, id: TallyId) -> &mut Tally {
        self.tallies.tally_mut(id)
    }

    pub(crate) fn tallies(&self) -> &[Tally] {
        self.tallies.tallies()
    }

    /// The table of accounts.
    pub(crate) fn accounts(&self) -> &Arc<Accounts> {
        self.tallies.accounts()
    }

    /// Whether there was another table of accounts before. Then an account may have more than this one allows.
    pub(crate) fn accounts_are_replaced(&self) -> bool {
        self.tallies.is_replaced()
    }

    /// Replaces the table of accounts. What is counted stays. `is_replaced` is whether there was another one in use.
    pub(crate) fn set_accounts(&mut self, accounts: Arc<Accounts>, is_replaced: bool) {
        self.tallies.set_accounts(accounts, is_replaced);
    }

    /// Gives a connection to another account, unless `most` from its address are open already; 0 is no limit. Returns
    /// how many from there are open now, or 0 if that number is as before. The connection must hold nothing and not
    /// wait.
    pub(crate) fn move_to(&mut self, id: Id<Connection>, account: Account, most: u32) -> Option<u32> {
        let before = self.slots[id].origin;
        let after = Origin { account, ..before };
        let mut from_address = 0;
        if before.source() != after.source() {
            if let Some(source) = after.source() {
                from_address = self.addresses.add(source, most)?;
            }
            if let Some(source) = before.source() {
                self.addresses.remove(source);
            }
        }
        let (from, to) = (self.slots[id].tally, self.tally_of(account));
        let name = self.slots[id].name_memory();
        self.tally_mut(from).remove_connection();
        self.tally_mut(from).remove_memory(name);
        self.tally_mut(to).add_connection();
        self.tally_mut(to).add_memory(name);
        let connection = &mut self.slots[id];
        (connection.origin, connection.tally) = (after, to);
        Some(from_address)
    }

    /// Every address that has connections, with their number. Operators do not count.
    pub(crate) fn sources(&self) -> &BTreeMap<Source, u32> {
        self.addresses.counts()
    }

    /// What connections and their names count for the limit of memory.
    #[inline]
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    /// What connections without names count for the limit of memory.
    pub(crate) fn memory_without_names(&self) -> u64 {
        u64::from(self.len()) * memory::CONNECTION
    }

    /// A time by the clock of silence.
    fn silence_clock(&self, now: Now) -> Now {
        Now(now.0 - self.lapsed)
    }

    /// Notes a lapse before the next input. It must have begun after the last one.
    pub(crate) fn lapse(&mut self, ms: u64) {
        self.lapsed += ms;
    }

    /// When a connection last sent a command, or its last wait ended, or later by the lapses since. Without an idle
    /// limit: when it opened.
    pub(crate) fn active(&self, id: Id<Connection>) -> Now {
        Now(self.slots[id].active.0.saturating_add(self.lapsed))
    }

    /// The connection that has been idle longest. `None` without an idle limit.
    pub(crate) fn oldest(&self) -> Option<Id<Connection>> {
        self.by_activity.first()
    }

    /// The connections in the order of activity, the longest idle first. Empty without an idle limit.
    pub(crate) fn by_activity(&self) -> impl Iterator<Item = (Id<Connection>, &Connection)> {
        self.by_activity.iter(&self.slots)
    }

    /// Checks the links of the order of activity. Returns how many connections are in it.
    ///
    /// # Errors
    ///
    /// The first link that is wrong.
    pub(crate) fn check_activity(&self) -> Result<u32, Broken> {
        self.by_activity.check(|id| self.slots.get(id))
    }

    /// Puts a connection at the end of the order of activity, as active `now`.
    pub(crate) fn link(&mut self, id: Id<Connection>, now: Now) {
        self.slots[id].active = self.silence_clock(now);
        self.by_activity.push_back(&mut self.slots, id);
    }

    /// Takes a connection out of the order of activity.
    pub(crate) fn unlink(&mut self, id: Id<Connection>) {
        self.by_activity.remove(&mut self.slots, id);
    }

    /// Notes that a connection sent a command.
    pub(crate) fn touch(&mut self, id: Id<Connection>, now: Now) {
        if self.by_activity.last() == Some(id) {
            self.slots[id].active = self.silence_clock(now);
        } else {
            self.unlink(id);
            self.link(id, now);
        }
    }

    /// The order of the last registration.
    pub(crate) fn last_registration(&self) -> u64 {
        self.last_registration
    }

    /// Gives a connection a name. An empty name takes it back.
    pub(crate) fn register(&mut self, id: Id<Connection>, name: &[u8]) {
        if name.is_empty() {
            self.set_registered(id, None);
        } else {
            self.last_registration += 1;
            self.set_registered(id, Some((name, self.last_registration)));
        }
    }

    fn set_registered(&mut self, id: Id<Connection>, registration: Option<(&[u8], u64)>) {
        if let Some(old) = self.slots[id].registered.take() {
            let (bytes, tally) = (memory::of_registration(old.bytes.into()), self.slots[id].tally);
            self.memory -= bytes;
            self.tally_mut(tally).remove_memory(bytes);
            let slots = &mut self.slots;
            self.names.remove(old.place, |owner, place| {
                let (id, _) = slots.at(owner).expect("a registered name has its connection");
                slots[id].registered.as_mut().expect("its name is registered").place = place;
            });
        }
        let Some((name, order)) = registration else { return };
        let bytes = u16::try_from(name.len()).expect("the limit of a name is a `u16`");
        let place = self.names.insert(name, id.position());
        let connection = &mut self.slots[id];
        connection.registered = Some(Box::new(Registered { place, bytes, order }));
        let (bytes, tally) = (connection.name_memory(), connection.tally);
        self.memory += bytes;
        self.tally_mut(tally).add_memory(bytes);
    }

    /// The name that a connection gave itself.
    pub(crate) fn name_of(&self, connection: &Connection) -> Option<&[u8]> {
        connection.registered().map(|registered| self.names.get(registered.place))
    }

    /// Checks where registered names are stored.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(crate) fn check_names(&self) -> Result<(), String> {
        let place = |(id, of): (Id<Connection>, &Connection)| Some((id.position(), of.registered()?.place));
        self.names.check(self.slots.iter().filter_map(place))
    }

    pub(crate) fn set_tenure(&mut self, id: Id<Connection>, tenure: Id<Tenure>) {
        self.slots[id].tenure = Some(tenure);
    }

    /// Takes a connection's tenure from it. Its next get begins another.
    pub(crate) fn forget_tenure(&mut self, id: Id<Connection>) {
        self.slots[id].tenure = None;
    }

    pub(crate) fn set_grace(&mut self, id: Id<Connection>, grace: Option<Id<Grace>>) {
        self.slots[id].grace = grace;
    }

    /// A copy of a connection's registration, which outlives it.
    pub(crate) fn registration(&self, id: Id<Connection>) -> Option<Registration> {
        let connection = &self.slots[id];
        let (registered, name) = connection.registered().zip(self.name_of(connection))?;
        Some(Registration { name: name.into(), order: registered.order() })
    }

    /// Notes that a connection waits, and counts it. `outer_bytes` of the lock's name are stored outside its slot.
    pub(crate) fn set_wait(&mut self, id: Id<Connection>, wait: Id<Wait>, (aim, outer_bytes): (Aim, u64)) {
        let connection = &mut self.slots[id];
        assert!(connection.wait.replace(wait).is_none(), "a connection waits for one thing at a time");
        let tally = connection.tally;
        self.tally_mut(tally).add_wait(aim, outer_bytes);
    }

    /// Notes that a connection's wait is over.
    pub(crate) fn take_wait(&mut self, id: Id<Connection>, place: &Place) {
        let connection = &mut self.slots[id];
        assert!(connection.wait.take().is_some(), "a wait ends once");
        let tally = connection.tally;
        self.tally_mut(tally).remove_wait(place.aim(), place.outer_bytes());
    }

    /// Restores from a snapshot the order of the last registration.
    pub(crate) fn restore_last_registration(&mut self, last_registration: u64) {
        self.last_registration = last_registration;
    }

    /// Restores from a snapshot what was known of a node.
    pub(crate) fn restore_node(&mut self, node: u16, next_serial: u64, drains: bool) {
        self.nodes.restore(node, next_serial, drains);
    }

    /// Gives a connection a registration that was another's, or is from a snapshot.
    pub(crate) fn restore_registration(&mut self, id: Id<Connection>, name: &[u8], order: u64) {
        self.set_registered(id, Some((name, order)));
    }
}

impl std::ops::Index<Id<Connection>> for Connections {
    type Output = Connection;

    fn index(&self, id: Id<Connection>) -> &Connection {
        &self.slots[id]
    }
}

/// The upper half of a product with an odd number. A fixed mixer is enough: numbers come from the driver, not from
/// clients.
fn hash(conn: Conn) -> u32 {
    (conn.bits().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::assert_balanced;

    #[test]
    fn a_slot_takes_96_bytes() {
        assert_eq!(Slab::<Connection>::slot_bytes(), 96, "docs/architecture.md counts with this");
    }

    #[test]
    fn numbers_are_spread_over_all_bits() {
        assert_balanced((0..4096_u32).map(|serial| hash(Conn::new(0, u64::from(serial)))));
    }
}
