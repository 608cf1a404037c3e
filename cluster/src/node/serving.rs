//! The node's side: it asks for an epoch, sends beats and batches, and lets go of its clients in time.

use super::actor::{Actor, Event};
use super::{Fatal, Kit, LEVELS};
use crate::clock::Moment;
use crate::lease::{LapseCause, NodeLease, Times, Turn};
use crate::message::{BatchAnswered, BeatAnswered, BeatSent, OfLeader, UpWanted, kind};
use crate::net::{LinkError, Purpose};
use crate::propose::Outbox;
use crate::wire::{decode, encode};
use elockd_core::Now;
use elockd_core::replica::Act;
use std::time::Duration;
use tracing::{info, warn};

/// What the node does for its own clients.
pub(super) struct OwnEpochs {
    pub(super) lease: NodeLease,
    pub(super) outbox: Outbox,
    /// The epoch that has begun here.
    epoch: Option<u64>,
    /// The leader that batches were last sent to.
    sent_to: Option<(u16, u64)>,
    /// When an `Up` is asked for again.
    ask_at: Moment,
    /// Whether a beat waits in the server's runtime.
    beat_waits: bool,
    /// How often a served epoch lapsed.
    pub(super) lapses: u64,
}

impl OwnEpochs {
    /// For a process that starts now.
    pub(super) fn new(times: Times, nonce: u64) -> Self {
        Self {
            lease: NodeLease::new(times, nonce),
            outbox: Outbox::new(),
            epoch: None,
            sent_to: None,
            ask_at: Moment::default(),
            beat_waits: false,
            lapses: 0,
        }
    }

    /// Whether it takes what the server hands in.
    pub(super) fn takes(&self) -> bool {
        self.lease.deadline().is_some() && self.outbox.has_room()
    }

    /// The server has no open socket.
    pub(super) fn closed(&mut self) {
        // Before the first service of an epoch the server is silent too: that is no end.
        if self.lease.deadline().is_none()
            && let Some(epoch) = self.lease.epoch()
        {
            self.lease.closed(epoch);
        }
    }
}

impl<K: Kit> Actor<K> {
    /// Notes what was applied for this node.
    pub(super) fn own_progress(&mut self, at: Moment) {
        let me = self.shared.me();
        let (present, installs, index) = self
            .with_applied(|applied| (applied.roll.epoch_of(me).copied(), applied.installs, applied.index));
        if installs != self.installs {
            self.installs = installs;
            let turn = self.serving.lease.installed(present.map(|of| (of.nonce, of.number)), at);
            self.take(turn);
            self.serving.epoch = None;
        }
        if let Some(epoch) = self.serving.epoch
            && present.is_none_or(|of| of.number != epoch)
        {
            self.serving.epoch = None;
            let turn = self.serving.lease.gone(epoch);
            self.take(turn);
        }
        if let Some(of) = present {
            if self.serving.lease.asks() == Some(of.nonce) {
                self.serving.lease.up(of.nonce, of.number, at);
                self.serving.outbox = Outbox::new();
            }
            if self.serving.epoch.is_none() && self.serving.lease.next_beat().is_some() {
                self.serving.epoch = Some(of.number);
            }
            if self.serving.epoch == Some(of.number) {
                self.serving.outbox.applied(of.last_batch, at);
                let turn = self.serving.lease.batch_applied(of.last_batch, at);
                self.take(turn);
            }
        }
        // The engine's own entries never come here, but are committed like others.
        let of_engine = self.standing.applied.map_or(0, |last| last.index);
        self.serving.lease.applied(index.max(of_engine));
    }

    /// Does what is due for this node's clients.
    pub(super) fn serve(&mut self, at: Moment) {
        let turn = self.serving.lease.tick(at);
        self.take(turn);
        self.say_farewell();
        let (Some(leader), term) = (self.standing.leader, self.standing.term) else { return };
        self.ask_for_epoch(leader, at);
        if !self.serving.beat_waits && self.serving.lease.next_beat().is_some_and(|due| at >= due) {
            self.serving.beat_waits = true;
            let (passing, events) = (self.inside.beat(), self.shared.events.clone());
            tokio::spawn(async move {
                passing.await;
                // It fails if the actor is over.
                let _ = events.send(Event::BeatPassed);
            });
        }
        if self.serving.sent_to != Some((leader, term)) {
            self.serving.sent_to = Some((leader, term));
            self.serving.outbox.again();
        }
        self.send_batches(leader, at);
    }

    fn ask_for_epoch(&mut self, leader: u16, at: Moment) {
        let Some(nonce) = self.serving.lease.asks() else { return };
        if at < self.serving.ask_at {
            return;
        }
        self.serving.ask_at = at.plus(self.shared.times.again());
        let payload = encode(&UpWanted { nonce, levels: LEVELS });
        let asking = self.shared.ask(leader, Purpose::Beats, kind::UP, payload, self.patience());
        // What comes of it is seen in the log.
        tokio::spawn(asking);
    }

