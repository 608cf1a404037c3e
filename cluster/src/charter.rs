//! The charter: what a node knows of its cluster before it has read the log. It is a file beside the log, written when
//! the node founds the cluster or joins it.

use crate::node::Founding;
use crate::propose::MOST_INPUTS;
use crate::wire::{Malformed, decode, encode, seal, unseal};
use bincode::{Decode, Encode};
use elockd_core::replica::Act;
use elockd_core::{Features, Limits, Settings};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "cluster.charter";
const UNFINISHED: &str = "cluster.charter.new";

/// What a node knows of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// Limits and features: the same on every node.
    pub settings: Settings,
    /// The first and the last fencing token of the cluster, if this node founds it.
    pub founds: Option<(u64, u64)>,
    /// A fencing token that was above all others when this was written.
    pub token: u64,
}

#[derive(Encode, Decode)]
struct Written {
    settings: Vec<u8>,
    founds: Option<(u64, u64)>,
    token: u64,
}

/// Why there is no charter.
#[derive(Debug, thiserror::Error)]
pub enum CharterError {
    /// It cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is damaged.
    #[error(
        "{} is damaged: {reason}; remove this node from the cluster, empty the directory, and join again",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Charter {
    /// The highest fencing token that there can be.
    pub const HIGHEST_TOKEN: u64 = (1 << 53) - 1;

    /// A token above all that a cluster with this charter gave out. Who founds it anew needs it: the last entry of its
    /// log is `last`. Each input draws one token at most, and an entry has a bounded number of inputs. The log may lack
    /// what others had: a million entries are added for that.
    #[must_use]
    pub fn token_above(&self, last: u64) -> u64 {
        const LACKING: u64 = 1 << 20;
        let entries = last.saturating_add(LACKING);
        self.token.saturating_add(entries.saturating_mul(MOST_INPUTS as u64)).min(Self::HIGHEST_TOKEN)
    }

    /// What the node founds the cluster with, if it does.
    #[must_use]
    pub fn founding(&self) -> Option<Founding> {
        Some(Founding { settings: self.settings.clone(), tokens: self.founds? })
    }

    /// The settings in the answer to a node that joins.
    #[must_use]
    pub fn settings_of(bytes: &[u8]) -> Option<Settings> {
        match Act::decode(bytes) {
            Ok(Act::Set(settings)) => Some(*settings),
            _ => None,
        }
    }

    /// The first setting in which a node's own differ from the cluster's: its name, its own value, and the cluster's.
    #[must_use]
    pub fn difference(&self, limits: &Limits, features: &Features) -> Option<(&'static str, String, String)> {
        let common = &self.settings;
        let limit = Limits::ROWS.iter().find(|row| (row.get)(limits) != (row.get)(&common.limits));
        if let Some(row) = limit {
            return Some((row.flag, (row.get)(limits).to_string(), (row.get)(&common.limits).to_string()));
        }
        let switches = [
            ("dump", features.dump, common.features.dump),
            ("registry", features.registry, common.features.registry),
            ("silent-errors", features.silent_errors, common.features.silent_errors),
        ];
        let switch = switches.into_iter().find(|(_, own, common)| own != common);
        switch.map(|(name, own, common)| (name, own.to_string(), common.to_string()))
    }

    /// Reads the charter of a state directory.
    ///
    /// # Errors
    ///
    /// If it is missing or damaged.
    pub fn read(directory: &Path) -> Result<Self, CharterError> {
        let path = directory.join(FILE);
        let sealed = fs::read(&path).map_err(|source| CharterError::Io { path: path.clone(), source })?;
        let damaged = |reason: String| CharterError::Damaged { path: path.clone(), reason };
        let bytes = unseal(&sealed).map_err(|Malformed(reason)| damaged(reason))?;
        let written: Written = decode(bytes).map_err(|Malformed(reason)| damaged(reason))?;
        let settings =
            Self::settings_of(&written.settings).ok_or_else(|| damaged("its settings".to_owned()))?;
        Ok(Self { settings, founds: written.founds, token: written.token })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write(&self, directory: &Path) -> Result<(), CharterError> {
        let path = directory.join(FILE);
        let written = Written {
            settings: Act::Set(Box::new(self.settings.clone())).encode(),
            founds: self.founds,
            token: self.token,
        };
        let write = || -> io::Result<()> {
            let unfinished = directory.join(UNFINISHED);
            let mut file = File::create(&unfinished)?;
            file.write_all(&seal(&encode(&written)))?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|source| CharterError::Io { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::Config;

    fn charter(founds: Option<(u64, u64)>) -> Charter {
        let Config { limits, features, secret, accounts, .. } = Config::default();
        Charter { settings: Settings { limits, features, secret, accounts }, founds, token: 5 }
    }

    #[test]
    fn a_charter_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        for charter in [charter(None), charter(Some((5, 9)))] {
            charter.write(directory.path()).unwrap();
            assert_eq!(Charter::read(directory.path()).unwrap(), charter);
        }
        assert_eq!(charter(Some((5, 9))).founding().unwrap().tokens, (5, 9));
    }

    #[test]
    fn a_damaged_charter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Charter::read(directory.path()), Err(CharterError::Io { .. })));
        charter(None).write(directory.path()).unwrap();
        let path = directory.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(matches!(Charter::read(directory.path()), Err(CharterError::Damaged { .. })), "{place}");
        }
    }

    #[test]
    fn the_setting_that_differs_is_named() {
        let charter = charter(None);
        let Settings { mut limits, mut features, .. } = charter.settings.clone();
        assert_eq!(charter.difference(&limits, &features), None);
        features.dump = !features.dump;
        assert_eq!(charter.difference(&limits, &features).unwrap().0, "dump");
        let row = &Limits::ROWS[0];
        (row.set)(&mut limits, *row.allowed.start());
        assert_eq!(charter.difference(&limits, &features).unwrap().0, row.flag);
    }
}
