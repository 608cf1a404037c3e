//! The times of a client: how often it asks, for how long it believes an answer, for how long it tries. Those that
//! nobody has chosen have a default. It depends on what answers: one daemon, or the nodes of a cluster.

use std::time::Duration;

/// How long after the sending of the last answered heartbeat a lock counts as lost.
pub const LOST_AFTER: Duration = Duration::from_secs(8);
/// How often a guard asks for its hold.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// In a cluster: how long after the sending of the last answered heartbeat a lock counts as lost. The cluster gives
/// the locks of a dead node away 0.4 s later, or later still, by clocks that are up to 11 % wrong.
pub const CLUSTER_LOST_AFTER: Duration = Duration::from_millis(1600);
/// In a cluster: how often a guard asks for its hold.
pub const CLUSTER_HEARTBEAT: Duration = Duration::from_millis(500);

/// In a cluster: how much of a grace counts, in percent. The grace runs by the leader's clock. The rest is room for two
/// clocks that are 2 % wrong, each in its own direction.
pub const CLUSTER_GRACE_PERCENT: u32 = 96;

/// All times of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) heartbeat: Duration,
    pub(crate) lost_after: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    /// How much longer than other answers a listing may take.
    pub(crate) listing_more: Duration,
    pub(crate) keep_trying: Duration,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
    /// How much of a grace counts, in percent.
    grace_percent: u32,
}

impl Times {
    /// For one daemon.
    pub(crate) const ALONE: Self = Self {
        heartbeat: HEARTBEAT,
        lost_after: LOST_AFTER,
        connect_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(8),
        listing_more: Duration::ZERO,
        keep_trying: Duration::ZERO,
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_secs(2),
        grace_percent: 100,
    };

    /// For a cluster. A node answers or ends the connection within 2.4 s. Another node is tried after that. A change
    /// of leader takes less than a second, so 10 s without any node are no passing trouble.
    pub(crate) const CLUSTER: Self = Self {
        heartbeat: CLUSTER_HEARTBEAT,
        lost_after: CLUSTER_LOST_AFTER,
        connect_timeout: Duration::from_millis(1500),
        answer_timeout: Duration::from_millis(2500),
        listing_more: Duration::from_millis(5500),
        keep_trying: Duration::from_secs(10),
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_secs(1),
        grace_percent: CLUSTER_GRACE_PERCENT,
    };

    /// For how long a guard counts on a grace.
    pub(crate) fn counted(&self, grace: Duration) -> Duration {
        grace * self.grace_percent / 100
    }
}

/// The times that somebody has chosen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChosenTimes {
    /// `heartbeat` and `lost_after`.
    pub(crate) beats: Option<(Duration, Duration)>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) answer_timeout: Option<Duration>,
    pub(crate) keep_trying: Option<Duration>,
    /// `first_pause` and `longest_pause`.
    pub(crate) pauses: Option<(Duration, Duration)>,
}

impl ChosenTimes {
    /// These, and the default for each that was not chosen.
    pub(crate) fn or(self, default: Times) -> Times {
        let (heartbeat, lost_after) = self.beats.unwrap_or((default.heartbeat, default.lost_after));
        let (first_pause, longest_pause) =
            self.pauses.unwrap_or((default.first_pause, default.longest_pause));
        Times {
            heartbeat,
            lost_after,
            connect_timeout: self.connect_timeout.unwrap_or(default.connect_timeout),
            answer_timeout: self.answer_timeout.unwrap_or(default.answer_timeout),
            keep_trying: self.keep_trying.unwrap_or(default.keep_trying),
            first_pause,
            longest_pause,
            ..default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what was chosen counts, whether it is a cluster or not, and nothing else changes. Method: one time is
    /// chosen, and all are compared.
    #[test]
    fn a_time_that_nobody_has_chosen_has_the_default() {
        let second = Duration::from_secs(1);
        for default in [Times::ALONE, Times::CLUSTER] {
            assert_eq!(ChosenTimes::default().or(default), default);
            let chosen = ChosenTimes { beats: Some((second, 3 * second)), ..ChosenTimes::default() };
            assert_eq!(chosen.or(default), Times { heartbeat: second, lost_after: 3 * second, ..default });
            let chosen = ChosenTimes { keep_trying: Some(Duration::ZERO), ..ChosenTimes::default() };
            assert_eq!(chosen.or(default), Times { keep_trying: Duration::ZERO, ..default });
        }
    }

    /// Goal: a guard of a cluster survives one unanswered heartbeat, and a grace that it counts on is over for the
    /// cluster only later. Method: the numbers, with clocks that are 2 % wrong.
    #[test]
    fn the_times_of_a_cluster_fit_together() {
        let Times { heartbeat, lost_after, answer_timeout, .. } = Times::CLUSTER;
        assert!(3 * heartbeat < lost_after && lost_after < answer_timeout);
        let grace = Duration::from_mins(1);
        assert!(Times::CLUSTER.counted(grace).as_secs_f64() * 1.02 <= grace.as_secs_f64() * 0.98);
        assert_eq!(Times::ALONE.counted(grace), grace);
    }
}
