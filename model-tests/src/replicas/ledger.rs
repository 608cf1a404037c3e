//! Which acts of a log count, naively: by looking through all that have counted so far. It shares no code with the roll
//! that it is compared with.

use elockd_core::replica::{Act, NodeInput};
use elockd_core::{Conn, Input};
use std::collections::BTreeSet;

/// The acts that have counted, in their order, and what came of them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// For each epoch, its node. Epochs are counted from 1.
    ups: Vec<u16>,
    /// The epochs that are over.
    over: BTreeSet<u64>,
    /// The batches that have run: their epochs and numbers.
    batches: BTreeSet<(u64, u64)>,
    /// Every connection that was ever opened.
    opened: BTreeSet<Conn>,
}

impl Ledger {
    /// The present epoch of a node.
    #[must_use]
    pub fn present(&self, node: u16) -> Option<u64> {
        self.of(node).find(|epoch| !self.over.contains(epoch))
    }

    /// Every epoch that a node has had.
    pub fn of(&self, node: u16) -> impl Iterator<Item = u64> {
        (1..).zip(&self.ups).filter(move |(_, of)| **of == node).map(|(epoch, _)| epoch)
    }

    /// How many epochs there were.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.ups.len() as u64
    }

    /// How many batches of an epoch have run.
    #[must_use]
    pub fn run(&self, epoch: u64) -> u64 {
        self.batches.iter().filter(|(of, _)| *of == epoch).count() as u64
    }

    /// What the machine must get for an act, if the act counts.
    ///
    /// # Errors
    ///
    /// If a connection's number is used a second time.
    pub fn take(&mut self, act: &Act) -> Result<Vec<NodeInput>, String> {
        Ok(match act {
            Act::Up { node, .. } if self.present(*node).is_none() => {
                self.ups.push(*node);
                Vec::new()
            }
            Act::Batch { node, epoch, number, inputs } => {
                let is_present = self.present(*node) == Some(*epoch);
                let before = (1..*number).all(|before| self.batches.contains(&(*epoch, before)));
                let is_own = |input: &NodeInput| match input {
                    Input::Drain(of) => of == node,
                    input => input.conn().is_some_and(|conn| conn.node() == *node),
                };
                let is_new = *number > 0 && !self.batches.contains(&(*epoch, *number));
                if !(is_present && before && is_new && inputs.iter().all(is_own)) {
                    return Ok(Vec::new());
                }
                self.batches.insert((*epoch, *number));
                for input in inputs {
                    if let Input::Opened(conn, _) = input {
                        ensure!(self.opened.insert(*conn), "{conn} is opened a second time");
                    }
                }
                inputs.clone()
            }
            Act::Gone { node, epoch } if self.present(*node) == Some(*epoch) => {
                self.over.insert(*epoch);
                vec![Input::Gone(*node)]
            }
            Act::Tick => vec![Input::Tick],
            _ => Vec::new(),
        })
    }
}
