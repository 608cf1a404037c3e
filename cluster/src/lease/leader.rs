//! The leader's side of leases: which beats it answers, and which epochs it condemns.
//!
//! It knows nothing when it takes office, whatever it heard when it led before. It begins from what the voters tell
//! it: see [`LastWord`](super::LastWord).

use super::Times;
use super::table::{Condemned, Table};
use crate::Moment;
use std::collections::BTreeMap;

/// What a node must know when it takes office.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Election {
    /// Its term.
    pub term: u64,
    /// The sets of voters of the membership that elected it: two while members change. A set that came after the
    /// election does not count: it need not share a member with a quorum of the leader before. Leave it empty if it is
    /// not known: then every expiry counts from the election.
    pub voters: Vec<Vec<u16>>,
    /// Nodes with an epoch in the Roll, as far as this node has applied the log.
    pub epochs: Vec<(u16, u64)>,
}

/// A beat that must be answered now, with the commit index and the cluster's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answered {
    /// Who sent it.
    pub node: u16,
    /// Its epoch.
    pub epoch: u64,
    /// Its number.
    pub number: u64,
}

/// What a node knows of leases as the leader. Without office it does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaderLease {
    times: Times,
    node: u16,
    office: Option<Office>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Office {
    term: u64,
    voters: Vec<Vec<u16>>,
    /// Since when epochs were silent that were not heard of in this term.
    since: Moment,
    /// Last words that came, as moments of this node's clock.
    words: BTreeMap<u16, Moment>,
    /// By how much ticks were late in this term, altogether.
    late: u64,
    /// When the next tick is due.
    next_tick: Moment,
    /// Whether its own first entry is applied: before that, the Roll may lack what an earlier leader committed.
    first_applied: bool,
    /// When that was sent which a quorum acknowledged.
    acked: Option<Moment>,
    /// Whether it is the only voter, and needs nobody's acknowledgement.
    is_sole: bool,
    table: Table,
}

impl LeaderLease {
    /// The lease of a node that does not lead.
    #[must_use]
    pub fn new(times: Times, node: u16) -> Self {
        Self { times, node, office: None }
    }

