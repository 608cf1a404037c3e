//! The roll of a cluster's nodes: who has an epoch, how much of it has run, and which acts of the log count. It is
//! pure, and the same on every replica. So a batch runs exactly once however often it is sent, and what an ended epoch
//! sent late never runs.
//!
//! ```text
//!           Up                                Batch: its epoch, and the next number
//!   out ------------> in epoch e, batch 0 -----------------------------------------> in epoch e, batch 1 ...
//!    ^  (e: one more                |                                                      |
//!    |   than ever before)          |            Gone: epoch e                             |
//!    +------------------------------+------------------------------------------------------+
//! ```

use super::entry::{Act, NodeInput};
use crate::accounts::Accounts;
use crate::machine::Input;
use crate::record::{RecordError, Sequence, decode, encode_into};
use crate::settings::{Settings, SettingsRecord};
use crate::wire::Command;
use bincode::{Decode, Encode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The nodes, and what the cluster has agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    /// The nodes that have an epoch.
    epochs: BTreeMap<u16, Epoch>,
    /// Epochs so far, of all nodes.
    begun: u64,
    /// The node numbers that were given, by nonce.
    joined: BTreeMap<u64, u16>,
    /// The last node number that is in use or was.
    last_node: u16,
    settings: Option<Arc<Settings>>,
    level: u16,
    /// Acts that did not count.
    skipped: u64,
}

/// The present epoch of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Epoch {
    /// Its number. Epochs are counted over all nodes, from 1, so none is ever used again.
    pub number: u64,
    /// The nonce of its `Up`. By this its node knows it as its own.
    pub nonce: u64,
    /// The lowest and the highest level that the node's release knows.
    pub levels: (u16, u16),
    /// The number of the last batch that has run; 0 for none.
    pub last_batch: u64,
    /// Whether the node drains.
    pub drains: bool,
}

/// What a roll has decided about an act: what is to be done with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling<'a> {
    /// It does not count. Nothing is to be done.
    Skip,
    /// A node has begun an epoch. Nothing is to be done with the machine.
    Up {
        /// The node.
        node: u16,
        /// The epoch's number.
        epoch: u64,
    },
    /// The machine gets these inputs.
    Inputs {
        /// Whose they are.
        node: u16,
        /// The inputs, in this order.
        inputs: &'a [NodeInput],
    },
    /// The machine gets [`Input::Gone`].
    Gone(u16),
    /// The machine gets [`Input::Tick`].
    Tick,
    /// A node has this number, which no other ever had.
    Joined(u16),
    /// The machine is [configured](crate::Machine::configure).
    Set(&'a Settings),
    /// Replicas work by this level from now on.
    Level(u16),
    /// The machine gets [`Input::Tokens`].
    Tokens {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
    },
    /// The replica notes its [digest](super::Replica::digest).
    Check,
}

impl<'a> Ruling<'a> {
    /// What the machine gets, in this order.
    pub fn inputs(self) -> impl Iterator<Item = Input<&'a Command<Vec<u8>>, &'a Arc<Accounts>>> {
        let (several, one) = match self {
            Self::Inputs { inputs, .. } => (inputs, None),
            Self::Gone(node) => (&[][..], Some(Input::Gone(node))),
            Self::Tick => (&[][..], Some(Input::Tick)),
            Self::Tokens { first, last } => (&[][..], Some(Input::Tokens { first, last })),
            Self::Skip | Self::Up { .. } | Self::Joined(_) | Self::Set(_) | Self::Level(_) | Self::Check => {
                (&[][..], None)
            }
        };
        several.iter().map(NodeInput::as_ref).chain(one)
    }
}

impl Roll {
    /// The node that founds a cluster. It needs no [`Act::Join`].
    pub const FOUNDER: u16 = 1;
    /// The level of a new cluster, for ever: later ones are in its log.
    const FIRST_LEVEL: u16 = 1;

