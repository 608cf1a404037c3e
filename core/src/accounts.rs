//! The accounts: what each may have, and what it may see. The driver knows whose a token is. The machine knows accounts
//! alone, and decides by this table. The driver may replace it at any time ([`Input::Accounts`](crate::Input)).

use crate::config::Limits;
use crate::types::Account;
use std::collections::BTreeMap;

/// The table of accounts.
///
/// [`Accounts::default`] is for who has no accounts: nobody has quotas, everybody sees everything, and only the
/// administrative listener's connections are operators'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    profiles: BTreeMap<Account, Profile>,
    /// What an account is that is not in the table.
    others: Profile,
}

/// What one account may have and see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as the reply to `auth` has it.
    pub name: String,
    /// What it may have.
    pub quotas: Quotas,
    /// Whether it may say what only operators may, such as `kick`.
    pub is_operator: bool,
    /// How the names begin that listings show it. `None` for all names.
    pub names: Option<Vec<Vec<u8>>>,
    /// Whether statistics show it all figures. Otherwise they show only its own.
    pub all_figures: bool,
}

/// What an account may have at a time, each inclusive. `None` is what the general limit allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Connections.
    pub connections: Option<u32>,
    /// Holds. A wait counts as the hold that it may become.
    pub locks: Option<u32>,
    /// Bytes of memory, by the table for accounts in the page on operations. The general limit is for all accounts
    /// together.
    pub memory_bytes: Option<u64>,
    /// Waits.
    pub waiters: Option<u32>,
}

/// Quotas as numbers: those of an account, and the general limits where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) connections: u32,
    pub(crate) locks: u32,
    /// The highest number if it has no quota.
    pub(crate) memory_bytes: u64,
    pub(crate) waiters: u32,
}

impl Accounts {
    /// A table of these accounts. An account that is not in it has the general limits, is no operator, and sees no
    /// name and only its own figures. [`Account::ADMIN`] is in every table: unless it is given, it is as it is without
    /// accounts.
    pub fn new(profiles: impl IntoIterator<Item = (Account, Profile)>) -> Self {
        let admin = (Account::ADMIN, Profile::admin());
        let others = Profile { names: Some(Vec::new()), ..Profile::default() };
        Self { profiles: [admin].into_iter().chain(profiles).collect(), others }
    }

    /// The account's profile, or that of accounts which are not in the table.
    #[must_use]
    pub fn of(&self, account: Account) -> &Profile {
        self.get(account).unwrap_or(&self.others)
    }

    /// The account's profile. `None` if it is not in the table: then nobody can log in to it.
    #[must_use]
    pub fn get(&self, account: Account) -> Option<&Profile> {
        self.profiles.get(&account)
    }

    /// Every account in the table, by number.
    pub fn iter(&self) -> impl Iterator<Item = (Account, &Profile)> {
        self.profiles.iter().map(|(account, profile)| (*account, profile))
    }

    /// What accounts are that are not in the table.
    pub(crate) fn others(&self) -> &Profile {
        &self.others
    }

    /// Restores a table from a snapshot.
    pub(crate) fn restored(profiles: BTreeMap<Account, Profile>, others: Profile) -> Self {
        Self { profiles, others }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        let open = |name: &str| Profile { name: name.to_owned(), all_figures: true, ..Profile::default() };
        let profiles = [(Account::default(), open("default")), (Account::ADMIN, Profile::admin())];
        Self { profiles: profiles.into(), others: open("") }
    }
}

impl Profile {
    /// What the administrative listener's connections are.
    fn admin() -> Self {
        let quotas = Quotas { connections: Some(u32::MAX), ..Quotas::default() };
        Self { name: "admin".to_owned(), quotas, is_operator: true, names: None, all_figures: true }
    }

    /// Whether listings show it a lock of this name.
    #[must_use]
    pub fn sees(&self, name: &[u8]) -> bool {
        self.names.as_ref().is_none_or(|starts| starts.iter().any(|start| name.starts_with(start)))
    }

    pub(crate) fn bounds(&self, limits: &Limits) -> Bounds {
        Bounds {
            connections: self.quotas.connections.unwrap_or(limits.connections),
            locks: self.quotas.locks.unwrap_or(limits.locks),
            memory_bytes: self.quotas.memory_bytes.unwrap_or(u64::MAX),
            waiters: self.quotas.waiters.unwrap_or(limits.waiters),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_accounts_everybody_has_the_general_limits_and_sees_everything() {
        let accounts = Accounts::default();
        let limits = Limits::default();
        let open = accounts.of(Account::default()).bounds(&limits);
        assert_eq!(open, accounts.of(Account(7)).bounds(&limits));
        let of_limits = (open.connections, open.locks, open.waiters);
        assert_eq!(of_limits, (limits.connections, limits.locks, limits.waiters));
        for (account, is_operator) in
            [(Account::default(), false), (Account(7), false), (Account::ADMIN, true)]
        {
            let profile = accounts.of(account);
            assert_eq!((profile.is_operator, profile.all_figures), (is_operator, true));
            assert!(profile.sees(b"any"));
        }
        assert_eq!(accounts.get(Account(7)), None, "nobody logs in to it");
    }

    #[test]
    fn an_account_that_is_not_in_the_table_sees_nothing() {
        let accounts = Accounts::new([(Account(1), Profile::default())]);
        let other = accounts.of(Account(2));
        assert!(!other.sees(b"") && !other.all_figures && !other.is_operator);
        assert!(accounts.of(Account(1)).sees(b"") && accounts.of(Account::ADMIN).is_operator);
    }

    #[test]
    fn names_are_seen_by_how_they_begin() {
        let names = Some(vec![b"web.".to_vec(), b"cron".to_vec()]);
        let profile = Profile { names, ..Profile::default() };
        for (name, is_seen) in
            [("web.1", true), ("cron", true), ("web", false), ("", false), ("a.web.1", false)]
        {
            assert_eq!(profile.sees(name.as_bytes()), is_seen, "{name}");
        }
    }

    #[test]
    fn each_quota_is_its_own_and_comes_before_the_general_limit() {
        let quotas = Quotas { connections: Some(1), locks: Some(2), memory_bytes: Some(3), waiters: Some(4) };
        let bounds = Profile { quotas, ..Profile::default() }.bounds(&Limits::default());
        assert_eq!(bounds, Bounds { connections: 1, locks: 2, memory_bytes: 3, waiters: 4 });
    }
}
