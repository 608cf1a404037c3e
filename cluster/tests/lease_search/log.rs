//! The agreed log, as far as leases are concerned: who leads, and which epochs begin and end.

use std::hash::{Hash, Hasher};

/// What an entry does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Act {
    /// The first entry of a leader.
    #[default]
    First,
    /// A node asks for an epoch.
    Up { node: u8, nonce: u8 },
    /// An epoch is over.
    Gone { node: u8, epoch: u8 },
}

/// An entry, with the term of the leader that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Entry {
    pub(crate) term: u8,
    pub(crate) act: Act,
}

/// More entries than any search makes.
const MOST: usize = 16;

/// A log. Before its first entry there is another one of term 1, which all nodes have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Log {
    len: u8,
    entries: [Entry; MOST],
}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for Entry { term, act } in self.entries() {
            let act = match act {
                Act::First => 1,
                Act::Up { node, nonce } => 2 + 4 * u32::from(*node) + 256 * u32::from(*nonce),
                Act::Gone { node, epoch } => 3 + 4 * u32::from(*node) + 256 * u32::from(*epoch),
            };
            state.write_u64(u64::from(act) << 8 | u64::from(*term));
        }
        state.write_u8(self.len);
    }
}

impl Log {
    pub(crate) fn len(&self) -> u8 {
        self.len
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries[usize::from(self.len)] = entry;
        self.len += 1;
    }

    /// Whether there is room for a few more.
    pub(crate) fn has_room(&self) -> bool {
        usize::from(self.len) + 4 < MOST
    }

    pub(crate) fn get(&self, at: u8) -> Entry {
        self.entries[..usize::from(self.len)][usize::from(at)]
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries[..usize::from(self.len)]
    }

    pub(crate) fn last_term(&self) -> u8 {
        self.entries().last().map_or(1, |entry| entry.term)
    }

    /// What elections compare.
    pub(crate) fn rank(&self) -> (u8, u8) {
        (self.last_term(), self.len)
    }

    /// Takes over a leader's log, as it was when it was sent. What agrees with it stays, even if it is longer.
    pub(crate) fn follow(&mut self, other: &Log) {
        if !self.entries().starts_with(other.entries()) {
            *self = *other;
        }
    }
}

/// Which epochs are present, at some entry of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Epochs {
    present: [Option<u8>; 3],
    ups: u8,
}

impl Epochs {
    pub(crate) fn of(self, node: u8) -> Option<u8> {
        self.present[usize::from(node)]
    }

    /// How many have begun.
    pub(crate) fn ups(self) -> u8 {
        self.ups
    }

    /// The present ones, as the lease machines want them.
    pub(crate) fn present(self) -> Vec<(u16, u64)> {
        (0..3).filter_map(|node| Some((u16::from(node), u64::from(self.of(node)?)))).collect()
    }

    /// Applies an entry. Returns whether it counts.
    pub(crate) fn apply(&mut self, act: Act) -> bool {
        match act {
            Act::First => true,
            Act::Up { node, .. } => {
                let counts = self.of(node).is_none();
                if counts {
                    self.ups += 1;
                    self.present[usize::from(node)] = Some(self.ups);
                }
                counts
            }
            Act::Gone { node, epoch } => {
                let counts = self.of(node) == Some(epoch);
                if counts {
                    self.present[usize::from(node)] = None;
                }
                counts
            }
        }
    }
}
