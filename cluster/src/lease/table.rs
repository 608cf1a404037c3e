//! What a leader heard of each epoch: when last, which beats wait for an answer, and whether it was condemned.

use super::Times;
use crate::Moment;
use std::collections::{BTreeMap, VecDeque};

/// Beats that may wait for an answer, for each node. More than are sent within a lease: older ones are dropped, since
/// their answers would come too late.
const WAITING_MAX: usize = 16;

/// An epoch that the leader condemned. It must propose its `Gone`, in the term that condemned it and in no later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condemned {
    /// The leader's term. A proposal that is carried over into a later term would end an epoch that was answered there.
    pub term: u64,
    /// The node.
    pub node: u16,
    /// Its epoch.
    pub epoch: u64,
}

/// The epochs that are present in the Roll.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Table(BTreeMap<u16, Known>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    epoch: u64,
    /// When something of it last came. Nothing if nothing did in this term.
    heard: Option<Moment>,
    /// Beats that came and were not answered: their number, and when they came.
    waiting: VecDeque<(u64, Moment)>,
    /// When its `Gone` was last proposed. Once it is condemned it stays so.
    condemned: Option<Moment>,
}

impl Table {
    /// An epoch is present. `heard` says whether it counts as heard of now.
    pub(super) fn begin(&mut self, node: u16, epoch: u64, heard: Option<Moment>) {
        self.0.insert(node, Known { epoch, heard, waiting: VecDeque::new(), condemned: None });
    }

    /// An epoch is over.
    pub(super) fn end(&mut self, node: u16, epoch: u64) {
        if self.0.get(&node).is_some_and(|known| known.epoch == epoch) {
            self.0.remove(&node);
        }
    }

    /// Something of an epoch came, with the number of a beat if it was one. Ignored if the epoch is not present or
    /// condemned.
    pub(super) fn hear(&mut self, node: u16, epoch: u64, beat: Option<u64>, at: Moment) {
        let Some(known) = self.0.get_mut(&node) else { return };
        if known.epoch != epoch || known.condemned.is_some() {
            return;
        }
        known.heard = known.heard.max(Some(at));
        if let Some(number) = beat {
            if known.waiting.len() == WAITING_MAX {
                known.waiting.pop_front();
            }
            known.waiting.push_back((number, at));
        }
    }

    /// Takes the beats that came strictly before a moment, or all: node, epoch, number.
    pub(super) fn take(&mut self, before: Option<Moment>) -> Vec<(u16, u64, u64)> {
        let mut taken = Vec::new();
        for (node, known) in &mut self.0 {
            let came = |(number, came): (u64, Moment)| before.is_none_or(|at| came < at).then_some(number);
            while let Some(number) = known.waiting.front().copied().and_then(came) {
                known.waiting.pop_front();
                taken.push((*node, known.epoch, number));
            }
        }
        taken
    }

    /// Condemns what was not heard of since an expiry ago, `since` being the moment for what was never heard of.
    /// Returns what to propose: what was condemned now, and what was proposed a while ago and is still present.
    pub(super) fn condemn(&mut self, times: Times, since: Moment, at: Moment) -> Vec<(u16, u64)> {
        let mut due = Vec::new();
        for (node, known) in &mut self.0 {
            let is_due = match known.condemned {
                Some(proposed) => at.since(proposed) >= times.again(),
                None => at.since(known.heard.unwrap_or(since)) >= times.expiry(),
            };
            if is_due {
                known.condemned = Some(at);
                known.waiting.clear();
                due.push((*node, known.epoch));
            }
        }
        due
    }

    /// Adds to every time of hearing, but never beyond now.
    pub(super) fn postpone(&mut self, late: u64, at: Moment) {
        for known in self.0.values_mut() {
            known.heard = known.heard.map(|heard| heard.max(at.min(heard.plus(late))));
        }
    }

    /// When the epoch of a node was last heard of.
    pub(super) fn heard(&self, node: u16) -> Option<Moment> {
        self.0.get(&node).and_then(|known| known.heard)
    }
}
