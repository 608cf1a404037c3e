//! The leader's entries. What nodes sent gathers while a few entries are under way, and becomes the next one.

use crate::propose::{MOST_BYTES, MOST_INPUTS, weight};
use elockd_core::Now;
use elockd_core::replica::{Act, LogEntry};
use std::collections::{BTreeMap, VecDeque};

/// Entries that were proposed and not applied yet, at most.
const MOST_UNDER_WAY: usize = 4;
/// Acts that wait, at most, before batches are refused. Other acts find as much room again, so that batches never keep
/// an epoch from ending. Nodes send again what is refused.
const MOST_WAITING: usize = 1024;

/// What became of a batch that a node sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It will be proposed, or is already.
    Yes,
    /// One before it is missing, or too much waits: the node must send again from the first that was not applied.
    Gap,
}

/// The acts that wait for the next entry. It belongs to one term of leadership.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    waiting: VecDeque<Act>,
    /// The number of the last batch taken, by node, with its epoch.
    taken: BTreeMap<u16, (u64, u64)>,
    under_way: usize,
    /// Whether a tick waits or is under way.
    ticks: bool,
}

impl Merge {
    /// Takes an act that is no batch, unless the same act waits already, or too much waits. Whoever wants it pushes it
    /// again until it was applied: while nothing can be proposed, that must not pile up.
    pub(crate) fn push(&mut self, act: Act) {
        if self.waiting.len() < 2 * MOST_WAITING && !self.waiting.contains(&act) {
            self.waiting.push_back(act);
        }
    }

    /// Takes a node's batch. `applied` is the number of the last one of that epoch which was applied here.
    pub(crate) fn batch(&mut self, node: u16, epoch: u64, applied: u64, (number, act): (u64, Act)) -> Taken {
        let last = self.taken.get(&node).filter(|(of, _)| *of == epoch).map_or(0, |(_, number)| *number);
        let last = last.max(applied);
        if number <= last {
            return Taken::Yes;
        }
        if number > last + 1 || self.waiting.len() >= MOST_WAITING {
            return Taken::Gap;
        }
        self.taken.insert(node, (epoch, number));
        self.waiting.push_back(act);
        Taken::Yes
    }

    /// Whether a node's `Up` waits.
    pub(crate) fn has_up_of(&self, node: u16) -> bool {
        self.waiting.iter().any(|act| matches!(act, Act::Up { node: of, .. } if *of == node))
    }

    /// Takes batches again that were taken before, from the first that was not applied: an entry may be lost.
    pub(crate) fn forget(&mut self) {
        self.taken.clear();
    }

    /// Takes a tick, unless one waits or is under way.
    pub(crate) fn tick(&mut self) {
        if !self.ticks {
            self.ticks = true;
            self.waiting.push_back(Act::Tick);
        }
    }

    /// Whether an entry can be made.
    pub(crate) fn is_ready(&self) -> bool {
        self.under_way < MOST_UNDER_WAY && !self.waiting.is_empty()
    }

    /// Makes the next entry, if there is something for it and few are under way.
    pub(crate) fn next(&mut self, stamp: Now) -> Option<LogEntry> {
        if !self.is_ready() {
            return None;
        }
        let (mut acts, mut inputs, mut bytes) = (Vec::new(), 0, 0);
        while let Some(act) = self.waiting.front() {
            let (more_inputs, more_bytes) = match act {
                Act::Batch { inputs, .. } => (inputs.len(), inputs.iter().map(weight).sum()),
                _ => (1, 64),
            };
            if !acts.is_empty() && (inputs + more_inputs > MOST_INPUTS || bytes + more_bytes > MOST_BYTES) {
                break;
            }
            inputs += more_inputs;
            bytes += more_bytes;
            acts.extend(self.waiting.pop_front());
        }
        self.under_way += 1;
        Some(LogEntry { stamp, acts })
    }

