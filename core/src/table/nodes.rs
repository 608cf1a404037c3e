//! What is known of each node that has accepted a connection or drains: which serials it may still use, whether it
//! drains, and its connections in the order of their numbers. A single daemon is node 0 alone. Its connections are not
//! listed, so that they cost it nothing.

use super::connection::Connection;
use crate::storage::Id;
use crate::types::Conn;
use std::collections::BTreeMap;

/// The nodes by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes(Vec<Node>);

#[derive(Clone, Debug)]
pub(crate) struct Node {
    number: u16,
    /// Serials below this are never opened again.
    next_serial: u64,
    drains: bool,
    /// Its open connections by serial. Always empty for node 0.
    connections: BTreeMap<u64, Id<Connection>>,
}

impl Node {
    pub(crate) const fn number(&self) -> u16 {
        self.number
    }

    /// Serials below this are never opened again.
    pub(crate) const fn next_serial(&self) -> u64 {
        self.next_serial
    }

    pub(crate) const fn drains(&self) -> bool {
        self.drains
    }

    /// Its open connections by serial. Always empty for node 0.
    pub(crate) const fn connections(&self) -> &BTreeMap<u64, Id<Connection>> {
        &self.connections
    }
}

impl Nodes {
    /// The node whose connections are not listed.
    pub(crate) const UNLISTED: u16 = 0;

    /// Every known node, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.iter()
    }

    pub(crate) fn get(&self, number: u16) -> Option<&Node> {
        self.place(number).ok().map(|place| &self.0[place])
    }

    /// The lowest serial that a node may still use.
    pub(crate) fn next_serial(&self, number: u16) -> u64 {
        self.get(number).map_or(0, Node::next_serial)
    }

    /// Whether a connection has a number that was used before, or is below one that was.
    pub(crate) fn is_used(&self, conn: Conn) -> bool {
        conn.serial() < self.next_serial(conn.node())
    }

    /// Notes a number. It and all below it on its node are never opened again.
    pub(crate) fn note_number(&mut self, conn: Conn) {
        let node = self.entry(conn.node());
        node.next_serial = node.next_serial.max(conn.serial() + 1);
    }

    /// Whether a node drains.
    pub(crate) fn drains(&self, number: u16) -> bool {
        self.get(number).is_some_and(Node::drains)
    }

    /// Whether any node drains.
    pub(crate) fn any_drains(&self) -> bool {
        self.0.iter().any(Node::drains)
    }

    /// Has a node drain from now on.
    pub(crate) fn begin_drain(&mut self, number: u16) {
        self.entry(number).drains = true;
    }

    /// Has a node drain no longer, because its connections are gone.
    pub(crate) fn end_drain(&mut self, number: u16) {
        if let Ok(place) = self.place(number) {
            self.0[place].drains = false;
            if self.0[place].next_serial == 0 {
                self.0.remove(place);
            }
        }
    }

    /// Lists an open connection under its node.
    pub(super) fn add(&mut self, conn: Conn, id: Id<Connection>) {
        if conn.node() != Self::UNLISTED {
            self.entry(conn.node()).connections.insert(conn.serial(), id);
        }
    }

    /// Takes a connection out of the list of its node.
    pub(super) fn remove(&mut self, conn: Conn) {
        if conn.node() != Self::UNLISTED {
            let removed = self.entry(conn.node()).connections.remove(&conn.serial());
            assert!(removed.is_some(), "an open connection is listed under its node");
        }
    }

    /// Restores a node from a snapshot. Its connections stay listed.
    pub(super) fn restore(&mut self, number: u16, next_serial: u64, drains: bool) {
        let node = self.entry(number);
        (node.next_serial, node.drains) = (next_serial, drains);
    }

    fn place(&self, number: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, Node::number)
    }

    fn entry(&mut self, number: u16) -> &mut Node {
        let place = self.place(number).unwrap_or_else(|place| {
            let connections = BTreeMap::new();
            self.0.insert(place, Node { number, next_serial: 0, drains: false, connections });
            place
        });
        &mut self.0[place]
    }
}
