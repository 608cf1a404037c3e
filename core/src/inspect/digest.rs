//! What replicas of one machine compare. It costs nothing that grows with locks or connections, and has nothing in it
//! that depends on storage or on how far sweeping has come. How long dead holds lasted is counted as they are swept,
//! and the orders of holds and waits depend on whether a lock is tied.

use super::snapshot::{CountersRecord, SumRecord, TimesRecord};
use super::{Violation, ensure};
use crate::machine::Machine;
use crate::record::encode_into;
use crate::types::ByKind;
use bincode::Encode;

#[derive(Encode)]
struct DigestRecord {
    now: u64,
    seq: u64,
    nodes: Vec<(u16, u64, bool)>,
    last_registration: u64,
    tokens: (u64, u64),
    counters: CountersRecord,
    wait_times: ByKind<TimesRecord>,
    held: ByKind<u32>,
    live: ByKind<u32>,
    waiting: ByKind<u32>,
    ending: ByKind<u32>,
    lingering: (u32, u32),
    sums: Vec<SumRecord>,
}

impl Machine {
    /// Appends what replicas compare.
    pub(crate) fn append_digest(&self, bytes: &mut Vec<u8>) {
        let counts = self.holds.counts();
        let nodes = self.connections.nodes().iter();
        let record = DigestRecord {
            now: self.now.0,
            seq: self.seq.0,
            nodes: nodes.map(|node| (node.number(), node.next_serial(), node.drains())).collect(),
            last_registration: self.connections.last_registration(),
            tokens: (self.tokens.next(), self.tokens.last()),
            counters: (&self.counters).into(),
            wait_times: counts.wait_times().clone().map(TimesRecord::from),
            held: counts.held(),
            live: counts.live(),
            waiting: counts.waiting(),
            ending: counts.ending(),
            lingering: (self.graces.lingering(), self.graces.holds()),
            sums: self.sum_records(),
        };
        encode_into(&record, bytes);
    }

    /// Checks that a cluster's roll and the machine agree about nodes. `drains` returns whether a node drains, and
    /// `None` if it has no epoch: then it has no connection either.
    pub(crate) fn check_nodes_are(&self, drains: impl Fn(u16) -> Option<bool>) -> Result<(), Violation> {
        for node in self.connections.nodes().iter() {
            let (number, epoch) = (node.number(), drains(node.number()));
            ensure!(
                node.drains() == (epoch == Some(true)),
                "whether node {number} drains is another on the roll"
            );
        }
        for (_, connection) in self.connections.slots().iter() {
            let conn = connection.conn();
            ensure!(drains(conn.node()).is_some(), "{conn:?} is open, and its node has no epoch");
        }
        Ok(())
    }
}
