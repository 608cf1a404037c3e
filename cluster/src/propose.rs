//! A node's batches. What its connections said gathers while a few batches are under way, and becomes the next one.
//! Batches are numbered, so that each runs exactly once however often it is sent.
//!
//! ```text
//!   said --push--> unsent --next--> sent --applied--> forgotten
//!                    ^               |
//!                    +----again------+    to a new leader, after a refusal, or when nothing came of it
//! ```

use crate::clock::Moment;
use crate::door::NodeInput;
use elockd_core::Input;
use std::collections::VecDeque;

/// Batches that were not applied yet, at most.
pub(crate) const MOST_UNDER_WAY: usize = 4;
/// Inputs in a batch, at most: as many as in an entry.
pub(crate) const MOST_INPUTS: usize = 4096;
/// Bytes of a batch, at most, as [`weight`] counts them. An entry has no more.
pub(crate) const MOST_BYTES: usize = 1 << 20;
/// If none of what was sent was applied for so long, it is sent again. In milliseconds.
const PATIENCE_MS: u64 = 250;

/// Bytes that an input takes in an entry, at most: its text, and so much for the rest.
pub(crate) fn weight(input: &NodeInput) -> usize {
    const REST: usize = 48;
    let mut text = 0;
    if let Input::Command(_, command) = input {
        command.borrowed().map(|bytes| text = bytes.len());
    }
    REST + text
}

/// Counts inputs, and says whether more fit into a batch.
#[derive(Default)]
pub(crate) struct BatchRoom {
    inputs: usize,
    bytes: usize,
}

impl BatchRoom {
    /// Whether a group fits in. If so, it is counted. The first group always fits: a server bounds what is handed in
    /// at once.
    pub(crate) fn fits(&mut self, group: &[NodeInput]) -> bool {
        let bytes: usize = group.iter().map(weight).sum();
        let fits = self.inputs + group.len() <= MOST_INPUTS && self.bytes + bytes <= MOST_BYTES;
        if fits || self.inputs == 0 {
            self.inputs += group.len();
            self.bytes += bytes;
            return true;
        }
        false
    }
}

/// One batch of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// Its number in its epoch, counted from 1.
    pub(crate) number: u64,
    /// What connections said, in order.
    pub(crate) inputs: Vec<NodeInput>,
}

/// The batches of an epoch that were not applied yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The oldest first, without a gap. Each with the moment when it was first sent.
    under_way: VecDeque<(Numbered, Option<Moment>)>,
    /// How many of them are sent to the present leader.
    sent: usize,
    /// The number of the last one that was made.
    last: u64,
    /// When something was last sent, or applied.
    stirred: Moment,
}

impl Outbox {
    /// For an epoch that begins.
    pub(crate) fn new() -> Self {
        Self { under_way: VecDeque::new(), sent: 0, last: 0, stirred: Moment::default() }
    }

    /// Whether another batch may be made.
    pub(crate) fn has_room(&self) -> bool {
        self.under_way.len() < MOST_UNDER_WAY
    }

    /// Makes a batch.
    pub(crate) fn push(&mut self, inputs: Vec<NodeInput>) {
        assert!(self.has_room(), "more batches are under way than may be");
        self.last += 1;
        self.under_way.push_back((Numbered { number: self.last, inputs }, None));
    }

    /// The next batch to be sent, and whether it was never sent before.
    pub(crate) fn next(&mut self, at: Moment) -> Option<(&Numbered, bool)> {
        let (batch, first_sent) = self.under_way.get_mut(self.sent)?;
        self.sent += 1;
        self.stirred = at;
        let is_first = first_sent.is_none();
        first_sent.get_or_insert(at);
        Some((batch, is_first))
    }

    /// Has everything sent again, from the first that was not applied.
    pub(crate) fn again(&mut self) {
        self.sent = 0;
    }

    /// Has everything sent again if nothing came of it for too long. Returns when that will next be so.
    pub(crate) fn again_if_late(&mut self, at: Moment) -> Option<Moment> {
        if self.sent == 0 {
            return None;
        }
        let late = self.stirred.plus(PATIENCE_MS);
        if at >= late {
            self.again();
            return None;
        }
        Some(late)
    }

    /// Notes that batches up to this number were applied.
    pub(crate) fn applied(&mut self, number: u64, at: Moment) {
        while self.under_way.front().is_some_and(|(batch, _)| batch.number <= number) {
            self.under_way.pop_front();
            self.sent = self.sent.saturating_sub(1);
            self.stirred = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::{Command, Conn, Kind};

    fn said(name: &str) -> NodeInput {
        Input::Command(Conn::new(1, 1), Command::Release(Kind::Exclusive, name.into()))
    }

    fn sent(outbox: &mut Outbox, at: u64) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| outbox.next(Moment(at)).map(|(batch, is_first)| (batch.number, is_first)))
            .collect()
    }

    #[test]
    fn a_batch_is_sent_until_it_is_applied() {
        let mut outbox = Outbox::new();
        for name in ["a", "b", "c"] {
            outbox.push(vec![said(name)]);
        }
        assert_eq!(sent(&mut outbox, 0), [(1, true), (2, true), (3, true)]);
        assert_eq!(sent(&mut outbox, 0), []);
        outbox.applied(1, Moment(100));
        assert_eq!(outbox.again_if_late(Moment(349)), Some(Moment(350)));
        assert_eq!(sent(&mut outbox, 349), []);
        assert_eq!(outbox.again_if_late(Moment(350)), None);
        outbox.push(vec![said("d")]);
        assert_eq!(sent(&mut outbox, 350), [(2, false), (3, false), (4, true)]);
        outbox.applied(4, Moment(360));
        outbox.again();
        assert_eq!((sent(&mut outbox, 360), outbox.again_if_late(Moment(9_999))), (vec![], None));
    }

    #[test]
    fn few_are_under_way() {
        let mut outbox = Outbox::new();
        for _ in 0..MOST_UNDER_WAY {
            assert!(outbox.has_room());
            outbox.push(vec![said("a")]);
        }
        assert!(!outbox.has_room());
        outbox.applied(1, Moment(0));
        assert!(outbox.has_room());
    }

    #[test]
    fn a_batch_takes_whole_groups_up_to_its_bounds() {
        let mut room = BatchRoom::default();
        let group: Vec<_> = (0..64).map(|_| said("a")).collect();
        let groups = std::iter::repeat_with(|| room.fits(&group)).take_while(|fits| *fits).count();
        assert_eq!(groups, MOST_INPUTS / 64);
        let mut room = BatchRoom::default();
        let large = [said(&"x".repeat(MOST_BYTES / 4))];
        let groups = std::iter::repeat_with(|| room.fits(&large)).take_while(|fits| *fits).count();
        assert_eq!(groups, 3, "four and their rests are more than a batch may have");
        let huge = [said(&"x".repeat(2 * MOST_BYTES))];
        assert!(BatchRoom::default().fits(&huge), "a group that is alone always fits");
    }
}
