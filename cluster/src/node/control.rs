//! Operators' commands. Any node takes them, and the leader does them.

use super::actor::{Actor, Event};
use super::{Kit, Node};
use crate::charter::Charter;
use crate::message::{ControlAnswer, ControlRequest, kind};
use crate::net::{Ask, Purpose};
use crate::raft::MemberError;
use crate::served::Served as _;
use crate::status::StatusRecord;
use crate::wire::{decode, encode};
use elockd_core::replica::Act;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::info;

/// How long the leader tries, and how long another node waits for it.
const LEADER_TRIES: Duration = Duration::from_secs(20);
const OTHERS_WAIT: Duration = Duration::from_secs(25);
/// How long another node's word on itself is waited for.
const REPORTING: Duration = Duration::from_secs(1);
/// Between two looks at something that takes a while.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

impl<K: Kit> Actor<K> {
    /// A new node is to have a number.
    pub(super) fn join(&mut self, nonce: u64) {
        let is_known = self.with_applied(|applied| applied.roll.joined(nonce).is_some());
        if !is_known {
            self.propose_act(Act::Join { nonce });
        }
    }
}

impl<K: Kit> Node<K> {
    /// The answer to a command.
    pub(super) async fn control(&self, from: u16, payload: &[u8]) -> Vec<u8> {
        encode(&match decode(payload) {
            Ok(ControlRequest::Status) => ControlAnswer::Status(Box::new(self.status().await)),
            Ok(ControlRequest::Report) => ControlAnswer::Report(self.report()),
            Ok(ControlRequest::Leave) => self.asked_to_leave(from),
            Ok(request) => return self.through_leader(request, payload).await,
            // A later release may know more.
            Err(_) => ControlAnswer::Refused("this node's release does not know that command".to_owned()),
        })
    }

    /// The answer to a command that only the leader does.
    async fn through_leader(&self, request: ControlRequest, payload: &[u8]) -> Vec<u8> {
        let standing = self.0.engine.standing();
        let answer = match standing.leader {
            Some(leader) if leader != self.0.me() => {
                let asked =
                    self.0.ask.ask(leader, Purpose::Control, kind::CONTROL, payload.to_vec(), OTHERS_WAIT);
                match asked.await {
                    Ok(answer) => return answer,
                    Err(error) => ControlAnswer::Refused(format!("the leader is node {leader}: {error}")),
                }
            }
            Some(_) => {
                // Done to the end, also if the operator does not wait.
                let node = self.clone();
                let doing = tokio::spawn(async move { node.command(request).await });
                let ended = || ControlAnswer::Refused("the node ends: try again".to_owned());
                doing.await.unwrap_or_else(|_| ended())
            }
            None => ControlAnswer::Refused("there is no leader: try again, and look at `status`".to_owned()),
        };
        encode(&answer)
    }

    /// What the cluster looks like from here.
    async fn status(&self) -> StatusRecord {
        let mut record = self.view();
        let (me, payload) = (self.0.me(), encode(&ControlRequest::Report));
        let others = record.members.iter().map(|member| member.node).filter(|node| *node != me);
        let asking = others.map(|node| {
            let answer = self.0.ask.ask(node, Purpose::Control, kind::CONTROL, payload.clone(), REPORTING);
            async move { (node, answer.await) }
        });
        let answers = join_all(asking).await;
        record.add(me, self.report());
        for (node, answer) in answers {
            if let Ok(bytes) = answer
                && let Ok(ControlAnswer::Report(report)) = decode(&bytes)
            {
                record.add(node, report);
            }
        }
        record
    }

    async fn command(&self, request: ControlRequest) -> ControlAnswer {
        let deadline = Instant::now() + LEADER_TRIES;
        let done = match request {
            ControlRequest::Join { nonce, address, levels } => {
                return self
                    .join(nonce, address, levels, deadline)
                    .await
                    .unwrap_or_else(ControlAnswer::Refused);
            }
            ControlRequest::Promote(node) => self.promote(node, deadline).await,
            ControlRequest::Remove(node) => self.remove(node, deadline).await,
            ControlRequest::Upgrade => {
                return self
                    .upgrade(deadline)
                    .await
                    .map_or_else(ControlAnswer::Refused, ControlAnswer::Level);
            }
            ControlRequest::Belongs(node) => {
                let belongs = self.belongs(node, deadline).await;
                return belongs.map_or_else(ControlAnswer::Refused, ControlAnswer::Belongs);
            }
            ControlRequest::Status | ControlRequest::Report | ControlRequest::Leave => {
                Err("the node that is asked answers this itself".to_owned())
            }
        };
        done.map_or_else(ControlAnswer::Refused, |()| ControlAnswer::Done)
    }

