//! When a lock counts as lost because the daemon is silent.
//!
//! The daemon gives the lock to somebody else 15 s (`--peer-timeout`) after the last sign of a silent holder, or later.
//! The sending of the last heartbeat that was answered is such a sign. The lock counts as lost 8 s after it. The steps
//! of `--on-lost` take 5 s unless it says otherwise. So the command is gone 2 s before anybody else can get the lock.
//!
//! A cluster gives the locks of a dead node away 2 s after its last sign of life. The lock counts as lost so early that
//! the steps of `--on-lost` are over 1.6 s after the sending of the last heartbeat that was answered. With `--linger`
//! it is the grace that they must be over in.
//!
//! A process that was stopped could not ask. When it goes on it asks before it judges, as a person would expect of
//! Ctrl-Z and `fg`. Until the answer is there, nobody knows whether the lock is held.

use elockd_client::{CLUSTER_GRACE_PERCENT, CLUSTER_LOST_AFTER};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// A timer that is so late belongs to a process that was stopped.
const LATE: Duration = Duration::from_millis(100);

/// For how long an answer is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    /// How often the daemon is asked for the hold.
    pub(crate) heartbeat: Duration,
    /// How long after the sending of the last answered heartbeat a lock counts as lost.
    pub(crate) lost_after: Duration,
    /// How long the daemon may take to answer a process that goes on.
    asking: Duration,
    /// Whether `lost_after` counts also while a new connection is being tried.
    pub(crate) counts_grace: bool,
}

impl Trust {
    /// In one daemon, with this grace.
    pub(crate) fn in_daemon(linger: Option<Duration>) -> Self {
        let lost_after = Duration::from_secs(8).max(linger.unwrap_or_default());
        Self {
            heartbeat: Duration::from_secs(2),
            lost_after,
            asking: Duration::from_secs(3),
            counts_grace: false,
        }
    }

    /// In a cluster, with this grace, if it takes so long to stop what is done under the lock. Three heartbeats are
    /// left in any case. So steps that are too long are not over in time.
    pub(crate) fn in_cluster(linger: Option<Duration>, stopping: Duration) -> Self {
        let heartbeat = Duration::from_millis(400);
        let grace = linger.unwrap_or_default() * CLUSTER_GRACE_PERCENT / 100;
        let lease = CLUSTER_LOST_AFTER.max(grace);
        Self {
            heartbeat,
            lost_after: lease.saturating_sub(stopping).max(3 * heartbeat),
            asking: Duration::from_millis(300),
            counts_grace: true,
        }
    }

    /// Returns when `proven`, the sending of the last answered heartbeat, is too long ago.
    pub(crate) async fn silence(&self, proven: impl Fn() -> Instant) {
        loop {
            let due = proven() + self.lost_after;
            sleep_until(due).await;
            if due.elapsed() > LATE && proven() + self.lost_after <= Instant::now() {
                sleep(self.asking).await;
            }
            if proven() + self.lost_after <= Instant::now() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::on_lost::OnLost;
    use std::cell::Cell;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_last_answered_heartbeat() {
        let start = Instant::now();
        let proven = Cell::new(start);
        let trust = Trust::in_daemon(None);
        let heartbeats = async {
            for _ in 0..5 {
                sleep(Duration::from_secs(2)).await;
                proven.set(Instant::now());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = trust.silence(|| proven.get()) => {}
            () = heartbeats => {}
        }
        assert_eq!(start.elapsed(), Duration::from_secs(18));
    }

    /// Goal: a process that was stopped asks before it judges. Method: time jumps while nothing runs.
    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_stopped_asks_first() {
        for answers in [true, false] {
            let start = Instant::now();
            let proven = Cell::new(start);
            let trust = Trust::in_daemon(None);
            let stopped = async {
                tokio::task::yield_now().await;
                advance(Duration::from_hours(1)).await;
                sleep(Duration::from_secs(1)).await;
                if answers {
                    proven.set(Instant::now());
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = trust.silence(|| proven.get()) => {}
                () = stopped => {}
            }
            let expected = if answers { 3601 + 8 } else { 3600 + 3 };
            assert_eq!(start.elapsed(), Duration::from_secs(expected));
        }
    }

    /// Goal: the promise of the page: the command is gone before the daemon can give the lock to another. Method: the
    /// constants are compared with the daemon's default.
    #[test]
    fn the_command_is_gone_2_s_before_the_daemon_can_give_the_lock_away() {
        let on_lost: OnLost = crate::run::ON_LOST.parse().unwrap();
        let gone = Trust::in_daemon(None).lost_after + on_lost.span();
        assert_eq!(gone + Duration::from_secs(2), elockd_client::PEER_TIMEOUT);
    }

    /// Goal: the same promise in a cluster. Method: the steps begin so early that they are over when the client's lease
    /// is, with and without a grace.
    #[test]
    fn in_a_cluster_the_command_is_gone_when_the_lease_is_over() {
        let second = Duration::from_secs(1);
        let on_lost: OnLost = crate::run::CLUSTER_ON_LOST.parse().unwrap();
        let trust = Trust::in_cluster(None, on_lost.span());
        assert_eq!(trust.lost_after + on_lost.span(), CLUSTER_LOST_AFTER);
        assert!(3 * trust.heartbeat <= trust.lost_after, "an unanswered heartbeat is not the end");
        let trust = Trust::in_cluster(Some(10 * second), 5 * second);
        assert_eq!(trust.lost_after + 5 * second, second * 96 / 10);
        for (linger, steps) in
            [(None, 5 * second), (Some(second), 5 * second), (Some(5 * second), 5 * second)]
        {
            let trust = Trust::in_cluster(linger, steps);
            assert_eq!(trust.lost_after, 3 * trust.heartbeat, "there must be time to ask");
        }
    }
}
