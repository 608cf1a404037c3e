//! A replica: the [`Roll`] and the machine as one, driven by the entries of a cluster's log. Two replicas that applied
//! the same entries tell every connection the same, whatever their storage looks like and however far they have swept.
//!
//! A cluster that keeps the machine elsewhere needs only the roll: it judges each act, and a [`Ruling`] says what the
//! machine gets.

mod entry;
mod roll;
mod spoken;
#[cfg(test)]
mod tests;

pub use entry::{Act, LogEntry, NodeInput};
pub use roll::{Epoch, Roll, Ruling};

use crate::config::{Config, Identity, Storage};
use crate::inspect::RestoreError;
use crate::machine::{Machine, Output};
use crate::types::Conn;
use siphasher::sip::SipHasher13;

/// The level of this release: a number for "the same inputs give the same outputs". Whatever changes a reply, a figure
/// or an order raises it. Replicas of one cluster work by one level.
pub const LEVEL: u16 = 1;
/// The other level that this release knows. There was none before the first.
pub const LEVEL_BEFORE: u16 = 1;

/// A level that this release does not know. Nothing may be applied from here on: it might come to something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster is at level {0}, and this release knows levels {LEVEL_BEFORE} to {LEVEL}: start the release that the \
     other nodes run"
)]
pub struct UnknownLevel(pub u16);

impl UnknownLevel {
    /// Sees whether this release knows a level.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn check(level: u16) -> Result<(), Self> {
        if (LEVEL_BEFORE..=LEVEL).contains(&level) { Ok(()) } else { Err(Self(level)) }
    }
}

/// The roll and the machine.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The nodes, and which acts count.
    pub roll: Roll,
    /// The locks.
    pub machine: Machine,
}

impl Replica {
    /// A replica that has applied nothing. Of `config` only what a node may have by itself counts in the end: the rest
    /// comes with [`Act::Set`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { roll: Roll::new(), machine: Machine::new(config) }
    }

    /// Applies an entry at its stamp, and pushes what connections of all nodes are told into `out`.
    pub fn apply(&mut self, entry: &LogEntry, out: &mut impl FnMut(Conn, Output<'_>)) {
        for act in &entry.acts {
            let ruling = self.roll.judge(act);
            if let Ruling::Set(settings) = ruling {
                self.machine.configure(settings);
            }
            for input in ruling.inputs() {
                self.machine.apply(entry.stamp, input, out);
            }
        }
    }

    /// What replicas compare: a hash over the roll, and over what the machine has done and counted. It does not depend
    /// on storage or sweeping. Two replicas that differ in it have diverged.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest(&self.roll, &self.machine)
    }

    /// The whole state as bytes. First sweeps all that is dead.
    ///
    /// Panics if the state takes more than a gibibyte, which [`restore`](Self::restore) would refuse.
    #[must_use]
    pub fn snapshot(&mut self) -> Vec<u8> {
        let roll = self.roll.encode();
        let length = u32::try_from(roll.len()).expect("a roll is smaller than an entry");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&roll);
        bytes.extend_from_slice(&self.machine.snapshot());
        bytes
    }

    /// A replica that goes on where the original was. `storage` and `identity` are this node's own. There is no
    /// checksum: changed bytes may describe another sound replica.
    ///
    /// # Errors
    ///
    /// If the bytes are not a whole snapshot of a known format, or contradict themselves. They may be anything.
    pub fn restore(storage: Storage, identity: Identity, bytes: &[u8]) -> Result<Self, RestoreError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(RestoreError::NotASnapshot)?;
        let ends_early = || RestoreError::Damaged("it ends within the roll".to_owned());
        let (length, rest) = rest.split_first_chunk().ok_or_else(ends_early)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (roll, machine) = rest.split_at_checked(length).ok_or_else(ends_early)?;
        let roll = Roll::decode(roll).map_err(|error| RestoreError::Damaged(error.to_string()))?;
        // Before the machine is read, which such a level may write in another way.
        UnknownLevel::check(roll.level())?;
        let mut config = Config { storage, identity, ..Config::default() };
        if let Some(settings) = roll.settings() {
            config.limits = settings.limits.clone();
            config.features = settings.features.clone();
            config.secret = settings.secret.clone();
            config.accounts = settings.accounts.clone();
        }
        let machine = Machine::restore(config, machine)?;
        if roll.settings().is_none() && machine.has_opened() {
            return Err(RestoreError::Damaged("connections came before settings".to_owned()));
        }
        machine.check_nodes_are(|node| roll.epoch_of(node).map(|epoch| epoch.drains))?;
        Ok(Self { roll, machine })
    }
}

const MAGIC: &[u8] = b"elockd replica\n\n";

/// What replicas compare, for who keeps the roll and the machine apart.
#[must_use]
pub fn digest(roll: &Roll, machine: &Machine) -> u64 {
    let mut bytes = roll.encode();
    machine.append_digest(&mut bytes);
    SipHasher13::new().hash(&bytes)
}