    async fn join(
        &self,
        nonce: u64,
        address: String,
        levels: (u16, u16),
        deadline: Instant,
    ) -> Result<ControlAnswer, String> {
        let level = self.0.progress.with(|applied| applied.roll.level());
        if !(levels.0..=levels.1).contains(&level) {
            return Err(format!(
                "the cluster is at level {level}, and the new node's release knows {} to {}",
                levels.0, levels.1
            ));
        }
        let members = self.0.engine.standing().members.addresses;
        if let Some((node, _)) = members.iter().find(|(_, known)| **known == address) {
            return Err(format!(
                "node {node} is at {address}: remove it first, or advertise another address"
            ));
        }
        self.0.tell(Event::Join { nonce });
        let node =
            self.until(deadline, || self.0.progress.with(|applied| applied.roll.joined(nonce))).await?;
        self.change(deadline, || self.0.engine.add_learner(node, address.clone())).await?;
        let settings = self.0.progress.with(|applied| {
            applied.roll.settings().map(|settings| Act::Set(Box::new((**settings).clone())).encode())
        });
        let settings = settings.ok_or("the cluster has no settings yet: try again")?;
        info!(node, address, "node {node} has joined, at {address}");
        Ok(ControlAnswer::Joined {
            node,
            cluster: self.0.identity.cluster,
            timeout_ms: self.0.identity.timeout_ms,
            settings,
            token: self.next_token(),
        })
    }

    /// A token above all that were given out, as far as entries are applied here.
    fn next_token(&self) -> u64 {
        let mut left = 0;
        self.0.served.look(&mut |machine| left = machine.tokens_left());
        Charter::HIGHEST_TOKEN + 1 - left
    }

    /// Raises the level to the highest that all members know. Those that are away are not known to know it.
    async fn upgrade(&self, deadline: Instant) -> Result<u16, String> {
        let members = self.0.engine.standing().members.addresses;
        let roll = self.0.progress.with(|applied| applied.roll.clone());
        if let Some((node, address)) = members.iter().find(|(node, _)| roll.epoch_of(**node).is_none()) {
            return Err(format!("node {node} at {address} is away: start it, or remove it"));
        }
        let highest = roll.epochs().map(|(_, epoch)| epoch.levels.1).min().unwrap_or(roll.level());
        if highest <= roll.level() {
            return Ok(roll.level());
        }
        self.0.tell(Event::Raise { level: highest });
        let raised = || {
            let level = self.0.progress.with(|applied| applied.roll.level());
            (level >= highest).then_some(level)
        };
        self.until(deadline, raised).await
    }

    async fn promote(&self, node: u16, deadline: Instant) -> Result<(), String> {
        let standing = self.0.engine.standing();
        if !standing.members.addresses.contains_key(&node) {
            return Err(format!("node {node} is no member"));
        }
        if standing.members.voters.iter().any(|voters| voters.contains(&node)) {
            return Err(format!("node {node} votes already"));
        }
        // A voter that is far behind would be worse than none: the others need its acknowledgement.
        let is_near = || {
            let standing = self.0.engine.standing();
            let matched = standing.matched.get(&node).copied().flatten();
            let last = standing.last.unwrap_or(0);
            matched.is_some_and(|matched| matched + NEAR >= last).then_some(())
        };
        self.until(deadline, is_near)
            .await
            .map_err(|_| format!("node {node} has not caught up: start its daemon, and look at `status`"))?;
        self.change(deadline, || self.0.engine.promote(node)).await?;
        info!(node, "node {node} votes");
        Ok(())
    }

    /// Waits for something that shows in the log.
    pub(super) async fn until<T>(
        &self,
        deadline: Instant,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T, String> {
        let looking = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                sleep(BETWEEN_LOOKS).await;
            }
        };
        timeout_at(deadline, looking).await.map_err(|_| "it takes too long: is there a quorum?".to_owned())
    }

    /// Changes members, once an earlier change is over.
    pub(super) async fn change<F>(&self, deadline: Instant, change: impl Fn() -> F) -> Result<(), String>
    where
        F: Future<Output = Result<(), MemberError>>,
    {
        // The actor must know its office first: the lease counts with the members that elected this node.
        let in_office = || {
            let term = self.0.engine.standing().term;
            (self.0.with_kept(|kept| kept.office) == Some(term)).then_some(())
        };
        self.until(deadline, in_office).await?;
        loop {
            match timeout_at(deadline, change()).await {
                Ok(Err(MemberError::UnderWay)) => sleep(BETWEEN_LOOKS).await,
                Ok(changed) => return changed.map_err(|error| error.to_string()),
                Err(_) => return Err("it takes too long: is there a quorum? Look at `status`".to_owned()),
            }
        }
    }
}

/// Entries that a learner may be behind when it becomes a voter.
const NEAR: u64 = 256;