    /// A roll without nodes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            epochs: BTreeMap::new(),
            begun: 0,
            joined: BTreeMap::new(),
            last_node: Self::FOUNDER,
            settings: None,
            level: Self::FIRST_LEVEL,
            skipped: 0,
        }
    }

    /// Decides whether an act counts, and takes note of it.
    pub fn judge<'a>(&mut self, act: &'a Act) -> Ruling<'a> {
        let ruling = match act {
            Act::Up { node, nonce, levels } => self.up(*node, *nonce, *levels),
            Act::Batch { node, epoch, number, inputs } => self.batch(*node, (*epoch, *number), inputs),
            Act::Gone { node, epoch } => self.gone(*node, *epoch),
            Act::Tick => Some(Ruling::Tick),
            Act::Join { nonce } => self.join(*nonce),
            Act::Set(settings) => self.set(settings),
            Act::Level(level) => self.raise(*level),
            Act::Tokens { first, last } => Some(Ruling::Tokens { first: *first, last: *last }),
            Act::Check => Some(Ruling::Check),
        };
        ruling.unwrap_or_else(|| {
            self.skipped += 1;
            Ruling::Skip
        })
    }

    /// The present epoch of a node, if it has one.
    #[must_use]
    pub fn epoch_of(&self, node: u16) -> Option<&Epoch> {
        self.epochs.get(&node)
    }

    /// The nodes that have an epoch, by number.
    pub fn epochs(&self) -> impl Iterator<Item = (u16, &Epoch)> {
        self.epochs.iter().map(|(node, epoch)| (*node, epoch))
    }

    /// The number of the last batch that has run of a node's present epoch. 0 if none has, or if it has no epoch.
    #[must_use]
    pub fn last_batch(&self, node: u16) -> u64 {
        self.epoch_of(node).map_or(0, |epoch| epoch.last_batch)
    }

    /// The number that a node was given when it joined with this nonce.
    #[must_use]
    pub fn joined(&self, nonce: u64) -> Option<u16> {
        self.joined.get(&nonce).copied()
    }

    /// Whether a node ever had this number. Numbers are given in order.
    #[must_use]
    pub fn has_been(&self, node: u16) -> bool {
        node > 0 && node <= self.last_node
    }

    /// The cluster's settings. `None` until they are set.
    #[must_use]
    pub fn settings(&self) -> Option<&Arc<Settings>> {
        self.settings.as_ref()
    }

    /// The level that replicas work by.
    #[must_use]
    pub fn level(&self) -> u16 {
        self.level
    }

    /// Acts that did not count.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn up<'a>(&mut self, node: u16, nonce: u64, levels: (u16, u16)) -> Option<Ruling<'a>> {
        let is_able = (levels.0..=levels.1).contains(&self.level);
        // Node 0 is a single daemon.
        if node == 0 || self.settings.is_none() || !is_able || self.epochs.contains_key(&node) {
            return None;
        }
        self.begun += 1;
        // Whatever its number came from, nobody else is given it.
        self.last_node = self.last_node.max(node);
        let epoch = Epoch { number: self.begun, nonce, levels, last_batch: 0, drains: false };
        self.epochs.insert(node, epoch);
        Some(Ruling::Up { node, epoch: self.begun })
    }

    fn batch<'a>(
        &mut self,
        node: u16,
        (epoch, number): (u64, u64),
        inputs: &'a [NodeInput],
    ) -> Option<Ruling<'a>> {
        let present = self.epochs.get_mut(&node)?;
        let is_next = number == present.last_batch + 1;
        if epoch != present.number || !is_next || !inputs.iter().all(|input| is_of(node, input)) {
            return None;
        }
        present.last_batch = number;
        present.drains |= inputs.iter().any(|input| matches!(input, Input::Drain(_)));
        Some(Ruling::Inputs { node, inputs })
    }

    fn gone<'a>(&mut self, node: u16, epoch: u64) -> Option<Ruling<'a>> {
        self.epochs.get(&node).filter(|present| present.number == epoch)?;
        self.epochs.remove(&node);
        Some(Ruling::Gone(node))
    }

    fn join<'a>(&mut self, nonce: u64) -> Option<Ruling<'a>> {
        if self.joined.contains_key(&nonce) {
            return None;
        }
        // Numbers are not used again, so they may run out.
        self.last_node = self.last_node.checked_add(1)?;
        self.joined.insert(nonce, self.last_node);
        Some(Ruling::Joined(self.last_node))
    }

    fn set<'a>(&mut self, settings: &'a Settings) -> Option<Ruling<'a>> {
        if self.settings.is_some() {
            return None;
        }
        self.settings = Some(Arc::new(settings.clone()));
        Some(Ruling::Set(settings))
    }

    /// Raises the level. Nodes that are away are the proposer's to ask; those that are here must be able.
    fn raise<'a>(&mut self, level: u16) -> Option<Ruling<'a>> {
        let can = |epoch: &Epoch| (epoch.levels.0..=epoch.levels.1).contains(&level);
        if level <= self.level || !self.epochs.values().all(can) {
            return None;
        }
        self.level = level;
        Some(Ruling::Level(level))
    }

    /// The roll as bytes. Equal rolls have the same.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { epochs, begun, joined, last_node, settings, level, skipped } = self;
        let mut bytes = Vec::new();
        let record = RollRecord {
            epochs: Sequence(epochs.iter().map(|(node, epoch)| (*node, *epoch)).collect()),
            begun: *begun,
            joined: Sequence(joined.iter().map(|(nonce, node)| (*nonce, *node)).collect()),
            last_node: *last_node,
            settings: settings.as_deref().map(SettingsRecord::from),
            level: *level,
            skipped: *skipped,
        };
        encode_into(&record, &mut bytes);
        bytes
    }

    /// The roll in these bytes.
    ///
    /// # Errors
    ///
    /// If they are not exactly one roll, or it contradicts itself. They may be anything.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = decode::<RollRecord, { super::LogEntry::MOST_BYTES }>(bytes)?;
        let RollRecord { epochs, begun, joined, last_node, settings, level, skipped } = record;
        let damaged = |what: &str| Err(RecordError::Damaged(what.to_owned()));
        if !epochs.0.is_sorted_by(|a, b| a.0 < b.0) || !joined.0.is_sorted_by(|a, b| a.0 < b.0) {
            return damaged("a node is on the roll twice");
        }
        let mut numbers: Vec<u64> = epochs.0.iter().map(|(_, epoch)| epoch.number).collect();
        numbers.sort_unstable();
        let are_numbered = numbers.is_sorted_by(|a, b| a < b)
            && numbers.first().is_none_or(|first| *first > 0)
            && numbers.last().is_none_or(|last| *last <= begun);
        let is_node = |node: u16| node > 0 && node <= last_node;
        let mut given: Vec<u16> = joined.0.iter().map(|(_, node)| *node).collect();
        given.sort_unstable();
        let are_nodes = epochs.0.iter().all(|(node, _)| is_node(*node))
            && given.is_sorted_by(|a, b| a < b)
            && given.iter().all(|node| is_node(*node));
        let is_able = |epoch: &Epoch| (epoch.levels.0..=epoch.levels.1).contains(&level);
        let are_able = epochs.0.iter().all(|(_, epoch)| is_able(epoch));
        if !are_numbered || !are_nodes || !are_able || settings.is_none() && !epochs.0.is_empty() {
            return damaged("the roll contradicts itself");
        }
        Ok(Self {
            epochs: epochs.0.into_iter().collect(),
            begun,
            joined: joined.0.into_iter().collect(),
            last_node,
            settings: settings.map(|settings| settings.try_into().map(Arc::new)).transpose()?,
            level,
            skipped,
        })
    }
}

