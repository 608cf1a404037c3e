//! The node's side of a lease: from when to when its server may serve, and what it tells the leader.
//!
//! ```text
//!                 its own Up is applied           a beat is answered
//!   Asking(nonce) ---------------------> Begun(epoch) -----------> serving, until the deadline
//!      ^   ^                               |                          |
//!      |   |          its Gone is applied  |                          | the deadline, its Gone,
//!      |   +-------------------------------+                          | a snapshot, its shutdown
//!      |                                                              v
//!      +---------------------------------------------------------- Lapsed(epoch)
//!        every socket is closed: asks anew, under a new nonce          | after its shutdown
//!                                                                      +-----------------> Stopped(epoch)
//! ```
//!
//! A lapse is final for its epoch, whatever comes later.

use super::Times;
use crate::Moment;
use std::collections::VecDeque;

/// What the server must do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Serve this epoch until a moment.
    Serve {
        /// The epoch.
        epoch: u64,
        /// Its deadline.
        until: Moment,
    },
    /// Serve on until a later moment.
    Renew {
        /// The new deadline. It never goes back within an epoch.
        until: Moment,
    },
    /// Write nothing more, and close every socket of the epoch. Then call [`NodeLease::closed`].
    Lapse {
        /// The epoch.
        epoch: u64,
        /// Why.
        cause: LapseCause,
    },
}

/// Why a node lets go of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LapseCause {
    /// No beat was answered in time.
    NoAnswer,
    /// A batch was not applied in time.
    BatchStuck,
    /// The cluster ended the epoch.
    Gone,
    /// The state was replaced by a snapshot: replies to its connections are in it.
    Snapshot,
    /// It shuts down in order.
    Shutdown,
}

/// A beat, to be sent to the leader right away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Beat {
    /// The sender's epoch.
    pub epoch: u64,
    /// Its number. Numbers ascend within the epoch.
    pub number: u64,
    /// The index of the last entry that the sender applied.
    pub applied: u64,
}

/// The lease of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeLease {
    times: Times,
    /// Of the `Up` that it asks for, or that its epoch began with.
    nonce: u64,
    /// The last entry that it applied.
    applied: u64,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Asking,
    Begun(Began),
    Lapsed { epoch: u64, deadline: Moment, stops: bool },
    Stopped { epoch: Option<u64> },
}

/// An epoch that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Began {
    epoch: u64,
    /// The number of the last beat.
    number: u64,
    /// When the next is due.
    next_beat: Moment,
    /// Beats that may yet be answered, with the moment of sending.
    sent: VecDeque<(u64, Moment)>,
    /// When the last answered beat was sent. The node serves from the first on.
    answered: Option<Moment>,
    /// Commit indexes above what was applied, with the moment at which an answer told them.
    behind: VecDeque<(u64, Moment)>,
    /// Batches that were not applied yet, with the moment at which they were first sent.
    batches: VecDeque<(u64, Moment)>,
}

impl NodeLease {
    /// The lease of a process that starts now. `nonce` is drawn at random: no other process of the cluster may have it
    /// or one of the next few.
    #[must_use]
    pub fn new(times: Times, nonce: u64) -> Self {
        Self { times, nonce, applied: 0, stage: Stage::Asking }
    }

    /// The nonce to ask an `Up` under, if one is wanted. To be asked for again every [`Times::again`] while it is.
    #[must_use]
    pub fn asks(&self) -> Option<u64> {
        (self.stage == Stage::Asking).then_some(self.nonce)
    }

    /// An `Up` of this node that counts was applied. Its epoch begins if the nonce is its own.
    pub fn up(&mut self, nonce: u64, epoch: u64, at: Moment) {
        if self.asks() == Some(nonce) {
            self.stage = Stage::Begun(Began {
                epoch,
                number: 0,
                next_beat: at,
                sent: VecDeque::new(),
                answered: None,
                behind: VecDeque::new(),
                batches: VecDeque::new(),
            });
        }
    }

