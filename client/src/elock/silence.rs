//! When a lock counts as lost because the daemon is silent.
//!
//! The daemon gives the lock to somebody else 15 s (`--peer-timeout`) after the last sign of a silent holder, or later.
//! The sending of the last heartbeat that was answered is such a sign. The lock counts as lost 8 s after it. The steps
//! of `--on-lost` take 5 s unless it says otherwise. So the command is gone 2 s before anybody else can get the lock.
//!
//! A process that was stopped could not ask. When it goes on it asks before it judges, as a person would expect of
//! Ctrl-Z and `fg`. Until the answer is there, nobody knows whether the lock is held.

use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long after the sending of the last answered heartbeat a lock counts as lost.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(8);
/// A timer that is so late belongs to a process that was stopped.
const LATE: Duration = Duration::from_millis(100);
/// How long the daemon may take to answer a process that goes on.
const ASKING: Duration = Duration::from_secs(3);

/// Returns when `proven`, the sending of the last answered heartbeat, is too long ago.
pub(crate) async fn silence(lost_after: Duration, proven: impl Fn() -> Instant) {
    loop {
        let due = proven() + lost_after;
        sleep_until(due).await;
        if due.elapsed() > LATE && proven() + lost_after <= Instant::now() {
            sleep(ASKING).await;
        }
        if proven() + lost_after <= Instant::now() {
            return;
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
        let heartbeats = async {
            for _ in 0..5 {
                sleep(Duration::from_secs(2)).await;
                proven.set(Instant::now());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = silence(LOST_AFTER, || proven.get()) => {}
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
                () = silence(LOST_AFTER, || proven.get()) => {}
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
        let gone = LOST_AFTER + on_lost.span();
        assert_eq!(gone + Duration::from_secs(2), elockd_client::PEER_TIMEOUT);
    }
}