    /// A beat has passed through the server's runtime, and goes out now.
    pub(super) fn beat_passed(&mut self, at: Moment) {
        self.serving.beat_waits = false;
        let Some(beat) = self.serving.lease.beat(at) else { return };
        let Some(leader) = self.standing.leader else { return };
        let digest = self.with_applied(|applied| applied.digest);
        let payload =
            encode(&BeatSent { epoch: beat.epoch, number: beat.number, applied: beat.applied, digest });
        let asking = self.shared.ask(leader, Purpose::Beats, kind::BEAT, payload, self.patience());
        let events = self.shared.events.clone();
        tokio::spawn(async move {
            let answer = asking.await;
            let _ = events.send(Event::BeatAnswered { epoch: beat.epoch, number: beat.number, answer });
        });
    }

    /// The answer to a beat came.
    pub(super) fn beat_answered(
        &mut self,
        (epoch, number): (u64, u64),
        answer: &Result<Vec<u8>, LinkError>,
        at: Moment,
    ) {
        let Ok(bytes) = answer else { return };
        let Ok(OfLeader::Here(BeatAnswered { commit, time, agreed })) = decode(bytes) else { return };
        let own = self.with_applied(|applied| applied.digest);
        if let (Some((index, agreed)), Some((at_entry, digest))) = (agreed, own)
            && index == at_entry
            && agreed != digest
        {
            self.shared.with_kept(|kept| kept.fatal = Some(Fatal::Diverged { index }));
            return;
        }
        self.time.answered(Now(time));
        let turn = self.serving.lease.answered(epoch, number, commit, at);
        self.take(turn);
    }

    fn send_batches(&mut self, leader: u16, at: Moment) {
        let Some(epoch) = self.serving.epoch.filter(|_| self.serving.lease.deadline().is_some()) else {
            return;
        };
        self.serving.outbox.again_if_late(at);
        while let Some((batch, is_first)) = self.serving.outbox.next(at) {
            let number = batch.number;
            let act = Act::Batch { node: self.shared.me(), epoch, number, inputs: batch.inputs.clone() };
            let payload = act.encode();
            if is_first {
                self.serving.lease.batch_sent(number, at);
            }
            let asking = self.shared.ask(leader, Purpose::Batches, kind::BATCH, payload, self.patience());
            let events = self.shared.events.clone();
            tokio::spawn(async move {
                let answer = asking.await;
                let _ = events.send(Event::BatchAnswered { epoch, answer });
            });
        }
    }

    /// The leader took a batch, or one before it is missing there.
    pub(super) fn batch_answered(&mut self, epoch: u64, answer: &Result<Vec<u8>, LinkError>) {
        // Anything but a gap is taken, or is sent again soon enough: after a patience, or to a new leader.
        let is_gap =
            answer.as_ref().is_ok_and(|bytes| decode(bytes) == Ok(OfLeader::Here(BatchAnswered::Gap)));
        if is_gap && self.serving.epoch == Some(epoch) {
            self.serving.outbox.again();
        }
    }

    /// Does what the lease says.
    pub(super) fn take(&mut self, turn: Option<Turn>) {
        match turn {
            None => {}
            Some(Turn::Serve { epoch, until }) => self.inside.serve(epoch, until),
            Some(Turn::Renew { until }) => self.inside.renew(until),
            Some(Turn::Lapse { epoch, cause }) => {
                self.inside.lapse();
                self.serving.outbox = Outbox::new();
                self.serving.lapses += 1;
                match cause {
                    LapseCause::Shutdown => info!(epoch, "serving no more: shutting down"),
                    cause => warn!(epoch, "serving no more, and ending all connections: {}", said(cause)),
                }
            }
        }
    }

    /// How long an answer of the leader is waited for. A later one would be no use.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.shared.times.lease())
    }

    /// At the end of an orderly shutdown: ends this node's epoch, so that nobody has to wait for its expiry.
    fn say_farewell(&mut self) {
        if self.stopping.is_none() {
            return;
        }
        let Some(epoch) = self.serving.lease.farewell() else {
            // There is nothing to end.
            if self.serving.lease.epoch().is_none() && self.serving.epoch.is_none() {
                self.stopping = None;
            }
            return;
        };
        let me = self.shared.me();
        if self.with_applied(|applied| applied.roll.epoch_of(me).is_none_or(|of| of.number != epoch)) {
            self.stopping.take().map(|done| done.send(()));
            return;
        }
        let at = self.now();
        let Some(leader) = self.standing.leader.filter(|_| at >= self.serving.ask_at) else { return };
        self.serving.ask_at = at.plus(self.shared.times.again());
        let asking = self.shared.ask(leader, Purpose::Beats, kind::GONE, encode(&epoch), self.patience());
        tokio::spawn(asking);
    }
}

fn said(cause: LapseCause) -> &'static str {
    match cause {
        LapseCause::NoAnswer => "no leader with a quorum answered in time",
        LapseCause::BatchStuck => "what clients said was not agreed on in time",
        LapseCause::Gone => "the cluster has ended this epoch",
        LapseCause::Snapshot => "the state was replaced by a snapshot",
        LapseCause::Shutdown => "shutting down",
    }
}
