//! What is counted for each account: its connections, holds, waits and memory. Beside that stands what the account may
//! have. The machine compares the two. Nothing here refuses anything.

use super::line::Aim;
use super::memory;
use crate::accounts::{Accounts, Bounds, Profile};
use crate::config::Limits;
use crate::types::Account;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The position of an account's tally. Accounts are numbered in 16 bits, and each has one tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TallyId(u16);

/// What is counted for one account, and what it may have.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    account: Account,
    connections: u32,
    holds: u32,
    waits: u32,
    ends: u32,
    /// What counts for its memory beside connections, holds and waits: long names, registered names and sessions.
    more: u64,
    bounds: Bounds,
    is_operator: bool,
}

impl Tally {
    fn new(account: Account, profile: &Profile, limits: &Limits) -> Self {
        let mut tally = Self {
            account,
            connections: 0,
            holds: 0,
            waits: 0,
            ends: 0,
            more: 0,
            bounds: profile.bounds(limits),
            is_operator: false,
        };
        tally.set_profile(profile, limits);
        tally
    }

    fn set_profile(&mut self, profile: &Profile, limits: &Limits) {
        (self.bounds, self.is_operator) = (profile.bounds(limits), profile.is_operator);
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections
    }

    pub(crate) fn holds(&self) -> u32 {
        self.holds
    }

    /// Waits for locks. Each has a hold reserved.
    pub(crate) fn waits(&self) -> u32 {
        self.waits
    }

    /// Waits for ends. Nothing is reserved for them.
    pub(crate) fn ends(&self) -> u32 {
        self.ends
    }

    /// What it may have.
    #[inline]
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whether it may say what only operators may.
    #[inline]
    pub(crate) fn is_operator(&self) -> bool {
        self.is_operator
    }

    /// What counts for its quota of memory. Each hold and each wait counts with its name, whoever else holds that. So
    /// it depends on what the account itself has, and on nobody else.
    pub(crate) fn memory(&self) -> u64 {
        u64::from(self.connections) * memory::CONNECTION
            + u64::from(self.holds) * memory::OWN_HOLD
            + (u64::from(self.waits) + u64::from(self.ends)) * memory::OWN_WAIT
            + self.more
    }

    /// Whether it has a quota of memory.
    #[inline]
    pub(crate) fn has_memory_quota(&self) -> bool {
        self.bounds.memory_bytes < u64::MAX
    }

    /// Whether its quota of memory has room for so much more.
    #[inline]
    pub(crate) fn has_memory(&self, bytes: u64) -> bool {
        !self.has_memory_quota() || self.memory() + bytes <= self.bounds.memory_bytes
    }

    /// Counts a connection that opened or came from another account.
    pub(super) fn add_connection(&mut self) {
        self.connections += 1;
    }

    /// Counts a connection that ended or went to another account.
    pub(super) fn remove_connection(&mut self) {
        self.connections -= 1;
    }

    /// Counts a hold that began. `outer_bytes` of its name are stored outside its slot.
    #[inline]
    pub(crate) fn add_hold(&mut self, outer_bytes: u64) {
        self.holds += 1;
        self.more += outer_bytes;
    }

    /// Counts `holds` holds that ended. `outer_bytes` of their names were stored outside their slots.
    #[inline]
    pub(crate) fn remove_holds(&mut self, holds: u32, outer_bytes: u64) {
        self.holds -= holds;
        self.more -= outer_bytes;
    }

    /// Counts a wait that began. `outer_bytes` of its lock's name are stored outside its slot.
    pub(super) fn add_wait(&mut self, aim: Aim, outer_bytes: u64) {
        self.more += outer_bytes;
        match aim {
            Aim::Lock { .. } => self.waits += 1,
            Aim::End => self.ends += 1,
        }
    }

