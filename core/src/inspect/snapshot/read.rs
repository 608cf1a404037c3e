//! Puts a record into a new machine. Anything wrong in the bytes is an error here or in `check`, never a panic.

use super::format::{
    ConnectionRecord, HolderRecord, MachineRecord, NodeRecord, SessionRecord, SoleRecord, TieRecord,
    WaitRecord, kind_of,
};
use super::{RestoreError, damaged};
use crate::config::Secret;
use crate::machine::Machine;
use crate::storage::Id;
use crate::table::{Aim, Connection, Times, Tokens, memory};
use crate::types::{Account, Conn, Kind, Now, Origin, Seq};
use std::sync::Arc;

impl Machine {
    /// Fills a new machine. Anything wrong in the record is an error here or in `check`, never a panic.
    pub(super) fn set_record(&mut self, record: MachineRecord) -> Result<(), RestoreError> {
        self.graces.restore_secret(Secret(record.secret));
        let is_replaced = record.accounts.is_replaced;
        self.connections.set_accounts(Arc::new(record.accounts.into()), is_replaced);
        let mut connections = record.connections;
        // By activity, whether or not the original had an idle limit.
        connections.sort_by_key(|connection| connection.active);
        for connection in connections {
            self.set_connection(connection)?;
        }
        // A session is a connection until all that it left is there.
        let mut sessions = Vec::new();
        for session in record.sessions {
            sessions.push(self.set_left(session)?);
        }
        for TieRecord { kind, name, holders } in record.ties {
            let kind = kind_of(kind)?;
            for holder in &holders {
                self.set_hold(holder, kind, &name)?;
            }
            // Only now: while the first of them is alone it is not tied.
            for HolderRecord { conn, order, .. } in holders {
                let id = self.connections.find(Conn::from_bits(conn));
                let tenure = id.and_then(|id| self.connections[id].tenure());
                if let Some((lock, tenure)) = self.holds.find(kind, &name).lock().zip(tenure) {
                    self.holds.restore_order(lock, tenure, order);
                }
            }
        }
        sessions.sort_by_key(|(_, due)| *due);
        for (id, due) in sessions {
            if due <= record.now {
                return Err(damaged("a session that is due already".to_owned()));
            }
            self.set_session(id, Now(due), Now(record.now));
        }
        for wait in record.waits {
            self.set_wait(wait, record.now)?;
        }
        let sums = self.sum_records();
        if sums != record.sums {
            return Err(damaged(format!("its accounts have {sums:?}, not {:?}", record.sums)));
        }
        self.holds.restore_last_order(record.last_order);
        let (next, last) = record.tokens;
        self.tokens = Tokens::restored(next, last);
        self.now = Now(record.now);
        self.seq = Seq(record.seq);
        self.set_nodes(record.nodes)?;
        self.connections.restore_last_registration(record.last_registration);
        self.counters = record.counters.into();
        self.holds.restore_times(record.hold_times.map(Times::from), record.wait_times.map(Times::from));
        Ok(())
    }

    /// Restores what is known of nodes. Whether each connection was opened by its node is seen by `check`.
    fn set_nodes(&mut self, nodes: Vec<NodeRecord>) -> Result<(), RestoreError> {
        if !nodes.is_sorted_by(|a, b| a.number < b.number) {
            return Err(damaged("a node is in it twice".to_owned()));
        }
        for NodeRecord { number, next_serial, drains } in nodes {
            if next_serial > 1 << Conn::SERIAL_BITS || next_serial == 0 && !drains {
                return Err(damaged(format!("node {number} cannot have used {next_serial} serials")));
            }
            self.connections.restore_node(number, next_serial, drains);
        }
        self.draining = self.connections.nodes().any_drains();
        Ok(())
    }

    fn set_connection(&mut self, record: ConnectionRecord) -> Result<(), RestoreError> {
        let conn = Conn::from_bits(record.conn);
        if self.connections.find(conn).is_some() {
            return Err(damaged(format!("{conn:?} is in it twice")));
        }
        let origin = Origin { addr: record.addr.into(), account: Account(record.account) };
        let active = Now(record.active);
        let id = self.connections.open(active, conn, origin);
        if self.config.limits.idle_ms > 0 {
            self.connections.link(id, active);
        }
        if let Some((name, order)) = record.registered {
            check_length(&name)?;
            self.connections.restore_registration(id, &name, order);
        }
        if let Some(grace) = record.grace {
            let grace = self.graces.open(id, Conn::from_bits(grace.number), grace.ms);
            self.connections.set_grace(id, Some(grace));
        }
        for (kind, soles) in record.soles.iter() {
            for SoleRecord { name, since, token } in soles {
                let holder = HolderRecord { conn: record.conn, since: *since, token: *token, order: 0 };
                self.set_hold(&holder, kind, name)?;
            }
        }
        Ok(())
    }

