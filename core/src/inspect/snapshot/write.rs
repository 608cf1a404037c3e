//! The machine's state as a record: who holds what and who waits, in an order that does not depend on where it is
//! stored.

use super::format::{
    ConnectionRecord, GraceRecord, HolderRecord, MachineRecord, NodeRecord, SessionRecord, SoleRecord,
    SumRecord, TieRecord, TimesRecord, WaitRecord,
};
use crate::machine::Machine;
use crate::record::shared::AccountsRecord;
use crate::storage::Id;
use crate::table::{Aim, Connection, Grace, Node, State, Tally, Tenure, TiedHold};
use crate::types::ByKind;
use std::collections::BTreeMap;

impl Machine {
    pub(super) fn record(&self) -> MachineRecord {
        let mut connections: Vec<_> = self.connections.slots().iter().map(|(id, _)| id).collect();
        connections.sort_by_key(|id| self.connections[*id].conn());
        if self.config.limits.idle_ms > 0 {
            let (waiting, _): (Vec<_>, Vec<_>) =
                connections.into_iter().partition(|id| self.connections[*id].wait().is_some());
            connections = self.connections.by_activity().map(|(id, _)| id).chain(waiting).collect();
        }
        let mut ties = Vec::new();
        let mut lone = Vec::new();
        for (id, lock) in self.holds.locks().slots().iter() {
            let State::Tied(tie) = self.holds.state(id) else { continue };
            let holds = self.holds.ties().holds_from(self.holds.ties()[tie].oldest());
            let holders: Vec<_> = holds.map(|(_, hold)| self.holder_record(hold)).collect();
            let name = self.holds.locks().name(lock).to_vec();
            match holders[..] {
                [HolderRecord { conn: holder, since, token, .. }] => {
                    // Sole holds come first, in the order in which they will be listed again.
                    let is_tied_again = token > 0 || self.holds.awaiting(id) > 0;
                    lone.push((is_tied_again, holder, lock.kind(), SoleRecord { name, since, token }));
                }
                _ => ties.push(TieRecord { kind: lock.kind() as u8, name, holders }),
            }
        }
        ties.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        lone.sort();
        let mut connections: Vec<_> = connections.into_iter().map(|id| self.connection_record(id)).collect();
        let place_of: BTreeMap<u64, usize> =
            connections.iter().enumerate().map(|(place, record)| (record.conn, place)).collect();
        let mut sessions: Vec<_> =
            self.graces.slots().iter().filter_map(|(_, of)| self.session_record(of)).collect();
        sessions.sort_by_key(|record| record.conn);
        for (_, holder, kind, sole) in lone {
            if let Some(place) = place_of.get(&holder) {
                connections[*place].soles[kind].push(sole);
            } else {
                let place = sessions.binary_search_by_key(&holder, |record| record.conn);
                sessions[place.expect("a holder is a connection or a session")].soles[kind].push(sole);
            }
        }
        MachineRecord {
            now: self.now.0,
            seq: self.seq.0,
            nodes: self.connections.nodes().iter().map(node_record).collect(),
            last_registration: self.connections.last_registration(),
            counters: (&self.counters).into(),
            hold_times: self.holds.counts().hold_times().clone().map(TimesRecord::from),
            wait_times: self.holds.counts().wait_times().clone().map(TimesRecord::from),
            last_order: self.holds.ties().last_order(),
            tokens: (self.tokens.next(), self.tokens.last()),
            secret: self.graces.secret().0,
            accounts: AccountsRecord {
                is_replaced: self.connections.accounts_are_replaced(),
                ..(&**self.accounts()).into()
            },
            sums: self.sum_records(),
            connections,
            sessions,
            ties,
            waits: self.wait_records(),
        }
    }

    /// What each account has that has anything, by number.
    pub(in crate::inspect) fn sum_records(&self) -> Vec<SumRecord> {
        let has_any = |tally: &&Tally| tally.memory() > 0;
        let tallies = self.connections.tallies().iter().filter(has_any);
        let mut sums: Vec<SumRecord> = tallies.map(SumRecord::from).collect();
        sums.sort_by_key(|sum| sum.account);
        sums
    }

    fn wait_records(&self) -> Vec<WaitRecord> {
        let waits = self.holds.waits().by_beginning().map(|(_, wait)| {
            let lock = &self.holds.locks()[wait.lock()];
            WaitRecord {
                conn: self.connections[wait.by()].conn().bits(),
                kind: wait.place().kind() as u8,
                name: self.holds.locks().name(lock).to_vec(),
                limit: match wait.place().aim() {
                    Aim::Lock { limit } => Some(limit),
                    Aim::End => None,
                },
                order: wait.order(),
                began: wait.began().0,
                deadline: wait.deadline().0,
            }
        });
        waits.filter(|_| !bug!(SnapshotForgetsTheLine)).collect()
    }

    fn connection_record(&self, id: Id<Connection>) -> ConnectionRecord {
        let connection = &self.connections[id];
        ConnectionRecord {
            conn: connection.conn().bits(),
            addr: connection.origin().addr.into(),
            account: connection.origin().account.0,
            registered: connection
                .registered()
                .zip(self.connections.name_of(connection))
                .map(|(registered, name)| (name.to_vec(), registered.order())),
            active: self.connections.active(id).0,
            grace: connection.grace().map(|grace| grace_record(&self.graces[grace])),
            soles: self.sole_records(connection.tenure()),
        }
    }

    /// What a connection left, if this grace lingers.
    fn session_record(&self, grace: &Grace) -> Option<SessionRecord> {
        let (left, due) = grace.left().zip(grace.due())?;
        let registered = left.registered.as_ref();
        Some(SessionRecord {
            conn: left.conn.bits(),
            addr: left.origin.addr.into(),
            account: left.origin.account.0,
            registered: registered.map(|registered| (registered.name.to_vec(), registered.order)),
            grace: grace_record(grace),
            due: due.0,
            soles: self.sole_records(Some(left.tenure)),
        })
    }

    /// The sole holds of a tenure, the oldest first.
    fn sole_records(&self, tenure: Option<Id<Tenure>>) -> ByKind<Vec<SoleRecord>> {
        let mut soles = ByKind::<Vec<_>>::default();
        for (_, lock) in tenure.into_iter().flat_map(|tenure| self.holds.soles(tenure)) {
            let sole = SoleRecord {
                name: self.holds.locks().name(lock).to_vec(),
                since: lock.since().bits(),
                token: 0,
            };
            soles[lock.kind()].push(sole);
        }
        soles.map(|newest_first| newest_first.into_iter().rev().collect())
    }

    fn holder_record(&self, hold: &TiedHold) -> HolderRecord {
        HolderRecord {
            conn: self.holder(hold.tenure()).conn.bits(),
            since: hold.since().bits(),
            token: hold.token().unwrap_or(0),
            order: hold.order(),
        }
    }
}

fn node_record(node: &Node) -> NodeRecord {
    NodeRecord {
        number: node.number(),
        next_serial: node.next_serial(),
        drains: node.drains() && !bug!(SnapshotForgetsDraining),
    }
}

fn grace_record(grace: &Grace) -> GraceRecord {
    GraceRecord { number: grace.number().bits(), ms: grace.ms() }
}
