//! What only operators may say, on an administrative listener: closing a connection, and taking a lock away.

use super::Machine;
use super::input::Cause;
use super::output::{Output, Reason};
use crate::storage::Id;
use crate::table::{Connection, Lock};
use crate::types::{Addr, Conn, Kind};
use crate::wire::{Reply, Verb};

impl Machine {
    /// Closes every connection that has this address or this registered name. There may be none, and the asker may be
    /// one of them. It looks at every connection. Their locks are orphaned, as at any end of a connection.
    pub(crate) fn kick(&mut self, asker: Conn, addr: &[u8], out: &mut impl FnMut(Conn, Output<'_>)) {
        let wanted = Addr::parse(addr);
        let is_it = |connection: &Connection| {
            Some(connection.origin().addr) == wanted || self.connections.name_of(connection) == Some(addr)
        };
        let connections = self.connections.slots().iter().filter(|(_, connection)| is_it(connection));
        let mut kicked: Vec<(Conn, Id<Connection>)> =
            connections.map(|(id, connection)| (connection.conn(), id)).collect();
        kicked.sort_unstable_by_key(|(conn, _)| *conn);
        if kicked.is_empty() {
            self.counters.failures[Verb::Kick] += 1;
        }
        out(asker, Output::Reply(Reply::Kicked { connections: kicked.len() as u32, addr }));
        for (conn, id) in kicked {
            mark!(ConnectionWasKicked);
            self.close(id, Cause::Kicked, out);
            out(conn, Output::Disconnect(Reason::Kicked));
        }
    }

    /// Takes a lock from who holds it alone, as if that one had released it. Nothing is taken from those who share one.
    pub(crate) fn steal<'a>(&mut self, kind: Kind, name: &'a [u8]) -> Reply<'a> {
        let found = self.holds.find(kind, name);
        let is_so = |lock: &Id<Lock>| !kind.is_counted() && self.holds.locks()[*lock].kind() == kind;
        let Some(lock) = found.lock().filter(|lock| found.holders() > 0 && is_so(lock)) else {
            return Reply::Stolen { kind, was_held: false, name };
        };
        let tenure = self.holds.holder_tenures(lock).next().expect("a held lock has a holder");
        let holder = self.holds.tenure(tenure).owner().expect("a holder lives");
        self.end_hold(lock, tenure, self.connections[holder].tally());
        Reply::Stolen { kind, was_held: true, name }
    }
}
