//! The leader's side: it merges what nodes send into entries, stamps them, answers beats, and ends the epochs of nodes
//! that are silent. All of it belongs to one term, and is dropped with it.

use super::actor::{Actor, Event};
use super::{Kit, NodeParts};
use crate::clock::Moment;
use crate::lease::{Answered, Condemned, Election};
use crate::merge::{Merge, Taken};
use crate::message::{BatchAnswered, BeatAnswered, BeatSent, OfLeader, UpWanted, kind};
use crate::net::Purpose;
use crate::raft::Standing;
use crate::served::Served;
use crate::wire::{decode, encode};
use elockd_core::replica::{Act, LogEntry, Roll};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

/// What this node does as the leader of a term.
pub(super) struct Leading {
    term: u64,
    /// Whether its first own entry is applied: from then on it knows all that was committed before.
    is_ready: bool,
    merge: Merge,
    proposer: mpsc::UnboundedSender<LogEntry>,
    /// Beats that were not answered yet.
    beats: Vec<(Answered, oneshot::Sender<Option<Vec<u8>>>)>,
    /// Epochs as they were last looked at.
    epochs: BTreeMap<u16, u64>,
    /// When voters are asked for their last words again.
    words_at: Moment,
    /// When things are proposed again that only matter until they are applied.
    settle_at: Moment,
    /// Nothing is proposed before this: the engine has refused something, and would again.
    propose_at: Moment,
    /// When a check is due, and the entry of the last one.
    check_at: (Moment, u64),
    /// What each node's replica came to at its last check: the entry and the digest.
    digests: BTreeMap<u16, (u64, u64)>,
    /// The epochs that were said to be silent.
    silent: BTreeSet<(u16, u64)>,
    /// What most of them came to.
    agreed: Option<(u64, u64)>,
}

impl Leading {
    fn new(
        term: u64,
        epochs: BTreeMap<u16, u64>,
        proposer: mpsc::UnboundedSender<LogEntry>,
        at: Moment,
    ) -> Self {
        Self {
            term,
            is_ready: false,
            merge: Merge::default(),
            proposer,
            beats: Vec::new(),
            epochs,
            words_at: at,
            settle_at: at,
            propose_at: at,
            check_at: (at.plus(CHECK_EVERY_MS), 0),
            digests: BTreeMap::new(),
            silent: BTreeSet::new(),
            agreed: None,
        }
    }
}

impl Leading {
    /// The term that all of it belongs to.
    pub(super) const fn term(&self) -> u64 {
        self.term
    }
}

/// Replicas compare digests this often, while there is traffic.
const CHECK_EVERY_MS: u64 = 10_000;

impl<K: Kit> Actor<K> {
    /// Notices that this node was elected, or leads no more.
    pub(super) fn look_at_office(&mut self, at: Moment) {
        let term = self.standing.leads().then_some(self.standing.term);
        if self.leading.as_ref().map(|leading| leading.term) != term {
            if let Some(leading) = self.leading.take() {
                info!(term = leading.term, "leading no more");
                self.lease.deposed();
                self.shared.with_word(|word| word.deposed(at));
                self.time.deposed(at);
            }
            if let Some(term) = term {
                self.take_office(term, at);
            }
        }
        let Some(leading) = &mut self.leading else { return };
        let term = leading.term;
        let voters = sets(&self.standing);
        let mut answers = self.lease.members(&voters);
        if self.standing.is_caught_up && !leading.is_ready {
            leading.is_ready = true;
            // The whole log before this term is applied, so all its stamps are known.
            let stamp = self.shared.progress.with(|applied| applied.stamp);
            self.time.stamped(stamp);
            self.time.elected(at);
            answers.extend(self.lease.first_applied(term));
        }
        if let Some(sent) = self.standing.quorum_sent {
            answers.extend(self.lease.quorum_acked(term, sent));
        }
        self.answer_beats(&answers, at);
    }

    fn take_office(&mut self, term: u64, at: Moment) {
        info!(term, "leading in term {term}");
        self.shared.with_word(|word| word.leads(term, at));
        let epochs: BTreeMap<u16, u64> = self.with_applied(|applied| epochs(&applied.roll));
        let election = Election {
            term,
            voters: sets(&self.standing),
            epochs: epochs.iter().map(|(node, epoch)| (*node, *epoch)).collect(),
        };
        self.lease.elected(election, at);
        self.leading = Some(Leading::new(term, epochs, self.shared.proposer(term), at));
    }

