//! Who may do what: tokens, accounts and their rules. It is made from files that others have read, and is replaced as a
//! whole. Nothing here does I/O, waits, or decides about locks.
//!
//! Accounts have names in files and numbers in the machine. A name keeps its number as long as the daemon runs, so that
//! what an account has stays its own when the files are read again.

mod brake;
mod control;
mod rules;
mod token;
mod token_file;

pub(crate) use control::{Control, Edition};
pub(crate) use rules::lock_of;
pub use rules::{MAX_PREFIXES, RuleError, Rules, Verdict, names_a_lock};
pub use token::{AccessToken, MAX_TOKEN_BYTES, ParseDigestError, TokenDigest};
pub use token_file::{
    AccountNameError, MAX_ACCOUNT_BYTES, MAX_TOKENS, RESERVED, TokenFile, TokenFileError, check_account_name,
};

use elockd_core::{Account, Accounts, Profile, Quotas};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use thiserror::Error;

/// The name of the account of connections that need not say whose they are.
pub const DEFAULT: &str = "default";

/// The account of connections that must say whose they are, and have not. Their number has a limit of its own.
pub(crate) const STRANGERS: Account = Account(1);
/// Its name, in metrics.
const STRANGERS_NAME: &str = "unauthenticated";
/// The number of the first account of a file.
const FIRST: u16 = 2;

/// What files say of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEntry {
    /// Its name. [`DEFAULT`] is the account of connections that need not say whose they are.
    pub name: String,
    /// What it may do.
    pub rules: Rules,
    /// What it may have.
    pub quotas: Quotas,
    /// Whether statistics show it all figures, and not only its own. They show operators all in any case.
    pub all_figures: bool,
    /// Names of clients' certificates. Who has such a certificate is this account.
    pub certificates: Vec<String>,
}

/// What the files say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    /// The tokens. `None` if there is no such file.
    pub tokens: Option<TokenFile>,
    /// The accounts that have an entry. If there is none at all, each account of the file of tokens may do what clients
    /// without authentication may.
    pub entries: Vec<AccountEntry>,
    /// Which connections must say whose they are.
    pub required: Required,
}

/// Which connections must say whose they are, before they may do more than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// Those over TCP.
    pub tcp: bool,
    /// Those to the Unix socket. Its file's permissions have let them in.
    pub unix: bool,
}

/// The files contradict each other.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RulebookError {
    /// An account of the file of tokens has no entry, though others have.
    #[error(
        "the token file has tokens of `{0}`, which has no rules: add a table [accounts.{0}], or remove them"
    )]
    NoRules(String),
    /// Two accounts have the same certificate.
    #[error("the certificate `{certificate}` is both of `{first}` and of `{second}`: give it to one of them")]
    Certificate {
        /// The certificate's name.
        certificate: String,
        /// One account.
        first: String,
        /// The other one.
        second: String,
    },
    /// Nobody could log in.
    #[error("authentication is required, but there is no token file and no certificate of an account")]
    Nobody,
    /// A server without accounts cannot get some.
    #[error("the daemon was started without accounts: restart it")]
    NoAccounts,
    /// The numbers of accounts are used up: too many were renamed since the start.
    #[error("there were more than 60000 accounts since the start: restart the daemon")]
    TooMany,
}

/// Who may do what, in force.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Vec<(TokenDigest, Account)>,
    accounts: BTreeMap<Account, KnownAccount>,
    certificates: BTreeMap<String, Account>,
    required: Required,
    /// The number of each name that there ever was.
    numbers: BTreeMap<String, Account>,
}

/// An account in force.
#[derive(Clone, Debug)]
pub struct KnownAccount {
    /// Its name.
    pub name: Arc<str>,
    /// What it may do.
    pub rules: Arc<Rules>,
    /// What it may have.
    pub quotas: Quotas,
    /// Whether statistics show it all figures.
    pub all_figures: bool,
}

/// Whose a token is.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) account: Account,
    /// Which token it was, for the log.
    pub(crate) digest: TokenDigest,
}

