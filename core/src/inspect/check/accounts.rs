//! The invariants of accounts: what is counted for each is what it has.

use super::{Violation, ensure};
use crate::machine::Machine;
use crate::table::{TallyId, memory};
use crate::types::Account;

use std::collections::{BTreeMap, BTreeSet};

impl Machine {
    /// Each account has one tally, which has what the table says, and the memory of what is the account's. What could
    /// be refused is within its quota.
    pub(super) fn check_accounts(&self) -> Result<(), Violation> {
        let mut refusable = BTreeMap::<_, u64>::new();
        for (id, lock) in self.holds.locks().slots().iter() {
            let outer_bytes = self.holds.locks().outer_bytes(lock);
            for tenure in self.holds.holder_tenures(id) {
                let account = self.account_of_tally(self.holder(tenure).tally);
                *refusable.entry(account).or_default() += memory::OWN_HOLD + outer_bytes;
            }
        }
        for (_, wait) in self.holds.waits().slots().iter() {
            let account = self.connections[wait.by()].origin().account;
            let outer_bytes = memory::outer_bytes(self.holds.name(wait.lock()).len());
            *refusable.entry(account).or_default() += memory::OWN_WAIT + outer_bytes;
        }
        let mut memory = refusable.clone();
        for (_, connection) in self.connections.slots().iter() {
            let (conn, account) = (connection.conn(), connection.origin().account);
            ensure!(
                self.account_of_tally(connection.tally()) == account,
                "{conn:?} is counted for an account that is not its own"
            );
            *memory.entry(account).or_default() += memory::CONNECTION + connection.name_memory();
        }
        for left in self.graces.slots().iter().filter_map(|(_, grace)| grace.left()) {
            ensure!(
                self.account_of_tally(left.tally) == left.origin.account,
                "a session is counted for an account that is not its own"
            );
            *memory.entry(left.origin.account).or_default() += left.memory();
        }
        let mut seen = BTreeSet::new();
        for tally in self.connections.tallies() {
            let account = tally.account();
            ensure!(seen.insert(account), "{account:?} is counted twice");
            let bytes = memory.get(&account).copied().unwrap_or(0);
            ensure!(tally.memory() == bytes, "{tally:?} has {bytes} bytes of memory");
            let profile = self.connections.accounts().of(account);
            let is_so = *tally.bounds() == profile.bounds(&self.config.limits)
                && tally.is_operator() == profile.is_operator;
            ensure!(is_so, "{tally:?} may have other things than its table says");
            let bytes = refusable.get(&account).copied().unwrap_or(0);
            let is_within = bytes <= tally.bounds().memory_bytes || self.connections.accounts_are_replaced();
            ensure!(is_within, "{tally:?} is over its memory");
        }
        Ok(())
    }

    fn account_of_tally(&self, tally: TallyId) -> Account {
        self.connections.tally(tally).account()
    }
}
