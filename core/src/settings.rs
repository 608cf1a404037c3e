//! Settings of a whole cluster. Machines that differ in them would give different replies, so they are in the log, and
//! no node's flags count.

use crate::accounts::Accounts;
use crate::config::{Features, Limits, Secret};
use crate::record::shared::AccountsRecord;
use crate::record::{Bytes, RecordError, Sequence};
use bincode::{Decode, Encode};
use std::sync::Arc;

/// What every machine of a cluster has to be the same in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The limits of the whole cluster.
    pub limits: Limits,
    /// What is switched on.
    pub features: Features,
    /// What the keys of `linger` are made under.
    pub secret: Secret,
    /// The table of accounts.
    pub accounts: Arc<Accounts>,
}

/// Settings as they are written. A limit has its flag as its name: a later release may have more of them.
#[derive(Encode, Decode)]
pub(crate) struct SettingsRecord {
    limits: Sequence<(Bytes<Vec<u8>>, u64)>,
    dump: bool,
    registry: bool,
    silent_errors: bool,
    secret: [u8; 16],
    accounts: AccountsRecord,
}

impl From<&Settings> for SettingsRecord {
    fn from(settings: &Settings) -> Self {
        let Settings { limits, features, secret, accounts } = settings;
        let limit = |row: &crate::Limit<Limits>| (Bytes(row.flag.as_bytes().to_vec()), (row.get)(limits));
        let Features { dump, registry, silent_errors } = *features;
        Self {
            limits: Sequence(Limits::ROWS.iter().map(limit).collect()),
            dump,
            registry,
            silent_errors,
            secret: secret.0,
            accounts: (&**accounts).into(),
        }
    }
}

impl TryFrom<SettingsRecord> for Settings {
    type Error = RecordError;

    /// A limit that is not written has its default. Fails if there is one that this release does not know, or that is
    /// out of its range.
    fn try_from(record: SettingsRecord) -> Result<Self, RecordError> {
        let SettingsRecord { limits: written, dump, registry, silent_errors, secret, accounts } = record;
        let mut limits = Limits::default();
        for (flag, value) in written.0 {
            let row = Limits::ROWS.iter().find(|row| row.flag.as_bytes() == flag.0);
            let is_allowed = |row: &&crate::Limit<Limits>| {
                row.allowed.contains(&value) || value == 0 && row.zero.is_some()
            };
            let Some(row) = row.filter(is_allowed) else {
                let flag = flag.0.escape_ascii();
                return Err(RecordError::Damaged(format!("this release has no limit {flag} of {value}")));
            };
            (row.set)(&mut limits, value);
        }
        let features = Features { dump, registry, silent_errors };
        Ok(Self { limits, features, secret: Secret(secret), accounts: Arc::new(accounts.into()) })
    }
}