impl Access {
    /// Puts a rulebook in force.
    ///
    /// # Errors
    ///
    /// If its parts contradict each other.
    pub fn new(rulebook: &Rulebook) -> Result<Self, RulebookError> {
        Self::with_numbers(rulebook, BTreeMap::from([(DEFAULT.to_owned(), Account::default())]))
    }

    /// Puts another rulebook in force after this one. An account that both have keeps its number, and a number is never
    /// given to another name.
    ///
    /// # Errors
    ///
    /// If its parts contradict each other.
    pub fn renewed(&self, rulebook: &Rulebook) -> Result<Self, RulebookError> {
        Self::with_numbers(rulebook, self.numbers.clone())
    }

    fn with_numbers(
        rulebook: &Rulebook,
        mut numbers: BTreeMap<String, Account>,
    ) -> Result<Self, RulebookError> {
        let Rulebook { tokens, entries, required } = rulebook;
        let mut accounts = BTreeMap::new();
        let mut certificates = BTreeMap::new();
        let mut names: BTreeMap<Account, &str> = BTreeMap::new();
        let mut number_of = |name: &str| {
            if let Some(number) = numbers.get(name) {
                return Ok(*number);
            }
            // The default account is one of them.
            let number = Account(FIRST - 1 + numbers.len() as u16);
            if number.0 > 60_000 {
                return Err(RulebookError::TooMany);
            }
            numbers.insert(name.to_owned(), number);
            Ok(number)
        };
        for entry in entries {
            let account = number_of(&entry.name)?;
            names.insert(account, &entry.name);
            for certificate in &entry.certificates {
                let first =
                    certificates.insert(certificate.clone(), account).filter(|first| *first != account);
                if let Some(first) = first {
                    let (first, second) = (names[&first].to_owned(), entry.name.clone());
                    return Err(RulebookError::Certificate {
                        certificate: certificate.clone(),
                        first,
                        second,
                    });
                }
            }
            accounts.insert(account, KnownAccount::of(entry));
        }
        let has_entries = entries.iter().any(|entry| entry.name != DEFAULT);
        let mut known = Vec::new();
        for (digest, name) in tokens.iter().flat_map(TokenFile::lines) {
            let account = number_of(name)?;
            if let Entry::Vacant(vacant) = accounts.entry(account) {
                if has_entries {
                    return Err(RulebookError::NoRules(name.to_owned()));
                }
                vacant.insert(KnownAccount::of_clients(name));
            }
            known.push((digest, account));
        }
        accounts.entry(Account::default()).or_insert_with(|| KnownAccount::of_clients(DEFAULT));
        if (required.tcp || required.unix) && known.is_empty() && certificates.is_empty() {
            return Err(RulebookError::Nobody);
        }
        Ok(Self { tokens: known, accounts, certificates, required: *required, numbers })
    }

