//! What only operators may say: closing a connection, and taking a lock away.

use super::Machine;
use super::input::Cause;
use super::output::{Output, Reason};
use crate::storage::Id;
use crate::table::{Connection, Grace, Left, Lock};
use crate::types::{Addr, Conn, Kind};
use crate::wire::{Reply, Verb};

impl Machine {
    /// Closes every connection that has this address or this registered name, and ends such sessions. There may be
    /// none, and the asker may be one of them. It looks at every connection. Their locks are orphaned, as at any end of
    /// a connection.
    pub(crate) fn kick(&mut self, asker: Conn, addr: &[u8], out: &mut impl FnMut(Conn, Output<'_>)) {
        let wanted = Addr::parse(addr);
        let is_it = |connection: &Connection| {
            Some(connection.origin().addr) == wanted || self.connections.name_of(connection) == Some(addr)
        };
        let connections = self.connections.slots().iter().filter(|(_, connection)| is_it(connection));
        let mut kicked: Vec<(Conn, Id<Connection>)> =
            connections.map(|(id, connection)| (connection.conn(), id)).collect();
        kicked.sort_unstable_by_key(|(conn, _)| *conn);
        let sessions = self.sessions_to_kick(addr);
        let all = kicked.len() + sessions.len();
        if all == 0 {
            self.counters.failures[Verb::Kick] += 1;
        }
        out(asker, Output::Reply(Reply::Kicked { connections: all as u32, addr }));
        for grace in sessions {
            mark!(SessionWasKicked);
            self.end_session(grace);
        }
        for (conn, id) in kicked {
            mark!(ConnectionWasKicked);
            self.close(id, Cause::Kicked, out);
            out(conn, Output::Disconnect(Reason::Kicked));
        }
    }

    /// The sessions that have this address, written with `~`, or this registered name.
    fn sessions_to_kick(&self, addr: &[u8]) -> Vec<Id<Grace>> {
        let wanted = addr.strip_prefix(b"~").and_then(Addr::parse);
        let is_it = |left: &Left| {
            Some(left.origin.addr) == wanted
                || left.registered.as_ref().is_some_and(|registered| *registered.name == *addr)
        };
        let graces = self.graces.slots().iter();
        graces.filter(|(_, grace)| grace.left().is_some_and(is_it)).map(|(id, _)| id).collect()
    }

    /// Takes a lock from who holds it alone, as if that one had released it. Nothing is taken from those who share one.
    pub(crate) fn steal<'a>(&mut self, kind: Kind, name: &'a [u8]) -> Reply<'a> {
        let found = self.holds.find(kind, name);
        let is_so = |lock: &Id<Lock>| !kind.is_counted() && self.holds.locks()[*lock].kind() == kind;
        let Some(lock) = found.lock().filter(|lock| found.holders() > 0 && is_so(lock)) else {
            return Reply::Stolen { kind, was_held: false, name };
        };
        let tenure = self.holds.holder_tenures(lock).next().expect("a held lock has a holder");
        let holder = self.holder(tenure);
        let (tally, is_lingering) = (holder.tally, holder.is_lingering);
        self.end_hold(lock, tenure, tally);
        if is_lingering {
            mark!(StolenFromASession);
            self.graces.lose_hold();
        }
        Reply::Stolen { kind, was_held: true, name }
    }
}