impl Default for Roll {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an input may be in a batch of a node: what that node's connections do, and its drain.
fn is_of(node: u16, input: &NodeInput) -> bool {
    match input {
        Input::Opened(conn, _) | Input::Command(conn, _) | Input::Closed(conn, _) => conn.node() == node,
        Input::Drain(of) => *of == node,
        Input::Gone(_) | Input::Tick | Input::Lapse { .. } | Input::Tokens { .. } | Input::Accounts(_) => {
            false
        }
    }
}

#[derive(Encode, Decode)]
struct RollRecord {
    epochs: Sequence<(u16, Epoch)>,
    begun: u64,
    joined: Sequence<(u64, u16)>,
    last_node: u16,
    settings: Option<SettingsRecord>,
    level: u16,
    skipped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::machine::Cause;
    use crate::types::Conn;

    fn settings() -> Settings {
        let Config { limits, features, secret, accounts, .. } = Config::default();
        Settings { limits, features, secret, accounts }
    }

    /// A roll with settings.
    fn roll() -> Roll {
        let mut roll = Roll::new();
        roll.judge(&Act::Set(Box::new(settings())));
        roll
    }

    /// Whether an act counts.
    fn counts(roll: &mut Roll, act: &Act) -> bool {
        let before = roll.skipped();
        let is_skipped = roll.judge(act) == Ruling::Skip;
        assert_eq!(roll.skipped() - before, u64::from(is_skipped));
        let written = roll.encode();
        assert_eq!(Roll::decode(&written).as_ref(), Ok(&*roll), "it is read as it was written");
        !is_skipped
    }

    const fn up(node: u16) -> Act {
        Act::Up { node, nonce: 7, levels: (1, 1) }
    }

    const fn batch(node: u16, epoch: u64, number: u64) -> Act {
        Act::Batch { node, epoch, number, inputs: Vec::new() }
    }

