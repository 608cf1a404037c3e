//! The figures of one account. They are all that statistics show to an account that may not see the others.

use super::figures::Figure;
use crate::accounts::Bounds;
use crate::machine::Machine;
use crate::table::Tally;
use crate::types::Account;

/// What one account has, and what it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnFigures<'a> {
    /// The account.
    pub account: Account,
    /// Its name.
    pub name: &'a str,
    /// Connections open now.
    pub connections: u32,
    /// Holds now, of all kinds. A session's holds count.
    pub holds: u32,
    /// Connections that wait for a lock now.
    pub waiters: u32,
    /// Connections that wait for the end of a lock's holds now.
    pub end_waiters: u32,
    /// Memory, as its quota counts it.
    pub memory_bytes: u64,
    bounds: Bounds,
}

impl OwnFigures<'_> {
    /// Connections that it may have.
    #[must_use]
    pub fn limit_connections(&self) -> u32 {
        self.bounds.connections
    }

    /// Holds that it may have, waits for locks included.
    #[must_use]
    pub fn limit_locks(&self) -> u32 {
        self.bounds.locks
    }

    /// Memory that it may have. Without a quota: what all may have together.
    #[must_use]
    pub fn limit_memory_bytes(&self) -> u64 {
        self.bounds.memory_bytes
    }

    /// Waits that it may have.
    #[must_use]
    pub fn limit_waiters(&self) -> u32 {
        self.bounds.waiters
    }

    /// Calls `each` with every key and figure, sorted by key.
    pub fn each(&self, each: &mut impl FnMut(&str, Figure<'_>)) {
        each("account", Figure::Text(self.name));
        let numbers: [(&str, u64); 9] = [
            ("connections", self.connections.into()),
            ("end_waiters", self.end_waiters.into()),
            ("holds", self.holds.into()),
            ("limit_connections", self.limit_connections().into()),
            ("limit_locks", self.limit_locks().into()),
            ("limit_memory_bytes", self.limit_memory_bytes()),
            ("limit_waiters", self.limit_waiters().into()),
            ("memory_bytes", self.memory_bytes),
            ("waiters", self.waiters.into()),
        ];
        for (key, number) in numbers {
            each(key, Figure::Number(number));
        }
    }
}

impl Machine {
    /// The figures of every account that was seen or is in the table, by number.
    #[must_use]
    pub fn figures_by_account(&self) -> Vec<OwnFigures<'_>> {
        let mut all: Vec<_> = self.connections.tallies().iter().map(|tally| self.own(tally)).collect();
        let unseen = |(account, _): &(Account, _)| all.iter().all(|own| own.account != *account);
        let unseen: Vec<_> = self.connections.accounts().iter().filter(unseen).collect();
        all.extend(unseen.into_iter().map(|(account, profile)| OwnFigures {
            account,
            name: &profile.name,
            connections: 0,
            holds: 0,
            waiters: 0,
            end_waiters: 0,
            memory_bytes: 0,
            bounds: self.shown(profile.bounds(&self.config.limits)),
        }));
        all.sort_by_key(|own| own.account);
        all
    }

    pub(crate) fn own(&self, tally: &Tally) -> OwnFigures<'_> {
        OwnFigures {
            account: tally.account(),
            name: &self.connections.accounts().of(tally.account()).name,
            connections: tally.connections(),
            holds: tally.holds(),
            waiters: tally.waits(),
            end_waiters: tally.ends(),
            memory_bytes: tally.memory(),
            bounds: self.shown(*tally.bounds()),
        }
    }

    /// Who has no quota of memory is shown the general limit.
    fn shown(&self, bounds: Bounds) -> Bounds {
        Bounds { memory_bytes: bounds.memory_bytes.min(self.config.limits.memory_bytes), ..bounds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Accounts, Profile, Quotas};
    use crate::config::Config;
    use std::collections::BTreeSet;

    #[test]
    fn every_account_is_there_once_with_its_name_and_what_it_may_have() {
        let quotas = Quotas { connections: Some(3), locks: Some(4), memory_bytes: Some(5), waiters: Some(6) };
        let profile = Profile { name: "web".to_owned(), quotas, ..Profile::default() };
        let mut config = Config::smallest_storage();
        config.accounts = Accounts::new([(Account(2), profile)]).into();
        config.limits.memory_bytes = 1 << 20;
        let machine = Machine::new(config);
        let all = machine.figures_by_account();
        let names: Vec<_> = all.iter().map(|own| (own.account, own.name)).collect();
        assert_eq!(names, [(Account(0), ""), (Account(2), "web"), (Account::ADMIN, "admin")]);
        let mut lines = Vec::new();
        all[1].each(&mut |key, figure| lines.push((key.to_owned(), format!("{figure:?}"))));
        assert!(lines.is_sorted());
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), 10);
        let limits: Vec<_> = lines.iter().filter(|(key, _)| key.starts_with("limit_")).collect();
        let values: Vec<_> = limits.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["Number(3)", "Number(4)", "Number(5)", "Number(6)"]);
        assert_eq!(all[0].limit_memory_bytes(), 1 << 20, "without a quota it is the general limit");
    }
}
