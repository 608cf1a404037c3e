//! What is counted for each account: its connections, holds and waits. The machine compares these counts with limits.
//! Nothing here knows a limit.

use super::line::Aim;
use crate::types::Account;

/// The position of an account's tally. Accounts are numbered in 16 bits, and each has one tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TallyId(u16);

/// What is counted for one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    account: Account,
    connections: u32,
    holds: u32,
    waits: u32,
    ends: u32,
}

impl Tally {
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

    /// Counts a connection that opened.
    pub(super) fn add_connection(&mut self) {
        self.connections += 1;
    }

    /// Counts a connection that ended.
    pub(super) fn remove_connection(&mut self) {
        self.connections -= 1;
    }

    /// Counts a hold that began.
    #[inline]
    pub(crate) fn add_hold(&mut self) {
        self.holds += 1;
    }

    /// Counts `holds` holds that ended.
    #[inline]
    pub(crate) fn remove_holds(&mut self, holds: u32) {
        self.holds -= holds;
    }

    /// Counts a wait that began.
    pub(super) fn add_wait(&mut self, aim: Aim) {
        match aim {
            Aim::Lock { .. } => self.waits += 1,
            Aim::End => self.ends += 1,
        }
    }

    /// Counts a wait that ended.
    pub(super) fn remove_wait(&mut self, aim: Aim) {
        match aim {
            Aim::Lock { .. } => self.waits -= 1,
            Aim::End => self.ends -= 1,
        }
    }
}

/// One tally for each account that was seen, in the order of appearance. There are few accounts.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    tallies: Vec<Tally>,
}

impl Accounts {
    /// Begins with the tally of the default account, which always exists.
    pub(super) fn new() -> Self {
        Self { tallies: vec![Tally::default()] }
    }

    /// The tally of an account. Adds one if the account is new.
    pub(super) fn tally_of(&mut self, account: Account) -> TallyId {
        let position = self.tallies.iter().position(|tally| tally.account == account);
        let position = position.unwrap_or_else(|| {
            self.tallies.push(Tally { account, ..Tally::default() });
            self.tallies.len() - 1
        });
        TallyId(u16::try_from(position).expect("there are at most as many accounts as 16 bits can number"))
    }

    #[inline]
    pub(super) fn tally(&self, TallyId(position): TallyId) -> &Tally {
        &self.tallies[usize::from(position)]
    }

    #[inline]
    pub(super) fn tally_mut(&mut self, TallyId(position): TallyId) -> &mut Tally {
        &mut self.tallies[usize::from(position)]
    }

    pub(super) fn tallies(&self) -> &[Tally] {
        &self.tallies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_one_tally() {
        let mut accounts = Accounts::new();
        let admin = accounts.tally_of(Account::ADMIN);
        accounts.tally_mut(admin).add_hold();
        assert_ne!(accounts.tally_of(Account::default()), admin);
        assert_eq!(accounts.tally_of(Account::ADMIN), admin);
        assert_eq!((accounts.tally(admin).account(), accounts.tally(admin).holds()), (Account::ADMIN, 1));
        assert_eq!(accounts.tallies().len(), 2);
    }
}