    /// Restores what a connection left, as that connection. Returns it, and when the session is due.
    fn set_left(&mut self, record: SessionRecord) -> Result<(Id<Connection>, u64), RestoreError> {
        let SessionRecord { conn, addr, account, registered, grace, due, soles } = record;
        let grace = Some(grace);
        self.set_connection(ConnectionRecord { conn, addr, account, registered, active: 0, grace, soles })?;
        let id = self.connections.find(Conn::from_bits(conn)).expect("it was just opened");
        Ok((id, due))
    }

    /// Makes a session of a connection that has a grace.
    fn set_session(&mut self, id: Id<Connection>, due: Now, now: Now) {
        let tenure = self.connections[id].tenure().unwrap_or_else(|| self.begin_tenure(id));
        let left = self.left_by(id, tenure);
        let grace = self.connections[id].grace().expect("a session has a grace");
        self.connections.tally_mut(left.tally).add_memory(left.memory());
        self.graces.leave(grace, left, self.holds.tenure(tenure).holds(), (now, due));
        self.holds.linger(tenure, grace);
        self.connections.set_grace(id, None);
        self.connections.forget_tenure(id);
        if self.config.limits.idle_ms > 0 {
            self.connections.unlink(id);
        }
        self.connections.close(id);
    }

    fn set_hold(&mut self, holder: &HolderRecord, kind: Kind, name: &[u8]) -> Result<(), RestoreError> {
        let HolderRecord { conn: holder, since, token, .. } = *holder;
        check_length(name)?;
        let Some(id) = self.connections.find(Conn::from_bits(holder)) else {
            return Err(damaged(format!("holder {holder} is not connected")));
        };
        let tenure = self.connections[id].tenure().unwrap_or_else(|| self.begin_tenure(id));
        let found = self.holds.find(kind, name);
        let is_holder = found.lock().is_some_and(|lock| self.holds.is_holder(lock, tenure));
        let is_so = |lock| kind.is_counted() && self.holds.locks()[lock].kind() == kind;
        if is_holder || (found.holders() > 0 && !found.lock().is_some_and(is_so)) {
            return Err(damaged("a lock has a holder too many".to_owned()));
        }
        self.holds.add(found, name, tenure, Now(since));
        let tally = self.connections[id].tally();
        self.connections.tally_mut(tally).add_hold(memory::outer_bytes(name.len()));
        if token > Tokens::MAX {
            return Err(damaged(format!("a hold has token {token}")));
        }
        if token > 0 {
            let lock = self.holds.find(kind, name).lock().expect("it was just added");
            // The orders of several holds are restored later. A lone one is older than every wait.
            self.holds.restore_last_order(0);
            self.holds.set_token(lock, tenure, token);
        }
        Ok(())
    }

    fn set_wait(&mut self, record: WaitRecord, now: u64) -> Result<(), RestoreError> {
        let WaitRecord { conn, kind, name, limit, order, began, deadline } = record;
        let kind = kind_of(kind)?;
        let aim = limit.map_or(Aim::End, |limit| Aim::Lock { limit });
        let id = self.connections.find(Conn::from_bits(conn));
        let Some(id) = id.filter(|id| self.connections[*id].wait().is_none()) else {
            return Err(damaged(format!("connection {conn} is gone or waits twice")));
        };
        let found = self.holds.find(kind, &name);
        let tenure = self.connections[id].tenure();
        let is_holder = tenure.is_some_and(|tenure| self.holds.found_held(found, tenure).is_some());
        if found.holders() == 0
            || is_holder
            || order == 0
            || (!kind.is_counted() && limit.is_some_and(|limit| limit != 1))
        {
            return Err(damaged("a wait for a lock that is not waited for so".to_owned()));
        }
        let waits = self.holds.waits();
        let newest = waits.newest().map_or(0, |newest| waits[newest].began().0);
        if began < newest || began > now || deadline <= now {
            return Err(damaged("a wait that began or ends at the wrong time".to_owned()));
        }
        assert!(self.holds.due(Now(began)).is_none(), "nothing is due before the time of the snapshot");
        let wait = self.holds.restore_wait(found, id, (order, aim), (Now(began), Now(deadline)));
        self.connections.set_wait(id, wait, (aim, memory::outer_bytes(name.len())));
        if self.config.limits.idle_ms > 0 {
            self.connections.unlink(id);
        }
        Ok(())
    }
}

/// Refuses a name that is longer than any limit of names. Whether it is within this machine's is seen by `check`.
fn check_length(name: &[u8]) -> Result<(), RestoreError> {
    if name.len() > usize::from(u16::MAX) {
        return Err(damaged(format!("it has a name of {} bytes", name.len())));
    }
    Ok(())
}