    /// Whose a token is. It takes the same time for every token of a length, right or wrong: one hash, and a comparison
    /// with each known token.
    pub(crate) fn account_of_token(&self, token: &[u8]) -> Option<Known> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let digest = TokenDigest::of(token);
        let mut found = None;
        for (known, account) in &self.tokens {
            if known.is(&digest) {
                found = Some(Known { account: *account, digest });
            }
        }
        found
    }

    /// Whose a client is by the names in its certificate. If they are of several accounts, it is nobody's.
    #[must_use]
    pub fn account_of_certificate(&self, names: &[impl AsRef<str>]) -> Option<Account> {
        let mut accounts = names.iter().filter_map(|name| self.certificates.get(name.as_ref()));
        let first = accounts.next()?;
        accounts.all(|account| account == first).then_some(*first)
    }

    /// An account, by its number.
    #[must_use]
    pub fn account(&self, account: Account) -> Option<&KnownAccount> {
        self.accounts.get(&account)
    }

    /// Every account, by number. The daemon's own are not among them, apart from the default one.
    pub fn accounts(&self) -> impl Iterator<Item = (Account, &KnownAccount)> {
        self.accounts.iter().map(|(account, known)| (*account, known))
    }

    /// An account, by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&KnownAccount> {
        self.accounts.values().find(|known| *known.name == *name)
    }

    /// The machine's table of these accounts, with one for connections that have not said whose they are. Of those
    /// there may be `most_strangers`, and they may have nothing else.
    #[must_use]
    pub fn table(&self, most_strangers: u32) -> Arc<Accounts> {
        let strangers = Profile {
            name: STRANGERS_NAME.to_owned(),
            quotas: Quotas {
                connections: Some(most_strangers),
                locks: Some(0),
                memory_bytes: None,
                waiters: Some(0),
            },
            is_operator: false,
            names: Some(Vec::new()),
            all_figures: false,
        };
        let profiles = self.accounts().map(|(account, known)| (account, known.profile()));
        Arc::new(Accounts::new(profiles.chain([(STRANGERS, strangers)])))
    }

    /// Which connections must say whose they are.
    #[must_use]
    pub fn required(&self) -> Required {
        self.required
    }

    /// The number of tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }
}

impl KnownAccount {
    fn of(entry: &AccountEntry) -> Self {
        let AccountEntry { name, rules, quotas, all_figures, certificates: _ } = entry;
        let all_figures = *all_figures || rules.is_operator();
        Self { name: name.as_str().into(), rules: Arc::new(rules.clone()), quotas: *quotas, all_figures }
    }

    /// An account without an entry.
    fn of_clients(name: &str) -> Self {
        let rules = Arc::new(Rules::of_clients());
        Self { name: name.into(), rules, quotas: Quotas::default(), all_figures: true }
    }

    /// What the machine knows of it.
    fn profile(&self) -> Profile {
        let names = self.rules.prefixes();
        Profile {
            name: self.name.to_string(),
            quotas: self.quotas,
            is_operator: self.rules.is_operator(),
            names: names.map(|names| names.iter().map(|name| name.to_vec()).collect()),
            all_figures: self.all_figures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn tokens(of: &[(&str, &str)]) -> Option<TokenFile> {
        let mut text = String::new();
        for (name, token) in of {
            write!(text, "{}", TokenFile::line(name, &TokenDigest::of(token.as_bytes()), "")).unwrap();
        }
        Some(TokenFile::parse(text.as_bytes()).unwrap())
    }

    fn entry(name: &str, certificates: &[&str]) -> AccountEntry {
        AccountEntry {
            name: name.to_owned(),
            rules: Rules::new(&["lock"], &[], None).unwrap(),
            quotas: Quotas::default(),
            all_figures: false,
            certificates: certificates.iter().map(ToString::to_string).collect(),
        }
    }

    fn name_of<'a>(access: &'a Access, token: &str) -> Option<&'a str> {
        let known = access.account_of_token(token.as_bytes())?;
        Some(&access.account(known.account).unwrap().name)
    }

    #[test]
    fn a_token_is_of_its_account_and_nothing_else_is() {
        let rulebook =
            Rulebook { tokens: tokens(&[("web", "a"), ("cron", "b"), ("web", "c")]), ..Rulebook::default() };
        let access = Access::new(&rulebook).unwrap();
        assert_eq!(
            ["a", "b", "c"].map(|token| name_of(&access, token)),
            [Some("web"), Some("cron"), Some("web")]
        );
        let longest = "x".repeat(MAX_TOKEN_BYTES);
        for wrong in ["", "A", "ab", "web", "sha256:", &longest] {
            assert_eq!(name_of(&access, wrong), None, "{wrong}");
        }
        assert_eq!(*access.named("web").unwrap().rules, Rules::of_clients());
        assert_eq!(access.tokens(), 3);
    }