    /// Notes what was applied, for the leases of all.
    pub(super) fn look_at_progress(&mut self, at: Moment) {
        self.own_progress(at);
        let Some(leading) = &mut self.leading else { return };
        let present: BTreeMap<u16, u64> = self.shared.progress.with(|applied| epochs(&applied.roll));
        for (node, epoch) in &leading.epochs {
            if present.get(node) != Some(epoch) {
                self.lease.gone(*node, *epoch);
            }
        }
        for (node, epoch) in &present {
            if leading.epochs.get(node) != Some(epoch) {
                self.lease.up(*node, *epoch, at);
            }
        }
        leading.epochs = present;
    }

    /// Does what is due in office.
    pub(super) fn lead(&mut self, at: Moment) {
        self.ask_for_words(at);
        let condemned = self.lease.next_tick().filter(|due| at >= *due).map(|_| self.lease.tick(at));
        for Condemned { term, node, epoch } in condemned.into_iter().flatten() {
            let Some(leading) = self.leading.as_mut().filter(|leading| leading.term == term) else {
                continue;
            };
            // Without a quorum it is condemned again and again.
            if leading.silent.insert((node, epoch)) {
                warn!(node, epoch, "node {node} is silent: ending its epoch {epoch}");
            }
            leading.merge.push(Act::Gone { node, epoch });
        }
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.is_ready) else { return };
        let now = self.time.now(at);
        if self.shared.served.deadline().is_some_and(|due| due <= now) {
            leading.merge.tick();
        }
        if at >= leading.settle_at {
            leading.settle_at = at.plus(self.shared.times.again());
            let acts = self
                .shared
                .progress
                .with(|applied| self.shared.founding.as_ref().map(|founding| founding.acts(&applied.roll)));
            for act in acts.into_iter().flatten() {
                leading.merge.push(act);
            }
        }
        let index = self.shared.progress.with(|applied| applied.index);
        if at >= leading.check_at.0 && index > leading.check_at.1 + 1 {
            leading.check_at = (at.plus(CHECK_EVERY_MS), index);
            leading.merge.push(Act::Check);
        }
        if at < leading.propose_at {
            return;
        }
        while let Some(entry) = leading.merge.next(now) {
            // It fails if the engine has stopped.
            let _ = leading.proposer.send(entry);
        }
    }

    fn ask_for_words(&mut self, at: Moment) {
        let Some(leading) = self.leading.as_mut().filter(|leading| at >= leading.words_at) else { return };
        leading.words_at = at.plus(self.shared.times.beat());
        let term = leading.term;
        for voter in self.lease.wants_words() {
            let within = Duration::from_millis(self.shared.times.lease());
            let asking = self.shared.ask(voter, Purpose::Beats, kind::LAST_WORD, encode(&term), within);
            let events = self.shared.events.clone();
            tokio::spawn(async move {
                if let Ok(bytes) = asking.await
                    && let Ok(Some(age_ms)) = decode::<Option<u64>>(&bytes)
                {
                    let _ = events.send(Event::Word { term, from: voter, age_ms });
                }
            });
        }
    }

    /// A beat came from a node. It is answered later, or never.
    pub(super) fn beat_came(
        &mut self,
        from: u16,
        payload: &[u8],
        answer: oneshot::Sender<Option<Vec<u8>>>,
        at: Moment,
    ) {
        let Ok(beat) = decode::<BeatSent>(payload) else {
            let _ = answer.send(None);
            return;
        };
        let Some(leading) = &mut self.leading else {
            let _ = answer.send(Some(self.elsewhere()));
            return;
        };
        let answered = Answered { node: from, epoch: beat.epoch, number: beat.number };
        leading.beats.retain(|(_, answer)| !answer.is_closed());
        leading.beats.push((answered, answer));
        self.keep_follower(from, at);
        self.compare(from, beat.digest);
        if self.retired.contains(&from) {
            // It lapses for want of answers, and is condemned for want of beats that count.
            return;
        }
        let answers = self.lease.beat(from, beat.epoch, beat.number, at);
        self.answer_beats(&answers, at);
    }

    fn answer_beats(&mut self, answers: &[Answered], at: Moment) {
        let Some(leading) = self.leading.as_mut().filter(|_| !answers.is_empty()) else { return };
        let told = BeatAnswered {
            commit: self.standing.committed.unwrap_or(0),
            time: self.time.now(at).0,
            agreed: leading.agreed,
        };
        let bytes = encode(&OfLeader::Here(told));
        let (now, later) =
            std::mem::take(&mut leading.beats).into_iter().partition(|(beat, _)| answers.contains(beat));
        leading.beats = later;
        for (_, answer) in now {
            // It fails if the link broke.
            let _ = answer.send(Some(bytes.clone()));
        }
    }

    /// A batch came from a node.
    pub(super) fn batch_came(&mut self, from: u16, payload: &[u8], at: Moment) -> Option<Vec<u8>> {
        let act = Act::decode(payload).ok()?;
        let Act::Batch { node, epoch, number, .. } = act else { return None };
        if node != from {
            return None;
        }
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.is_ready) else {
            return Some(self.elsewhere());
        };
        if !self.retired.contains(&node) {
            self.lease.batch(node, epoch, at);
        }
        let applied = self.shared.progress.with(|applied| {
            applied.roll.epoch_of(node).filter(|of| of.number == epoch).map(|of| of.last_batch)
        });
        let taken = match applied {
            Some(applied) => leading.merge.batch(node, epoch, applied, (number, act)),
            // The epoch is over: nothing of it counts, however often it is sent.
            None => Taken::Yes,
        };
        Some(encode(&OfLeader::Here(match taken {
            Taken::Yes => BatchAnswered::Taken,
            Taken::Gap => BatchAnswered::Gap,
        })))
    }

    /// A node wants to begin an epoch. Nothing happens while it has one: it asks again.
    pub(super) fn up_came(&mut self, from: u16, payload: &[u8]) -> Option<Vec<u8>> {
        let UpWanted { nonce, levels } = decode(payload).ok()?;
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.is_ready) else {
            return Some(self.elsewhere());
        };
        let is_free = self.shared.progress.with(|applied| applied.roll.epoch_of(from).is_none());
        if is_free && !self.retired.contains(&from) && !leading.merge.has_up_of(from) {
            leading.merge.push(Act::Up { node: from, nonce, levels });
        }
        Some(encode(&OfLeader::Here(())))
    }

    /// A node has closed its sockets and ends its own epoch.
    pub(super) fn gone_came(&mut self, from: u16, payload: &[u8]) -> Option<Vec<u8>> {
        let epoch: u64 = decode(payload).ok()?;
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.is_ready) else {
            return Some(self.elsewhere());
        };
        leading.merge.push(Act::Gone { node: from, epoch });
        Some(encode(&OfLeader::Here(())))
    }

    /// What became of an entry.
    pub(super) fn proposed(&mut self, term: u64, had_tick: bool, is_taken: bool) {
        let later = self.now().plus(self.shared.times.beat() / 4);
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.term == term) else { return };
        leading.merge.done(had_tick);
        if !is_taken {
            // Nodes send their batches again. What else was in it is proposed anew when it is due.
            leading.merge.forget();
            leading.propose_at = later;
        }
    }

    /// Proposes an act, if this node leads.
    pub(super) fn propose_act(&mut self, act: Act) {
        if let Some(leading) = self.leading.as_mut().filter(|leading| leading.is_ready) {
            leading.merge.push(act);
        }
    }

    /// Notes what a node's replica came to at the last check.
    fn compare(&mut self, from: u16, digest: Option<(u64, u64)>) {
        let (Some(leading), Some(digest)) = (&mut self.leading, digest) else { return };
        leading.digests.insert(from, digest);
        let alike = leading.digests.values().filter(|other| **other == digest).count();
        if alike > self.standing.members.addresses.len() / 2 {
            leading.agreed = leading.agreed.max(Some(digest));
        }
    }

    fn elsewhere(&self) -> Vec<u8> {
        let leader = self.standing.leader;
        let is_self = leader == Some(self.shared.me());
        encode(&if is_self { OfLeader::<()>::Later } else { OfLeader::Elsewhere(leader) })
    }
}

/// The epochs that are present, by node.
fn epochs(roll: &Roll) -> BTreeMap<u16, u64> {
    roll.epochs().map(|(node, of)| (node, of.number)).collect()
}

/// The sets of voters that are in force.
fn sets(standing: &Standing) -> Vec<Vec<u16>> {
    standing.members.voters.iter().map(|voters| voters.iter().copied().collect()).collect()
}

impl<K: Kit> NodeParts<K> {
    /// Where entries of a term are proposed: in their order, in that term and in no later one. What a leader decided is
    /// no later leader's decision.
    fn proposer(self: &Arc<Self>, term: u64) -> mpsc::UnboundedSender<LogEntry> {
        let (sender, mut entries) = mpsc::unbounded_channel::<LogEntry>();
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(entry) = entries.recv().await {
                let had_tick = entry.acts.contains(&Act::Tick);
                let proposal = shared.engine.propose(term, entry.encode().into()).await;
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let is_taken = match proposal {
                        Ok(proposal) => proposal.await.is_ok(),
                        Err(_) => false,
                    };
                    shared.tell(Event::Proposed { term, had_tick, is_taken });
                });
            }
        });
        sender
    }
}