    /// The term in which it leads.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.office.as_ref().map(|office| office.term)
    }

    /// This node takes office. All that it knew is dropped.
    pub fn elected(&mut self, election: Election, at: Moment) {
        let Election { term, voters, epochs } = election;
        let mut table = Table::default();
        for (node, epoch) in epochs {
            table.begin(node, epoch, None);
        }
        self.office = Some(Office {
            term,
            voters,
            since: at,
            words: BTreeMap::new(),
            late: 0,
            next_tick: at.plus(self.times.beat()),
            first_applied: false,
            acked: None,
            is_sole: false,
            table,
        });
    }

    /// This node leads no more.
    pub fn deposed(&mut self) {
        self.office = None;
    }

    /// The sets of voters that are in force now. To be told after [`elected`](Self::elected), and before a beat is
    /// handed in if they changed.
    pub fn members(&mut self, voters: &[Vec<u16>]) -> Vec<Answered> {
        let node = self.node;
        let is_sole = !voters.is_empty() && voters.iter().all(|set| set.as_slice() == [node]);
        self.with(|office| {
            office.is_sole = is_sole;
            office.answers()
        })
    }

    /// The voters whose last word is wanted. To be asked every [`Times::beat`], this node itself among them.
    #[must_use]
    pub fn wants_words(&self) -> Vec<u16> {
        let Some(office) = &self.office else { return Vec::new() };
        let mut wanted = office.voters.concat();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|voter| !office.words.contains_key(voter));
        wanted
    }

    /// The last word of a voter, for this term: an age in milliseconds, counted back from now, when it came.
    pub fn word(&mut self, term: u64, from: u16, age: u64, at: Moment) {
        let times = self.times;
        if let Some(office) = self.office.as_mut().filter(|office| office.term == term) {
            office.awake(times, at);
            // What was postponed for everybody is postponed here, too.
            let word = at.min(Moment(at.0.saturating_sub(age)).plus(office.late));
            office.words.insert(from, word);
            if let Some(latest) = office.quorums_word() {
                office.since = office.since.min(latest);
            }
        }
    }

    /// The first entry of this term was applied.
    pub fn first_applied(&mut self, term: u64) -> Vec<Answered> {
        self.with(|office| {
            office.first_applied |= office.term == term;
            office.answers()
        })
    }

    /// An `Up` that counts was applied. Its epoch counts as heard of.
    pub fn up(&mut self, node: u16, epoch: u64, at: Moment) {
        self.with(|office| office.table.begin(node, epoch, Some(at)));
    }

    /// A `Gone` that counts was applied.
    pub fn gone(&mut self, node: u16, epoch: u64) {
        self.with(|office| office.table.end(node, epoch));
    }

    /// A beat came.
    pub fn beat(&mut self, node: u16, epoch: u64, number: u64, at: Moment) -> Vec<Answered> {
        let times = self.times;
        self.with(|office| {
            office.awake(times, at);
            office.table.hear(node, epoch, Some(number), at);
            office.answers()
        })
    }

    /// A batch came.
    pub fn batch(&mut self, node: u16, epoch: u64, at: Moment) {
        let times = self.times;
        self.with(|office| {
            office.awake(times, at);
            office.table.hear(node, epoch, None, at);
        });
    }

    /// A quorum acknowledged something of this term that was sent at `sent`, by this node's clock. If the engine tells
    /// another clock's time, it must be rounded down, and a sleep of the machine must not make it later.
    pub fn quorum_acked(&mut self, term: u64, sent: Moment) -> Vec<Answered> {
        self.with(|office| {
            if office.term == term {
                office.acked = office.acked.max(Some(sent));
            }
            office.answers()
        })
    }

    /// When [`tick`](Self::tick) is to be called. Nothing while it does not lead.
    #[must_use]
    pub fn next_tick(&self) -> Option<Moment> {
        self.office.as_ref().map(|office| office.next_tick)
    }

    /// Condemns what was silent for an expiry. Returns what to propose the `Gone` of, again where it is still present
    /// after a while.
    pub fn tick(&mut self, at: Moment) -> Vec<Condemned> {
        let times = self.times;
        self.with(|office| {
            office.awake(times, at);
            office.next_tick = at.plus(times.beat());
            let term = office.term;
            let due = office.table.condemn(times, office.since, at);
            due.into_iter().map(|(node, epoch)| Condemned { term, node, epoch }).collect()
        })
    }

    /// When the epoch of a node was last heard of in this term, for an operator.
    #[must_use]
    pub fn heard(&self, node: u16) -> Option<Moment> {
        self.office.as_ref().and_then(|office| office.table.heard(node))
    }

    fn with<R: Default>(&mut self, act: impl FnOnce(&mut Office) -> R) -> R {
        self.office.as_mut().map(act).unwrap_or_default()
    }
}

impl Office {
    /// Notices that a tick is late by more than a beat: this process stood still, and so nothing was heard. The
    /// lateness is added to every time.
    fn awake(&mut self, times: Times, at: Moment) {
        let late = at.since(self.next_tick);
        if late > times.beat() {
            self.late += late;
            self.next_tick = at;
            self.since = self.since.max(at.min(self.since.plus(late)));
            for word in self.words.values_mut() {
                *word = (*word).max(at.min(word.plus(late)));
            }
            self.table.postpone(late, at);
        }
    }

    /// Takes the beats that may be answered.
    fn answers(&mut self) -> Vec<Answered> {
        let before = if self.is_sole { None } else { self.acked };
        if !self.first_applied || !(self.is_sole || before.is_some()) {
            return Vec::new();
        }
        let taken = self.table.take(before);
        taken.into_iter().map(|(node, epoch, number)| Answered { node, epoch, number }).collect()
    }

    /// The earliest moment by which a quorum of every set had told its last word.
    fn quorums_word(&self) -> Option<Moment> {
        let of_set = |set: &Vec<u16>| {
            let mut words: Vec<Moment> =
                set.iter().filter_map(|voter| self.words.get(voter)).copied().collect();
            words.sort_unstable();
            words.get(set.len() / 2).copied()
        };
        let words: Option<Vec<Moment>> = self.voters.iter().map(of_set).collect();
        words?.into_iter().max()
    }
}