    /// A `Gone` of this node that counts was applied.
    pub fn gone(&mut self, epoch: u64) -> Option<Turn> {
        match &self.stage {
            Stage::Begun(began) if began.epoch == epoch => self.lapse(LapseCause::Gone),
            _ => None,
        }
    }

    /// The state was replaced by a snapshot. `present` is this node's nonce and epoch in it.
    pub fn installed(&mut self, present: Option<(u64, u64)>, at: Moment) -> Option<Turn> {
        let begun =
            self.began().filter(|began| began.answered.is_none()).map(|began| (self.nonce, began.epoch));
        if begun.is_some() && begun == present {
            return None;
        }
        let turn = self.lapse(LapseCause::Snapshot);
        if let Some((nonce, epoch)) = present {
            self.up(nonce, epoch, at);
        }
        turn
    }

    /// When the next beat is due. Nothing while no epoch has begun.
    #[must_use]
    pub fn next_beat(&self) -> Option<Moment> {
        self.began().map(|began| began.next_beat)
    }

    /// The next beat, if it is due. To be called right before it is sent, after it passed through the server's
    /// runtime: the lease runs from here.
    pub fn beat(&mut self, at: Moment) -> Option<Beat> {
        if self.is_over(at) {
            return None;
        }
        let (every, lease, applied) = (self.times.beat(), self.times.lease(), self.applied);
        let began = self.began_mut().filter(|began| at >= began.next_beat)?;
        began.number += 1;
        began.next_beat = at.plus(every);
        // The answer to an older one would be no lease.
        began.sent.retain(|(_, sent)| at.since(*sent) < lease);
        began.sent.push_back((began.number, at));
        Some(Beat { epoch: began.epoch, number: began.number, applied })
    }

    /// A beat was answered. `commit` is the commit index that the answer told.
    pub fn answered(&mut self, epoch: u64, number: u64, commit: u64, at: Moment) -> Option<Turn> {
        let turn = self.tick(at);
        if turn.is_some() {
            return turn;
        }
        let (half_lease, lease, applied) = (self.times.half_lease(), self.times.lease(), self.applied);
        let before = self.deadline();
        let began = self.began_mut().filter(|began| began.epoch == epoch)?;
        if commit > applied.max(began.behind.back().map_or(0, |(index, _)| *index)) {
            began.behind.push_back((commit, at));
        }
        let lags = began.behind.front().is_some_and(|(_, told)| at.since(*told) >= half_lease);
        let (_, sent) = *began.sent.iter().find(|(sent, _)| *sent == number)?;
        if lags || at >= sent.plus(lease) {
            return None;
        }
        began.sent.retain(|(later, _)| *later > number);
        began.answered = Some(sent);
        self.moved_on(before)
    }

    /// Entries were applied up to this index. To be called after [`up`](Self::up), [`gone`](Self::gone) and
    /// [`batch_applied`](Self::batch_applied) of each.
    pub fn applied(&mut self, index: u64) {
        self.applied = self.applied.max(index);
        if let Some(began) = self.began_mut() {
            began.behind.retain(|(told, _)| *told > index);
        }
    }

    /// A batch of the epoch is sent. That it is sent again does not count.
    pub fn batch_sent(&mut self, number: u64, at: Moment) {
        if let Some(began) = self.began_mut()
            && began.batches.back().is_none_or(|(last, _)| *last < number)
        {
            began.batches.push_back((number, at));
        }
    }

    /// A batch of the epoch was applied, and so were all before it. The deadline may move on.
    pub fn batch_applied(&mut self, number: u64, at: Moment) -> Option<Turn> {
        let turn = self.tick(at);
        if turn.is_some() {
            return turn;
        }
        let before = self.deadline();
        self.began_mut()?.batches.retain(|(sent, _)| *sent > number);
        self.moved_on(before)
    }

    /// Lapses if the deadline has come.
    pub fn tick(&mut self, at: Moment) -> Option<Turn> {
        if !self.is_over(at) {
            return None;
        }
        let is_stuck = self.batch_deadline().is_some_and(|stuck| at >= stuck);
        self.lapse(if is_stuck { LapseCause::BatchStuck } else { LapseCause::NoAnswer })
    }

