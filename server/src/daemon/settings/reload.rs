//! What SIGHUP changes: the settings that can change while the daemon runs, and messages about those that cannot.
//! Settings are only compared here. The caller applies them.

use super::accounts::AccountTables;
use super::{Loaded, limits};

/// What differs between two loads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Messages about changes that take effect.
    pub(crate) applied: Vec<String>,
    /// Messages about changes that take effect only at the next start.
    pub(crate) ignored: Vec<String>,
    /// Messages about changes that should take effect and could not.
    pub(crate) failed: Vec<String>,
    /// Whether the access rules are others, apart from the messages.
    pub(crate) is_other_rulebook: bool,
}

/// The settings that can change while the daemon runs. Limits are not listed: their rows say so.
const RELOADABLE: [&str; 10] = [
    "auth-required",
    "log-file",
    "log-level",
    "tls-cert",
    "tls-client-auth",
    "tls-client-ca",
    "tls-key",
    "token-file",
    "verbose",
    "warn-held",
];

/// The settings that say where certificates are.
const CERTIFICATES: [&str; 4] = ["tls-cert", "tls-client-auth", "tls-client-ca", "tls-key"];

/// What of newer settings could be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// The log's file.
    pub(crate) log: bool,
    /// The certificates.
    pub(crate) certificates: bool,
}

/// The settings that access rules come from.
const OF_ACCESS: [&str; 2] = ["auth-required", "token-file"];

pub(super) fn is_reloadable(name: &str) -> bool {
    RELOADABLE.contains(&name) || limits::is_reloadable(name)
}

impl Loaded {
    /// Replaces the settings by `newer`. Settings that cannot change are kept, so each later reload says again that
    /// they differ. So are files that could not be opened.
    pub(crate) fn replace(&mut self, newer: Self, opened: Opened) -> Changes {
        let mut changes = Changes::default();
        // Sessions that were opened without accounts are not judged, so accounts cannot come later.
        let (old, new) = (&self.settings.rulebook, &newer.settings.rulebook);
        let is_switched = old.is_some() != new.is_some();
        if is_switched && self.accounts.is_empty() != newer.accounts.is_empty() {
            let have = |tables: &AccountTables| if tables.is_empty() { "none" } else { "some" };
            let change = format!("accounts from {} to {}", have(&self.accounts), have(&newer.accounts));
            changes.ignored.push(change);
        }
        if !is_switched && old != new {
            changes.is_other_rulebook = true;
            self.settings.rulebook.clone_from(new);
            self.accounts.clone_from(&newer.accounts);
        }
        for (name, value) in newer.values {
            let Some(old) = self.values.get_mut(&name) else { continue };
            if old.texts == value.texts {
                continue;
            }
            let change = format!("{name} from {} to {}", shown(&old.texts), shown(&value.texts));
            let is_certificate = CERTIFICATES.contains(&&*name);
            if name == "log-file" && !opened.log || is_certificate && !opened.certificates {
                changes.failed.push(change);
            } else if is_switched && OF_ACCESS.contains(&&*name) {
                changes.ignored.push(change);
            } else if is_reloadable(&name) {
                changes.applied.push(change);
                *old = value;
            } else {
                changes.ignored.push(change);
            }
        }
        if opened.log {
            self.settings.log.file = newer.settings.log.file;
        }
        self.settings.log.level = newer.settings.log.level;
        self.settings.server.tune(newer.settings.server.tunables());
        changes
    }
}

fn shown(texts: &[String]) -> String {
    if texts.is_empty() { "unset".to_owned() } else { texts.join(",") }
}

#[cfg(test)]
mod tests {
    use super::super::report::Values;
    use super::super::{Occasion, load, names};
    use super::*;
    use std::ffi::OsString;
    use std::time::Duration;

    const ALL: Opened = Opened { log: true, certificates: true };
    const NO_LOG: Opened = Opened { log: false, certificates: true };

    fn with(flags: &[&str]) -> Loaded {
        let args: Vec<OsString> = ["elockd"].iter().chain(flags).map(OsString::from).collect();
        load(&args, Occasion::Start).unwrap()
    }

    #[test]
    fn every_reloadable_setting_is_one() {
        let names = names();
        assert!(RELOADABLE.iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
    }

    #[test]
    fn what_can_change_changes_and_the_rest_is_told_of_each_time() {
        let mut loaded = with(&["--write-timeout", "1s", "--port", "1"]);
        let port = "port from 1 to 2".to_owned();
        let changes =
            loaded.replace(with(&["--write-timeout", "2s", "--port", "2", "--log-file", "/x"]), ALL);
        let write_timeout = "write-timeout from 1s to 2s".to_owned();
        assert_eq!(changes.applied, ["log-file from unset to /x".to_owned(), write_timeout]);
        assert_eq!(changes.ignored, [&*port]);
        assert_eq!(loaded.settings.server.write_timeout, Some(Duration::from_secs(2)));
        let changes =
            loaded.replace(with(&["--write-timeout", "2s", "--port", "2", "--log-file", "/x"]), ALL);
        assert_eq!(changes, Changes { ignored: vec![port], ..Changes::default() });
        let changes =
            loaded.replace(with(&["--write-timeout", "2s", "--port", "1", "--log-file", "/x"]), ALL);
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn a_log_file_that_cannot_be_had_is_not_the_log_file() {
        let mut loaded = with(&["--log-file", "/a"]);
        for _ in 0..2 {
            let changes = loaded.replace(with(&["--log-file", "/b"]), NO_LOG);
            let failed = vec!["log-file from /a to /b".to_owned()];
            assert_eq!(changes, Changes { failed, ..Changes::default() });
            assert_eq!(loaded.settings.log.file, Some("/a".into()));
        }
        let changes = loaded.replace(with(&["--log-file", "/b"]), ALL);
        assert_eq!(changes.applied, ["log-file from /a to /b"]);
        assert_eq!(loaded.settings.log.file, Some("/b".into()));
    }

    #[test]
    fn certificates_that_cannot_be_had_are_not_the_certificates() {
        let tls = |cert: &str| with(&["--tls-listen", "127.0.0.1:1", "--tls-cert", cert, "--tls-key", "/k"]);
        let mut loaded = tls("/a");
        for _ in 0..2 {
            let changes = loaded.replace(tls("/b"), Opened { log: true, certificates: false });
            let failed = vec!["tls-cert from /a to /b".to_owned()];
            assert_eq!(changes, Changes { failed, ..Changes::default() });
        }
        assert_eq!(loaded.replace(tls("/b"), ALL).applied, ["tls-cert from /a to /b"]);
    }

    #[test]
    fn the_values_are_still_those_that_count() {
        let mut loaded = with(&["--port", "1"]);
        loaded.replace(with(&["--port", "2", "--verbose"]), ALL);
        let values: &Values = &loaded.values;
        assert_eq!((&*values["port"].texts[0], &*values["verbose"].texts[0]), ("1", "true"));
    }
}
