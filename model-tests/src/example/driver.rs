//! What stands between the clients of a script and the machine: tokens, and who may say what. The server has its own.
//! Keep this one naive.

use elockd_core::{Account, Accounts, Command, Profile, Refusal, Verb, VerbSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The accounts of a script.
#[derive(Clone, Debug, Default)]
pub(super) struct Driver {
    /// By number.
    rows: Vec<Row>,
    tokens: BTreeMap<Vec<u8>, Account>,
    auth_is_required: bool,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    profile: Profile,
    /// What it may say. `None` is everything.
    verbs: Option<VerbSet>,
}

impl Row {
    /// Reads a line that begins with `account`.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(1);
        let profile = Profile { name: words.next()?.to_owned(), all_figures: true, ..Profile::default() };
        let mut row = Self { profile, verbs: None };
        while let Some(word) = words.next() {
            let Profile { quotas, is_operator, names, all_figures, .. } = &mut row.profile;
            if word == "operator" {
                *is_operator = true;
                continue;
            }
            let value = words.next()?;
            let list = || value.split(',');
            match word {
                "connections" => quotas.connections = Some(value.parse().ok()?),
                "locks" => quotas.locks = Some(value.parse().ok()?),
                "memory_bytes" => quotas.memory_bytes = Some(value.parse().ok()?),
                "waiters" => quotas.waiters = Some(value.parse().ok()?),
                "names" => *names = Some(list().map(|start| start.as_bytes().to_vec()).collect()),
                "figures" => *all_figures = value != "own",
                "verbs" => {
                    let is_said = |verb: &Verb| list().any(|word| word == verb.word());
                    let said: VerbSet = Verb::ALL.into_iter().filter(is_said).collect();
                    row.verbs = Some(said.and(VerbSet::BEFORE_AUTH));
                }
                _ => return None,
            }
        }
        Some(row)
    }
}

impl Driver {
    /// Makes an account, or changes it.
    pub(super) fn set(&mut self, row: Row) {
        if self.rows.is_empty() {
            self.rows.extend(Row::read("account default"));
        }
        match self.rows.iter_mut().find(|other| other.profile.name == row.profile.name) {
            Some(other) => *other = row,
            None => self.rows.push(row),
        }
    }

    pub(super) fn set_token(&mut self, token: &str, account: &str) -> Option<()> {
        let number = self.rows.iter().position(|row| row.profile.name == account)?;
        self.tokens.insert(token.as_bytes().to_vec(), Account(number as u16));
        Some(())
    }

    pub(super) fn require_auth(&mut self) {
        self.auth_is_required = true;
    }

    /// The machine's table. Without accounts it is that of who has none.
    pub(super) fn accounts(&self) -> Arc<Accounts> {
        let numbered = (0..).map(Account).zip(self.rows.iter().map(|row| row.profile.clone()));
        if self.rows.is_empty() { Arc::default() } else { Arc::new(Accounts::new(numbered)) }
    }

    /// What the machine is told when an account says something.
    pub(super) fn judge(&self, by: Account, command: Command<Vec<u8>>, name_bytes: u16) -> Command<Vec<u8>> {
        if let Command::Auth(token) = &command {
            return Command::Login(self.tokens.get(token).copied());
        }
        let Some(verb) = command.verb() else { return command };
        let all = self.rows.get(usize::from(by.0)).and_then(|row| row.verbs).unwrap_or(VerbSet::ALL);
        let is_unknown = self.auth_is_required && by == Account::default();
        let may = if is_unknown { VerbSet::BEFORE_AUTH } else { all };
        // A name that is too long comes between the two refusals.
        let is_too_long = command.name().is_some_and(|name| name.len() > usize::from(name_bytes));
        match command {
            Command::Help(_) => Command::Help(may),
            _ if may.has(verb) => command,
            _ if is_unknown => Command::Refused(verb, Refusal::AuthRequired),
            _ if is_too_long => command,
            _ => Command::Refused(verb, Refusal::NotAllowed),
        }
    }
}
