//! The tables of accounts in the configuration file: `[accounts.NAME]`. Their form is checked here, and what words mean
//! is checked by the rules themselves.

use elockd_core::{MAX_COUNT, Quotas};
use elockd_server::access::{AccountEntry, AccountNameError, DEFAULT, RuleError, Rules, check_account_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;
use toml::Value;

/// The tables, by the account's name.
pub(super) type AccountTables = BTreeMap<String, AccountTable>;

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AccountTable {
    /// Rights and verbs. It must be there: an empty list is a decision.
    allow: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all_figures: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_connections: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_locks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_waiters: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_memory: Option<u64>,
}

/// What is wrong with a table.
#[derive(Debug, Error)]
pub(crate) enum AccountError {
    #[error("`accounts` is a {0}; write a table [accounts.NAME] for each account")]
    NoTables(&'static str),
    #[error("[accounts.{name}]: {error}")]
    Form { name: String, error: toml::de::Error },
    #[error("[accounts.{name:?}]: {error}")]
    Name { name: String, error: AccountNameError },
    #[error("[accounts.{name}]: {error}")]
    Rule { name: String, error: RuleError },
    #[error("[accounts.{name}]: `{key}` must be a whole number from 0 to {most}")]
    Number { name: String, key: &'static str, most: u64 },
}

/// Reads what stands under `accounts`.
///
/// # Errors
///
/// If it is not tables of accounts, or one has a key or a type that none has.
pub(super) fn read(value: Value) -> Result<AccountTables, AccountError> {
    let Value::Table(tables) = value else { return Err(AccountError::NoTables(value.type_str())) };
    let table = |(name, value): (String, Value)| match value.try_into() {
        Ok(table) => Ok((name, table)),
        Err(error) => Err(AccountError::Form { name, error }),
    };
    tables.into_iter().map(table).collect()
}

/// What the tables say.
///
/// # Errors
///
/// If a name, a word or a number is wrong.
pub(super) fn entries(tables: &AccountTables) -> Result<Vec<AccountEntry>, AccountError> {
    tables.iter().map(|(name, table)| entry(name, table)).collect()
}

fn entry(name: &str, table: &AccountTable) -> Result<AccountEntry, AccountError> {
    if name != DEFAULT {
        check_account_name(name).map_err(|error| AccountError::Name { name: name.to_owned(), error })?;
    }
    let rules = Rules::new(&table.allow, &table.deny, table.names.as_deref());
    let rules = rules.map_err(|error| AccountError::Rule { name: name.to_owned(), error })?;
    let number = |key, value: Option<u64>, most| match value {
        Some(number) if number > most => Err(AccountError::Number { name: name.to_owned(), key, most }),
        number => Ok(number),
    };
    let count = |key, value| number(key, value, MAX_COUNT).map(|count| count.map(|count| count as u32));
    Ok(AccountEntry {
        name: name.to_owned(),
        rules,
        quotas: Quotas {
            connections: count("max-connections", table.max_connections)?,
            locks: count("max-locks", table.max_locks)?,
            waiters: count("max-waiters", table.max_waiters)?,
            memory_bytes: number("max-memory", table.max_memory, 1 << 50)?,
        },
        all_figures: table.all_figures,
        certificates: table.certificates.clone(),
    })
}

/// The tables as a file has them.
pub(super) fn report(tables: &AccountTables) -> String {
    let mut report = String::new();
    for (name, table) in tables {
        let text = toml::to_string(table).expect("a table of lists and numbers is TOML");
        // A dot would begin a table within the table.
        let key = if name.contains('.') { format!("\"{name}\"") } else { name.clone() };
        report.extend([&*format!("\n[accounts.{key}]\n"), &text]);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_server::access::Verdict;

    fn tables(text: &str) -> Result<AccountTables, String> {
        let mut table: BTreeMap<String, Value> = toml::from_str(text).unwrap();
        read(table.remove("accounts").unwrap()).map_err(|error| error.to_string())
    }

    fn refusal(text: &str) -> String {
        let entries = |tables| entries(&tables).map_err(|error| error.to_string());
        tables(text).and_then(entries).unwrap_err()
    }

    const WEB: &str = "[accounts.web]\nallow = ['lock', 'q']\ndeny = ['linger']\nnames = ['web.']\n\
        certificates = ['web.example']\nmax-connections = 1\nmax-locks = 2\nmax-waiters = 0\nmax-memory = 4\n";

    #[test]
    fn a_table_says_what_an_account_may_do_and_have() {
        let tables = tables(WEB).unwrap();
        let entries = entries(&tables).unwrap();
        let [web] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((&*web.name, &web.certificates[..]), ("web", &["web.example".to_owned()][..]));
        let judge = |verb, name: &str| web.rules.judge(verb, Some(name.as_bytes()));
        use elockd_core::Verb;
        assert_eq!(judge(Verb::Get, "web.x"), Verdict::Allowed);
        assert_eq!(judge(Verb::Get, "x"), Verdict::Name);
        assert_eq!(
            (judge(Verb::Linger, "web.x"), judge(Verb::Query, "web.x")),
            (Verdict::Verb, Verdict::Allowed)
        );
        let quotas = Quotas { connections: Some(1), locks: Some(2), memory_bytes: Some(4), waiters: Some(0) };
        assert_eq!(web.quotas, quotas);
    }

    #[test]
    fn the_report_is_a_file_with_the_same_tables() {
        let text = format!("{WEB}[accounts.default]\nallow = []\n[accounts.'b.c']\nallow = []\nnames = []\n");
        let read = tables(&text).unwrap();
        assert_eq!(tables(&report(&read)), Ok(read));
    }

    #[test]
    fn what_is_no_table_is_refused_by_its_account() {
        assert!(refusal("accounts = 1").starts_with("`accounts` is a integer"));
        assert!(refusal("[accounts]\nweb = 1").starts_with("[accounts.web]: "));
        assert!(refusal("[accounts.web]\n").contains("missing field `allow`"));
        assert!(refusal("[accounts.web]\nallow = []\nmax-lock = 1").contains("unknown field `max-lock`"));
        assert!(refusal("[accounts.web]\nallow = 'lock'").starts_with("[accounts.web]: "));
        assert!(refusal("[accounts.web]\nallow = ['locks']").contains("`locks` is neither a right"));
        assert!(refusal("[accounts.web]\nallow = []\nmax-locks = -1").starts_with("[accounts.web]: "));
        let most = "[accounts.web]: `max-waiters` must be a whole number from 0 to 2000000000";
        assert_eq!(refusal("[accounts.web]\nallow = []\nmax-waiters = 2000000001"), most);
        assert!(entries(&tables("[accounts.web]\nallow = []\nmax-waiters = 2000000000").unwrap()).is_ok());
        for name in ["admin", "unauthenticated"] {
            let text = format!("[accounts.{name}]\nallow = []");
            assert!(refusal(&text).contains("an account that the daemon has by itself"), "{name}");
        }
        assert!(refusal("[accounts.\"a b\"]\nallow = []").contains("an account's name has 1 to 64"));
    }
}
