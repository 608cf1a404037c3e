//! The entries of a cluster's log: what the nodes sent, at one time. Each replica applies every entry, and the
//! [`Roll`](super::Roll) decides which of its acts count.

use super::spoken::InputRecord;
use crate::machine::Input;
use crate::record::{Bytes, RecordError, Sequence, decode, encode_into};
use crate::settings::{Settings, SettingsRecord};
use crate::types::Now;
use crate::wire::Command;
use bincode::{Decode, Encode};

/// An input that a node hands in.
pub type NodeInput = Input<Command<Vec<u8>>>;

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The cluster's time. Every replica applies the entry at this time, and at no time of its own.
    pub stamp: Now,
    /// What happened, in this order.
    pub acts: Vec<Act>,
}

/// Something that a log says. Any act may be in it any number of times, early or late. The roll decides which counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A node begins an epoch. Counts only while it has none.
    Up {
        /// The node.
        node: u16,
        /// By this the node knows the epoch as its own.
        nonce: u64,
        /// The lowest and the highest [level](super::LEVEL) that the node's release knows.
        levels: (u16, u16),
    },
    /// What a node's connections did. Counts once, in the order of the numbers.
    Batch {
        /// The node.
        node: u16,
        /// The epoch in which it was sent.
        epoch: u64,
        /// Its number in the epoch, counted from 1.
        number: u64,
        /// `Opened`, `Command`, `Closed` and `Drain` of that node.
        inputs: Vec<NodeInput>,
    },
    /// An epoch is over: all connections of the node end.
    Gone {
        /// The node.
        node: u16,
        /// The epoch.
        epoch: u64,
    },
    /// Something is due.
    Tick,
    /// A new node asks for a number.
    Join {
        /// By this the node knows the number as its own.
        nonce: u64,
    },
    /// The cluster's settings. They count once, and before every `Up`.
    Set(Box<Settings>),
    /// From here on every replica works by this [level](super::LEVEL). It only ever goes up.
    Level(u16),
    /// Fencing tokens from `first` to `last` may be given out.
    Tokens {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
    },
    /// Replicas compare their digests.
    Check,
}

/// The format of entries and acts.
const FORMAT: u8 = 1;

impl LogEntry {
    /// The most bytes of an entry. Whoever makes entries must stay far below it: a longer one could not be read.
    pub const MOST_BYTES: usize = 64 << 20;

    /// The entry as bytes. Panics if they are more than [`MOST_BYTES`](Self::MOST_BYTES).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let acts = Sequence(self.acts.iter().map(ActRecord::of).collect());
        written(&EntryRecord { stamp: self.stamp.0, acts })
    }

    /// The entry in these bytes.
    ///
    /// # Errors
    ///
    /// If they are not exactly one entry of a known format. They may be anything.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let EntryRecord { stamp, acts } = read(bytes)?;
        let acts: Result<Vec<_>, _> = acts.0.into_iter().map(ActRecord::read).collect();
        Ok(Self { stamp: Now(stamp), acts: acts? })
    }
}

impl Act {
    /// The act as bytes, for who sends it to a leader. Panics if they are more than an entry may have.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        written(&ActRecord::of(self))
    }

    /// The act in these bytes.
    ///
    /// # Errors
    ///
    /// If they are not exactly one act of a known format. They may be anything.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        read::<ActRecord<Bytes<Vec<u8>>>>(bytes)?.read()
    }
}

fn written<T: Encode>(record: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    encode_into(record, &mut bytes);
    assert!(bytes.len() <= LogEntry::MOST_BYTES, "an entry of {} bytes could not be read", bytes.len());
    bytes
}

fn read<T: Decode<()>>(bytes: &[u8]) -> Result<T, RecordError> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => decode::<T, { LogEntry::MOST_BYTES }>(rest),
        Some((&found, _)) => Err(RecordError::Format { found: found.into(), known: FORMAT.into() }),
        None => Err(RecordError::Damaged("it is empty".to_owned())),
    }
}

#[derive(Encode, Decode)]
struct EntryRecord<N> {
    stamp: u64,
    acts: Sequence<ActRecord<N>>,
}

#[derive(Encode, Decode)]
enum ActRecord<N> {
    Up { node: u16, nonce: u64, levels: (u16, u16) },
    Batch { node: u16, epoch: u64, number: u64, inputs: Sequence<InputRecord<N>> },
    Gone { node: u16, epoch: u64 },
    Tick,
    Join { nonce: u64 },
    Set(SettingsRecord),
    Level(u16),
    Tokens { first: u64, last: u64 },
    Check,
}

impl<'a> ActRecord<Bytes<&'a [u8]>> {
    fn of(act: &'a Act) -> Self {
        match act {
            Act::Up { node, nonce, levels } => Self::Up { node: *node, nonce: *nonce, levels: *levels },
            Act::Batch { node, epoch, number, inputs } => {
                let inputs = Sequence(inputs.iter().map(|input| InputRecord::of(*node, input)).collect());
                Self::Batch { node: *node, epoch: *epoch, number: *number, inputs }
            }
            Act::Gone { node, epoch } => Self::Gone { node: *node, epoch: *epoch },
            Act::Tick => Self::Tick,
            Act::Join { nonce } => Self::Join { nonce: *nonce },
            Act::Set(settings) => Self::Set((&**settings).into()),
            Act::Level(level) => Self::Level(*level),
            Act::Tokens { first, last } => Self::Tokens { first: *first, last: *last },
            Act::Check => Self::Check,
        }
    }
}

impl ActRecord<Bytes<Vec<u8>>> {
    fn read(self) -> Result<Act, RecordError> {
        Ok(match self {
            Self::Up { node, nonce, levels } => Act::Up { node, nonce, levels },
            Self::Batch { node, epoch, number, inputs } => {
                let inputs: Result<_, _> = inputs.0.into_iter().map(|input| input.read(node)).collect();
                Act::Batch { node, epoch, number, inputs: inputs? }
            }
            Self::Gone { node, epoch } => Act::Gone { node, epoch },
            Self::Tick => Act::Tick,
            Self::Join { nonce } => Act::Join { nonce },
            Self::Set(settings) => Act::Set(Box::new(settings.try_into()?)),
            Self::Level(level) => Act::Level(level),
            Self::Tokens { first, last } => Act::Tokens { first, last },
            Self::Check => Act::Check,
        })
    }
}