    #[test]
    fn a_batch_counts_once_in_its_order_and_in_its_epoch() {
        let mut roll = roll();
        assert!(!counts(&mut roll, &batch(1, 1, 1)), "there is no epoch");
        assert!(counts(&mut roll, &up(1)) && !counts(&mut roll, &up(1)));
        assert!(!counts(&mut roll, &batch(1, 1, 2)), "the first is missing");
        assert!(counts(&mut roll, &batch(1, 1, 1)) && !counts(&mut roll, &batch(1, 1, 1)));
        assert!(counts(&mut roll, &batch(1, 1, 2)));
        assert!(!counts(&mut roll, &batch(2, 1, 3)) && !counts(&mut roll, &batch(1, 2, 3)));
        assert_eq!(roll.last_batch(1), 2);
        assert!(!counts(&mut roll, &Act::Gone { node: 1, epoch: 2 }), "of another epoch");
        assert!(!counts(&mut roll, &Act::Gone { node: 2, epoch: 1 }), "of another node");
        let gone = Act::Gone { node: 1, epoch: 1 };
        assert_eq!(roll.judge(&gone), Ruling::Gone(1));
        assert!(!counts(&mut roll, &gone));
        assert!(!counts(&mut roll, &batch(1, 1, 3)), "the epoch is over");
        assert!(counts(&mut roll, &up(2)) && counts(&mut roll, &up(1)));
        assert_eq!([1, 2].map(|node| roll.epoch_of(node).map(|epoch| epoch.number)), [Some(3), Some(2)]);
        assert!(!counts(&mut roll, &batch(1, 1, 1)) && !counts(&mut roll, &batch(1, 3, 4)));
        assert!(counts(&mut roll, &batch(1, 3, 1)), "batches are counted from 1 again");
    }

    #[test]
    fn a_batch_has_inputs_of_its_node_alone() {
        let mut roll = roll();
        roll.judge(&up(1));
        let of = |inputs: Vec<NodeInput>| Act::Batch { node: 1, epoch: 1, number: 1, inputs };
        let own = Input::Closed(Conn::new(1, 1), Cause::Eof);
        for foreign in [
            Input::Closed(Conn::new(2, 1), Cause::Eof),
            Input::Command(Conn::new(0, 1), Command::Ping),
            Input::Drain(2),
            Input::Gone(1),
            Input::Tick,
            Input::Lapse { ms: 1 },
            Input::Tokens { first: 1, last: 2 },
        ] {
            assert!(!counts(&mut roll, &of(vec![own.clone(), foreign])));
        }
        assert!(counts(&mut roll, &of(vec![own, Input::Drain(1)])));
        assert!(roll.epoch_of(1).is_some_and(|epoch| epoch.drains));
        roll.judge(&Act::Gone { node: 1, epoch: 1 });
        roll.judge(&up(1));
        assert!(roll.epoch_of(1).is_some_and(|epoch| !epoch.drains), "it is another epoch");
    }

    #[test]
    fn a_node_number_is_given_once() {
        let mut roll = roll();
        assert!(counts(&mut roll, &Act::Join { nonce: 5 }) && !counts(&mut roll, &Act::Join { nonce: 5 }));
        assert_eq!((roll.joined(5), roll.joined(6)), (Some(2), None));
        roll.judge(&up(9));
        assert_eq!(roll.judge(&Act::Join { nonce: 6 }), Ruling::Joined(10), "above all that were seen");
        roll.judge(&up(u16::MAX));
        assert!(!counts(&mut roll, &Act::Join { nonce: 7 }), "none is left");
        assert!(!counts(&mut roll, &up(0)), "no node has this number");
    }

    #[test]
    fn settings_come_first_and_once() {
        let mut roll = Roll::new();
        assert!(!counts(&mut roll, &up(1)));
        let set = Act::Set(Box::new(settings()));
        assert!(counts(&mut roll, &set) && !counts(&mut roll, &set) && counts(&mut roll, &up(1)));
    }

    #[test]
    fn a_level_is_raised_only_if_all_can() {
        let mut roll = roll();
        let up = |node, levels| Act::Up { node, nonce: 7, levels };
        assert!(!counts(&mut roll, &up(1, (2, 3))) && counts(&mut roll, &up(1, (1, 2))));
        assert!(counts(&mut roll, &up(2, (1, 1))));
        assert!(!counts(&mut roll, &Act::Level(1)) && !counts(&mut roll, &Act::Level(2)));
        assert!(counts(&mut roll, &Act::Gone { node: 2, epoch: 2 }) && counts(&mut roll, &Act::Level(2)));
        assert_eq!(roll.level(), 2);
        assert!(!counts(&mut roll, &up(2, (1, 1))) && counts(&mut roll, &up(2, (2, 3))));
    }

    #[test]
    fn the_roll_gives_the_machine_what_counts() {
        let inputs = [Input::Drain(1), Input::Closed(Conn::new(1, 1), Cause::Eof)];
        let given = |ruling: Ruling<'_>| -> Vec<NodeInput> {
            ruling.inputs().map(|input| input.shared().map(Clone::clone)).collect()
        };
        assert_eq!(given(Ruling::Inputs { node: 1, inputs: &inputs }), inputs);
        assert_eq!(given(Ruling::Gone(3)), [Input::Gone(3)]);
        assert_eq!(given(Ruling::Tick), [Input::Tick]);
        assert_eq!(given(Ruling::Tokens { first: 1, last: 2 }), [Input::Tokens { first: 1, last: 2 }]);
        assert_eq!(given(Ruling::Skip), []);
        assert_eq!(given(Ruling::Check), []);
    }
}