    #[test]
    fn a_token_is_compared_up_to_the_longest() {
        let (longest, longer) = ("x".repeat(MAX_TOKEN_BYTES), "x".repeat(MAX_TOKEN_BYTES + 1));
        let rulebook = Rulebook { tokens: tokens(&[("a", &longest), ("b", &longer)]), ..Rulebook::default() };
        let access = Access::new(&rulebook).unwrap();
        assert_eq!((name_of(&access, &longest), name_of(&access, &longer)), (Some("a"), None));
    }

    #[test]
    fn a_name_keeps_its_number_and_nobody_else_ever_gets_it() {
        let book = |of: &[(&str, &str)]| Rulebook { tokens: tokens(of), ..Rulebook::default() };
        let number = |access: &Access, token: &str| {
            access.account_of_token(token.as_bytes()).map(|known| known.account)
        };
        let first = Access::new(&book(&[("web", "a"), ("cron", "b")])).unwrap();
        assert_eq!((number(&first, "a"), number(&first, "b")), (Some(Account(2)), Some(Account(3))));
        let second = first.renewed(&book(&[("top", "d"), ("cron", "c")])).unwrap();
        assert_eq!((number(&second, "c"), number(&second, "d")), (Some(Account(3)), Some(Account(4))));
        assert_eq!((number(&second, "a"), number(&second, "b")), (None, None), "their tokens are gone");
        assert!(second.account(Account(2)).is_none());
        let third = second.renewed(&book(&[("web", "e")])).unwrap();
        assert_eq!(number(&third, "e"), Some(Account(2)));
        assert_eq!(third.accounts().map(|(account, _)| account.0).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn once_an_account_has_rules_all_must_have_some() {
        let with = |entries: Vec<AccountEntry>| {
            Access::new(&Rulebook { tokens: tokens(&[("web", "a")]), entries, ..Rulebook::default() })
        };
        assert_eq!(with(vec![entry("cron", &[])]).unwrap_err(), RulebookError::NoRules("web".into()));
        assert!(with(vec![entry("cron", &[]), entry("web", &[])]).is_ok());
        assert!(with(vec![entry(DEFAULT, &[])]).is_ok(), "those who need not say whose they are");
        assert_eq!(
            *with(vec![entry(DEFAULT, &[])]).unwrap().named(DEFAULT).unwrap().rules,
            entry("", &[]).rules
        );
        assert_eq!(*with(vec![]).unwrap().named(DEFAULT).unwrap().rules, Rules::of_clients());
    }

    #[test]
    fn a_certificate_is_of_one_account() {
        let with = |entries| Access::new(&Rulebook { entries, ..Rulebook::default() });
        let access = with(vec![entry("web", &["a", "b", "a"]), entry("cron", &["c"])]).unwrap();
        let name = |names: &[&str]| {
            access
                .account_of_certificate(names)
                .map(|account| access.account(account).unwrap().name.to_string())
        };
        assert_eq!(
            (name(&["a"]), name(&["x", "b"]), name(&["b", "a"])),
            (Some("web".into()), Some("web".into()), Some("web".into()))
        );
        assert_eq!(
            (name(&["c"]), name(&[]), name(&["x"]), name(&["A"])),
            (Some("cron".into()), None, None, None)
        );
        assert_eq!(name(&["a", "c"]), None, "it is of two");
        let refusal = with(vec![entry("web", &["a"]), entry("cron", &["a"])]).unwrap_err();
        let (first, second) = ("web".into(), "cron".into());
        assert_eq!(refusal, RulebookError::Certificate { certificate: "a".into(), first, second });
    }

    #[test]
    fn nobody_is_asked_for_what_nobody_can_have() {
        for required in [Required { tcp: true, unix: false }, Required { tcp: false, unix: true }] {
            let with = |tokens, entries| Access::new(&Rulebook { tokens, entries, required });
            assert_eq!(with(None, vec![entry("web", &[])]).unwrap_err(), RulebookError::Nobody);
            assert!(with(None, vec![entry("web", &["a"])]).is_ok());
            assert!(with(tokens(&[("web", "a")]), vec![]).is_ok());
        }
    }
}