    /// Counts a wait that ended. `outer_bytes` of its lock's name were stored outside its slot.
    pub(super) fn remove_wait(&mut self, aim: Aim, outer_bytes: u64) {
        self.more -= outer_bytes;
        match aim {
            Aim::Lock { .. } => self.waits -= 1,
            Aim::End => self.ends -= 1,
        }
    }

    /// Counts memory that is taken by something else: a registered name or a session.
    pub(crate) fn add_memory(&mut self, bytes: u64) {
        self.more += bytes;
    }

    /// Counts such memory that is given back.
    pub(crate) fn remove_memory(&mut self, bytes: u64) {
        self.more -= bytes;
    }
}

/// The table of accounts, and one tally for each account that was seen, in the order of appearance.
#[derive(Clone, Debug)]
pub(super) struct Tallies {
    all: Vec<Tally>,
    positions: BTreeMap<Account, TallyId>,
    accounts: Arc<Accounts>,
    /// Whether there was another table before. Then an account may have more than this one allows.
    is_replaced: bool,
    limits: Limits,
}

impl Tallies {
    /// Begins with the tally of the default account, which always exists.
    pub(super) fn new(accounts: Arc<Accounts>, limits: Limits) -> Self {
        let (all, positions) = (Vec::new(), BTreeMap::new());
        let mut new = Self { all, positions, accounts, is_replaced: false, limits };
        new.tally_of(Account::default());
        new
    }

    pub(super) fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    pub(super) fn is_replaced(&self) -> bool {
        self.is_replaced
    }

    /// Replaces the table. What is counted stays.
    pub(super) fn set_accounts(&mut self, accounts: Arc<Accounts>, is_replaced: bool) {
        for tally in &mut self.all {
            tally.set_profile(accounts.of(tally.account), &self.limits);
        }
        (self.accounts, self.is_replaced) = (accounts, is_replaced);
    }

    /// The tally of an account. Adds one if the account is new.
    pub(super) fn tally_of(&mut self, account: Account) -> TallyId {
        *self.positions.entry(account).or_insert_with(|| {
            let position = u16::try_from(self.all.len());
            self.all.push(Tally::new(account, self.accounts.of(account), &self.limits));
            TallyId(position.expect("there are at most as many accounts as 16 bits can number"))
        })
    }

    #[inline]
    pub(super) fn tally(&self, TallyId(position): TallyId) -> &Tally {
        &self.all[usize::from(position)]
    }

    #[inline]
    pub(super) fn tally_mut(&mut self, TallyId(position): TallyId) -> &mut Tally {
        &mut self.all[usize::from(position)]
    }

    pub(super) fn tallies(&self) -> &[Tally] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Quotas;

    #[test]
    fn an_account_has_one_tally() {
        let mut tallies = Tallies::new(Arc::default(), Limits::default());
        let admin = tallies.tally_of(Account::ADMIN);
        tallies.tally_mut(admin).add_hold(0);
        assert_ne!(tallies.tally_of(Account::default()), admin);
        assert_eq!(tallies.tally_of(Account::ADMIN), admin);
        assert_eq!((tallies.tally(admin).account(), tallies.tally(admin).holds()), (Account::ADMIN, 1));
        assert_eq!(tallies.tallies().len(), 2);
    }

    #[test]
    fn a_new_table_changes_what_accounts_may_have_and_not_what_they_have() {
        let mut tallies = Tallies::new(Arc::default(), Limits::default());
        let id = tallies.tally_of(Account(1));
        tallies.tally_mut(id).add_hold(50);
        assert!(tallies.tally(id).has_memory(u64::MAX / 2), "it has no quota");
        let quotas = Quotas { memory_bytes: Some(300), ..Quotas::default() };
        let profile = Profile { quotas, is_operator: true, ..Profile::default() };
        tallies.set_accounts(Arc::new(Accounts::new([(Account(1), profile)])), true);
        let tally = tallies.tally(id);
        assert_eq!((tally.holds(), tally.memory(), tally.is_operator()), (1, 210, true));
        assert!(tally.has_memory(90) && !tally.has_memory(91));
    }
}
