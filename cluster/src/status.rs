//! The status: what a cluster looks like from one node. That node knows who the members are, and each member says the
//! rest of itself. So it needs no leader, and who does not answer is missing.

use bincode::{Decode, Encode};

/// What a cluster looks like from one node.
#[derive(Clone, Debug, Default, Encode, Decode, PartialEq, Eq)]
pub struct StatusRecord {
    /// The cluster's number.
    pub cluster: u128,
    /// The node that tells.
    pub node: u16,
    /// The level in force.
    pub level: u16,
    /// The timeout, in milliseconds.
    pub timeout_ms: u64,
    /// The leader, if one with a quorum is known.
    pub leader: Option<u16>,
    /// Its term.
    pub term: u64,
    /// Cluster time, in milliseconds, as of the last entry.
    pub time_ms: u64,
    /// The last entry that is committed, as far as anybody who answered knows.
    pub committed: u64,
    /// By number.
    pub members: Vec<MemberStatus>,
}

/// One member, in the status.
#[derive(Clone, Debug, Default, Encode, Decode, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its number.
    pub node: u16,
    /// Whether it votes.
    pub is_voter: bool,
    /// Where it is reached.
    pub address: String,
    /// Its epoch. `None` if it serves nobody.
    pub epoch: Option<u64>,
    /// Its connections.
    pub connections: u64,
    /// Milliseconds since the leader last heard of it, as the leader says. `None` if the leader heard nothing yet, or
    /// does not answer.
    pub heard_ms: Option<u64>,
    /// What it says of itself. `None` if it does not answer.
    pub report: Option<NodeReport>,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, Encode, Decode, PartialEq, Eq)]
pub struct NodeReport {
    /// The release that it runs.
    pub release: String,
    /// The lowest and the highest level that the release knows.
    pub levels: (u16, u16),
    /// The last entry that it has applied.
    pub applied: u64,
    /// The last entry that it knows to be committed.
    pub committed: u64,
    /// Milliseconds that its lease lasts. 0 if it may not serve.
    pub lease_ms: u64,
    /// Bytes of entries since its last snapshot.
    pub log_bytes: u64,
    /// Bytes of its last snapshot. 0 if there is none.
    pub snapshot_bytes: u64,
    /// What its replica came to at the last check: the entry and the digest.
    pub digest: Option<(u64, u64)>,
    /// Of a leader: the nodes that it heard of, and how many milliseconds ago.
    pub heard: Vec<(u16, u64)>,
}

/// How a cluster is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All members are there, and serve.
    Whole,
    /// A member does not answer, or may not serve.
    MemberMissing,
    /// There is no leader with a quorum.
    NoQuorum,
}

impl StatusRecord {
    /// Adds what a member says of itself.
    pub(crate) fn add(&mut self, node: u16, report: NodeReport) {
        self.committed = self.committed.max(report.committed);
        if self.leader == Some(node) {
            for member in &mut self.members {
                let heard = report.heard.iter().find(|(of, _)| *of == member.node);
                member.heard_ms = heard.map(|(_, ms)| *ms);
            }
        }
        if let Some(member) = self.members.iter_mut().find(|member| member.node == node) {
            member.report = Some(report);
        }
    }

    /// How the cluster is.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let serves = |member: &MemberStatus| {
            member.epoch.is_some() && member.report.as_ref().is_some_and(|report| report.lease_ms > 0)
        };
        match self.leader {
            None => Condition::NoQuorum,
            Some(_) if self.members.iter().all(serves) => Condition::Whole,
            Some(_) => Condition::MemberMissing,
        }
    }

    /// How many committed entries a member has not applied. `None` if it does not answer.
    #[must_use]
    pub fn lag(&self, member: &MemberStatus) -> Option<u64> {
        Some(self.committed.saturating_sub(member.report.as_ref()?.applied))
    }

    /// Whether a member's replica is what most others are, of those that were last checked at the same entry. `None`
    /// if there is no other to compare it with.
    #[must_use]
    pub fn agrees(&self, member: &MemberStatus) -> Option<bool> {
        let digest_of = |member: &MemberStatus| member.report.as_ref()?.digest;
        let (entry, digest) = digest_of(member)?;
        let of_entry = || self.members.iter().filter_map(digest_of).filter(|(at, _)| *at == entry);
        let (all, alike) = (of_entry().count(), of_entry().filter(|(_, other)| *other == digest).count());
        (all > 1).then_some(2 * alike > all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(leader: Option<u16>) -> StatusRecord {
        let member = |node| MemberStatus { node, epoch: Some(node.into()), ..MemberStatus::default() };
        StatusRecord { leader, members: (1..=3).map(member).collect(), ..StatusRecord::default() }
    }

    fn report(applied: u64, digest: Option<(u64, u64)>) -> NodeReport {
        NodeReport { applied, committed: applied, lease_ms: 1, digest, ..NodeReport::default() }
    }

    #[test]
    fn a_member_is_missing_that_does_not_answer_or_may_not_serve() {
        let mut status = record(Some(2));
        assert_eq!(record(None).condition(), Condition::NoQuorum);
        for node in 1..=3 {
            assert_eq!(status.condition(), Condition::MemberMissing);
            status.add(node, report(5, None));
        }
        assert_eq!(status.condition(), Condition::Whole);
        let mut without_epoch = status.clone();
        without_epoch.members[2].epoch = None;
        assert_eq!(without_epoch.condition(), Condition::MemberMissing);
        status.add(1, NodeReport { lease_ms: 0, ..report(5, None) });
        assert_eq!(status.condition(), Condition::MemberMissing);
        status.leader = None;
        assert_eq!(status.condition(), Condition::NoQuorum);
    }

    #[test]
    fn who_is_behind_has_a_lag() {
        let mut status = record(Some(1));
        status.add(2, report(7, None));
        status.add(1, report(9, None));
        let lags: Vec<_> = status.members.iter().map(|member| status.lag(member)).collect();
        assert_eq!(lags, [Some(0), Some(2), None]);
    }

    #[test]
    fn only_the_leader_says_whom_it_heard() {
        let mut status = record(Some(2));
        let heard = |ms| NodeReport { heard: vec![(1, ms), (2, 0)], ..NodeReport::default() };
        status.add(2, heard(40));
        status.add(3, heard(7777));
        let told: Vec<_> = status.members.iter().map(|member| member.heard_ms).collect();
        assert_eq!(told, [Some(40), Some(0), None]);
    }

    #[test]
    fn digests_of_one_entry_are_compared() {
        type Digest = Option<(u64, u64)>;
        let agree = |digests: [Digest; 3]| {
            let mut status = record(Some(1));
            for (node, digest) in (1..).zip(digests) {
                status.add(node, report(9, digest));
            }
            [0, 1, 2].map(|at| status.agrees(&status.members[at]))
        };
        let (a, b, c) = (Some((5, 1)), Some((5, 2)), Some((5, 3)));
        assert_eq!(agree([a, a, a]), [Some(true); 3]);
        assert_eq!(agree([a, b, a]), [Some(true), Some(false), Some(true)]);
        assert_eq!(agree([a, b, c]), [Some(false); 3]);
        assert_eq!(agree([a, b, None]), [Some(false), Some(false), None], "two know no majority");
        assert_eq!(agree([a, Some((6, 1)), a]), [Some(true), None, Some(true)], "one was checked later");
        assert_eq!(agree([a, None, Some((6, 1))]), [None; 3]);
    }
}
