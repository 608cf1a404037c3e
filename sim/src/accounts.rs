//! The accounts of a run: tokens, rules and quotas. A run of the kind [`Scenario::Accounts`] has some, and its seed
//! alone decides which. The server, the clients and the judges all look them up here.

use crate::draw::Rng;
use crate::plan::{Plan, Scenario};
use elockd_core::{Accounts, Quotas, VerbSet};
use elockd_server::access::{Access, AccountEntry, Required, Rulebook, Rules, TokenDigest, TokenFile};
use std::sync::Arc;

/// The account of the liveness phase. It may do what clients without accounts may.
pub const ALL: &str = "all";

/// The accounts of a run.
#[derive(Clone, Debug)]
pub struct RunAccounts {
    /// Whether connections must log in before they may do anything.
    pub required: bool,
    /// The accounts. The first is [`ALL`].
    pub accounts: Vec<RunAccount>,
}

/// One account of a run.
#[derive(Clone, Debug)]
pub struct RunAccount {
    /// Its name. [`token`](Self::token) follows from it.
    pub name: &'static str,
    /// What it may do.
    pub rules: Rules,
    /// What it may have.
    pub quotas: Quotas,
    /// Whether statistics show it all figures.
    pub all_figures: bool,
}

/// The account of connections that have not logged in, where they need not.
pub const DEFAULT: &str = elockd_server::access::DEFAULT;

impl RunAccount {
    /// The token that logs in to it.
    #[must_use]
    pub fn token(&self) -> String {
        format!("token-of-{}", self.name)
    }

    /// Whether listings show it a lock of this name.
    #[must_use]
    pub fn sees(&self, name: &[u8]) -> bool {
        self.rules.has_name(name)
    }
}

impl RunAccounts {
    /// The accounts of a run. `None` if it has none.
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        (plan.scenario == Scenario::Accounts).then(|| Self::drawn(plan.seed))
    }

    /// The accounts that a seed decides.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut rng = Rng::of_accounts(seed);
        let all = RunAccount {
            name: ALL,
            rules: Rules::of_clients(),
            quotas: Quotas::default(),
            all_figures: true,
        };
        let required = rng.percent(60);
        let mut accounts = vec![all];
        for name in ["web", "cron", "watch"] {
            let rights: &[&str] = rng.of(&[
                &["lock", "inspect"][..],
                &["lock", "list", "figures"],
                &["inspect", "list"],
                &["lock"],
            ]);
            let prefixes: Option<&[&str]> = if rng.percent(60) {
                Some(rng.of(&[&["a", "job"][..], &["b", "cron"], &["two "]]))
            } else {
                None
            };
            let some = |rng: &mut Rng, least, most| rng.percent(40).then(|| rng.between(least, most));
            accounts.push(RunAccount {
                name,
                rules: Rules::new(rights, &[], prefixes).expect("these are rights, and names begin so"),
                quotas: Quotas {
                    connections: None,
                    locks: some(&mut rng, 1, 4),
                    memory_bytes: some(&mut rng, 2_000, 8_000).map(u64::from),
                    waiters: some(&mut rng, 0, 2),
                },
                all_figures: rng.percent(50),
            });
        }
        Self { required, accounts }
    }

    /// An account, by its token.
    #[must_use]
    pub fn by_token(&self, token: &[u8]) -> Option<&RunAccount> {
        self.accounts.iter().find(|account| account.token().as_bytes() == token)
    }

    /// What the server is told.
    #[must_use]
    pub fn access(&self) -> Access {
        let line = |account: &RunAccount| {
            TokenFile::line(account.name, &TokenDigest::of(account.token().as_bytes()), "")
        };
        let text: String = self.accounts.iter().map(line).collect();
        let entries = self.accounts.iter().map(|account| AccountEntry {
            name: account.name.to_owned(),
            rules: account.rules.clone(),
            quotas: account.quotas,
            all_figures: account.all_figures,
            certificates: Vec::new(),
        });
        let rulebook = Rulebook {
            tokens: Some(TokenFile::parse(text.as_bytes()).expect("the lines were just made")),
            entries: entries.collect(),
            required: Required { tcp: self.required, unix: self.required },
        };
        Access::new(&rulebook).expect("each account has its rules")
    }

    /// The machine's table.
    #[must_use]
    pub fn table(&self, most_strangers: u32) -> Arc<Accounts> {
        self.access().table(most_strangers)
    }

    /// What may be said before a login, where one is required.
    pub const BEFORE: VerbSet = VerbSet::BEFORE_AUTH;
}
