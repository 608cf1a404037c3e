//! A member that leaves. The leader asks it to end in order, and lets go of it if it does not. Then the leader takes it
//! off the members. A node that no leader speaks to asks the others whether it is a member still: one that was removed
//! must end, however it missed its removal, and never start again.

use super::actor::{Actor, Event};
use super::{Fatal, Kit, Node};
use crate::clock::Moment;
use crate::message::{ControlAnswer, ControlRequest, kind};
use crate::net::{Ask, Purpose};
use crate::wire::{decode, encode};
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

/// How long an answer to a short question may take.
const ANSWERING: Duration = Duration::from_secs(1);
/// How long a node that leaves may take to end in order. Longer than connections have to take their last replies, by
/// default.
const DRAINING: Duration = Duration::from_secs(10);
/// How long a node that has ended in order waits until it is no member any more.
const REMOVING: Duration = Duration::from_secs(10);
/// How often a node that no leader speaks to asks whether it is a member.
const ASK_EVERY_MS: u64 = 1000;

/// How a node stands to its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// Nobody has said that it is to leave.
    Stays,
    /// It was asked to leave.
    Leaves,
    /// It is no member any more.
    Removed,
}

/// A node's doubt whether it is a member.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// When it asks next.
    ask_at: Moment,
    /// Whom it asks next, among the others.
    turn: usize,
}

impl<K: Kit> Node<K> {
    /// Removes a member. It has no connections and no locks when it is none any more.
    pub(super) async fn remove(&self, node: u16, deadline: Instant) -> Result<(), String> {
        if !self.0.engine.standing().members.addresses.contains_key(&node) {
            return Err(format!("node {node} is no member"));
        }
        if node == self.0.me() {
            self.hand_over().await;
            return Err(format!("node {node} was the leader and has handed that over: try again"));
        }
        let is_gone = || self.0.progress.with(|applied| applied.roll.epoch_of(node).is_none().then_some(()));
        if is_gone().is_none() && self.agrees_to_leave(node).await {
            info!(node, "node {node} ends in order, to be removed");
            let bound = deadline.min(Instant::now() + DRAINING);
            if self.until(bound, is_gone).await.is_err() {
                warn!(node, "node {node} does not end in order in time: letting go of it");
            }
        }
        // From here on it is answered no more. So it lets go of its clients, and its epoch ends when that is certain.
        self.0.tell(Event::Retire { node, is_over: false });
        let done = match self.until(deadline, is_gone).await {
            Ok(()) => self.change(deadline, || self.0.engine.remove(node)).await,
            Err(error) => Err(error),
        };
        self.0.tell(Event::Retire { node, is_over: true });
        if done.is_ok() {
            info!(node, "node {node} is removed");
        }
        done
    }

    /// Asks a node to end in order.
    async fn agrees_to_leave(&self, node: u16) -> bool {
        let payload = encode(&ControlRequest::Leave);
        let answer = self.0.ask.ask(node, Purpose::Control, kind::CONTROL, payload, ANSWERING).await;
        answer.is_ok_and(|bytes| decode(&bytes) == Ok(ControlAnswer::Done))
    }

    /// The leader asks this node to leave.
    pub(super) fn asked_to_leave(&self, from: u16) -> ControlAnswer {
        if self.0.engine.standing().leader != Some(from) {
            return ControlAnswer::Refused(format!("node {from} does not lead"));
        }
        self.0.membership.send_if_modified(|membership| {
            let is_new = *membership == Membership::Stays;
            if is_new {
                *membership = Membership::Leaves;
            }
            is_new
        });
        ControlAnswer::Done
    }

    /// Whether this node is to leave the cluster, or has left it.
    #[must_use]
    pub fn leaves(&self) -> bool {
        *self.0.membership.subscribe().borrow() != Membership::Stays
    }

    /// Ready when this node is to leave the cluster. Its server must end in order then, and [`leave`](Self::leave) be
    /// called.
    pub fn is_to_leave(&self) -> impl Future<Output = ()> + Send + use<K> {
        let mut membership = self.0.membership.subscribe();
        async move {
            if membership.wait_for(|membership| *membership != Membership::Stays).await.is_err() {
                // The node is gone.
                pending::<()>().await;
            }
        }
    }

    /// Ends this node's epoch, whose connections have ended in order, and waits until it is no member any more. Until
    /// then the others may need its vote. Returns whether it was removed. In any case it is to be
    /// [stopped](Self::stop).
    pub async fn leave(&self) -> bool {
        self.say_farewell().await;
        let mut membership = self.0.membership.subscribe();
        let removed = membership.wait_for(|membership| *membership == Membership::Removed);
        timeout(REMOVING, removed).await.is_ok_and(|removed| removed.is_ok())
    }

    /// Whether a node is a member. Only the leader knows that somebody is none, and only if it still leads after it
    /// was asked.
    pub(super) async fn belongs(&self, node: u16, deadline: Instant) -> Result<bool, String> {
        let asked_at = self.0.clock.now();
        let is_confirmed = || {
            let standing = self.0.engine.standing();
            let is_so = standing.leads()
                && standing.is_caught_up
                && standing.members_are_committed
                && (standing.is_sole_voter() || standing.quorum_sent.is_some_and(|sent| sent > asked_at));
            is_so.then_some(standing.members)
        };
        let members = self.until(deadline.min(Instant::now() + ANSWERING), is_confirmed).await?;
        if members.addresses.contains_key(&node) {
            return Ok(true);
        }
        if self.0.progress.with(|applied| applied.roll.has_been(node)) {
            return Ok(false);
        }
        Err(format!("node {node} was never heard of"))
    }
}

impl<K: Kit> Actor<K> {
    /// Asks whether this node is a member, if it serves nobody and no leader speaks to it.
    pub(super) fn doubt_membership(&mut self, at: Moment) {
        let times = self.shared.times;
        let last_heard = self.shared.with_word(|word| word.latest());
        let is_led = self.standing.leads() || at.since(last_heard) < times.half_lease();
        if is_led || self.serving.lease.deadline().is_some() || at < self.doubt.ask_at {
            return;
        }
        let me = self.shared.me();
        let others: Vec<u16> = self.addresses.keys().copied().filter(|node| *node != me).collect();
        self.doubt.ask_at = at.plus(ASK_EVERY_MS);
        self.doubt.turn += 1;
        let Some(other) = others.get(self.doubt.turn % others.len().max(1)) else { return };
        let payload = encode(&ControlRequest::Belongs(me));
        let asking = self.shared.ask(*other, Purpose::Control, kind::CONTROL, payload, 2 * ANSWERING);
        let events = self.shared.events.clone();
        tokio::spawn(async move {
            if let Ok(bytes) = asking.await
                && decode(&bytes) == Ok(ControlAnswer::Belongs(false))
            {
                // It fails if the actor is over.
                let _ = events.send(Event::Removed);
            }
        });
    }

    /// The leader has said that this node is no member any more.
    pub(super) fn removed(&self) {
        self.shared.with_kept(|kept| kept.fatal = Some(Fatal::Removed));
        self.shared.membership.send_replace(Membership::Removed);
    }
}