    /// Notes that an entry was applied here, or will never be. `had_tick` says whether a tick was in it.
    pub(crate) fn done(&mut self, had_tick: bool) {
        self.under_way -= 1;
        self.ticks &= !had_tick;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::{Cause, Conn, Input};

    fn batch(node: u16, number: u64, inputs: usize) -> (u64, Act) {
        let closed = Input::Closed(Conn::new(node, 1), Cause::Eof);
        (number, Act::Batch { node, epoch: 1, number, inputs: vec![closed; inputs] })
    }

    #[test]
    fn a_batch_is_taken_once_and_in_order() {
        let mut merge = Merge::default();
        assert_eq!(merge.batch(1, 1, 0, batch(1, 2, 1)), Taken::Gap);
        assert_eq!(merge.batch(1, 1, 0, batch(1, 1, 1)), Taken::Yes);
        assert_eq!(merge.batch(1, 1, 0, batch(1, 1, 1)), Taken::Yes);
        assert_eq!(merge.batch(2, 1, 6, batch(2, 7, 1)), Taken::Yes, "a new leader goes by what was applied");
        assert_eq!(merge.batch(1, 2, 0, batch(1, 1, 1)), Taken::Yes, "numbers begin anew in an epoch");
        assert_eq!(merge.next(Now(5)).map(|entry| (entry.stamp, entry.acts.len())), Some((Now(5), 3)));
    }

    #[test]
    fn an_entry_has_whole_batches_up_to_its_bounds() {
        let mut merge = Merge::default();
        for number in 1..=3 {
            merge.batch(1, 1, 0, batch(1, number, MOST_INPUTS / 2));
        }
        let sizes = [merge.next(Now(0)), merge.next(Now(0)), merge.next(Now(0))]
            .map(|entry| entry.map(|entry| entry.acts.len()));
        assert_eq!(sizes, [Some(2), Some(1), None]);
    }

    #[test]
    fn few_entries_and_one_tick_are_under_way() {
        let mut merge = Merge::default();
        let mut made = 0;
        for _ in 0..10 {
            merge.tick();
            merge.push(Act::Check);
            made += usize::from(merge.next(Now(0)).is_some());
        }
        assert_eq!(made, MOST_UNDER_WAY);
        let ticks = merge.waiting.iter().filter(|act| **act == Act::Tick).count();
        assert_eq!(ticks, 0, "the first is under way");
        merge.done(true);
        merge.tick();
        merge.tick();
        let acts = merge.next(Now(0)).expect("one is done").acts;
        assert_eq!(acts.iter().filter(|act| **act == Act::Tick).count(), 1);
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut merge = Merge::default();
        let most = 2 * MOST_WAITING as u64;
        let taken =
            (1..most).take_while(|number| merge.batch(1, 1, 0, batch(1, *number, 1)) == Taken::Yes).count();
        assert_eq!(taken, MOST_WAITING);
        for node in 0..=u16::MAX {
            merge.push(Act::Gone { node, epoch: 7 });
        }
        assert_eq!(merge.waiting.len(), 2 * MOST_WAITING);
    }

    /// Goal: while nothing can be proposed, what is pushed again does not pile up. Method: as many entries are under
    /// way as may be, and what a leader repeats is repeated for long.
    #[test]
    fn an_act_that_waits_is_not_taken_twice() {
        let mut merge = Merge::default();
        while merge.under_way < MOST_UNDER_WAY {
            merge.push(Act::Check);
            merge.next(Now(0)).expect("there is room");
        }
        let acts = || {
            let gone = (2..=3).map(|node| Act::Gone { node, epoch: 5 });
            gone.chain([Act::Check, Act::Join { nonce: 1 }, Act::Join { nonce: 2 }])
        };
        for _ in 0..1000 {
            acts().for_each(|act| merge.push(act));
        }
        merge.done(false);
        let entry = merge.next(Now(1)).expect("one is done");
        assert!(entry.acts.iter().cloned().eq(acts()), "{:?}", entry.acts);
        // What was proposed may be lost: then it counts as new.
        merge.push(Act::Check);
        assert_eq!(merge.waiting.len(), 1);
    }
}