    /// The moment from which on nothing may be written to clients. Nothing while the node does not serve.
    ///
    /// Within an epoch it never goes back: a batch is sent later than every beat that was answered by then.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        let lease = self.began()?.answered?.plus(self.times.lease());
        Some(self.batch_deadline().map_or(lease, |stuck| lease.min(stuck)))
    }

    /// The epoch that is served, or whose sockets are being closed.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        match &self.stage {
            Stage::Begun(began) => began.answered.map(|_| began.epoch),
            Stage::Lapsed { epoch, .. } => Some(*epoch),
            Stage::Asking | Stage::Stopped { .. } => None,
        }
    }

    /// The moment at which the watchdog must end the process. Nothing unless sockets of a lapsed epoch may be open.
    #[must_use]
    pub fn watchdog(&self) -> Option<Moment> {
        match self.stage {
            Stage::Lapsed { deadline, .. } => Some(deadline.plus(self.times.watchdog_margin())),
            _ => self.deadline().map(|deadline| deadline.plus(self.times.watchdog_margin())),
        }
    }

    /// No socket of the lapsed epoch can be written to any more.
    pub fn closed(&mut self, epoch: u64) {
        match self.stage {
            Stage::Lapsed { epoch: lapsed, stops: false, .. } if lapsed == epoch => self.ask_anew(),
            Stage::Lapsed { epoch: lapsed, stops: true, .. } if lapsed == epoch => {
                self.stage = Stage::Stopped { epoch: Some(epoch) };
            }
            _ => {}
        }
    }

    /// Begins the last part of an orderly shutdown: its clients were answered.
    pub fn stop(&mut self) -> Option<Turn> {
        let turn = self.lapse(LapseCause::Shutdown);
        match &mut self.stage {
            Stage::Lapsed { stops, .. } => *stops = true,
            Stage::Stopped { .. } => {}
            stage => *stage = Stage::Stopped { epoch: None },
        }
        turn
    }

    /// The epoch whose `Gone` the node may ask for itself: after an orderly shutdown, when its sockets are closed.
    #[must_use]
    pub fn farewell(&self) -> Option<u64> {
        match self.stage {
            Stage::Stopped { epoch } => epoch,
            _ => None,
        }
    }

    /// Ends what has begun. An epoch that was never served has no sockets, and leaves nothing to do.
    fn lapse(&mut self, cause: LapseCause) -> Option<Turn> {
        let Stage::Begun(began) = &self.stage else { return None };
        let epoch = began.epoch;
        let Some(deadline) = self.deadline() else {
            self.ask_anew();
            return None;
        };
        self.stage = Stage::Lapsed { epoch, deadline, stops: false };
        Some(Turn::Lapse { epoch, cause })
    }

    fn ask_anew(&mut self) {
        self.nonce = self.nonce.wrapping_add(1);
        self.stage = Stage::Asking;
    }

    /// What the server must do if the deadline is later than it was before.
    fn moved_on(&self, before: Option<Moment>) -> Option<Turn> {
        let (epoch, until) = (self.epoch()?, self.deadline()?);
        match before {
            None => Some(Turn::Serve { epoch, until }),
            Some(before) => (until > before).then_some(Turn::Renew { until }),
        }
    }

    fn is_over(&self, at: Moment) -> bool {
        self.deadline().is_some_and(|deadline| at >= deadline)
    }

    /// When the oldest batch that was not applied ends the epoch.
    fn batch_deadline(&self) -> Option<Moment> {
        self.began()?.batches.front().map(|(_, sent)| sent.plus(self.times.lease()))
    }

    fn began(&self) -> Option<&Began> {
        match &self.stage {
            Stage::Begun(began) => Some(began),
            _ => None,
        }
    }

    fn began_mut(&mut self) -> Option<&mut Began> {
        match &mut self.stage {
            Stage::Begun(began) => Some(began),
            _ => None,
        }
    }
}
