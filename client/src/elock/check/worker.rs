//! A client of `elock check`: it gets one of the locks, holds it for a few milliseconds, releases it, and tells when it
//! had it. It is built upon the library as any program is.

use super::judge::Begun;
use crate::options::Options;
use crate::status::Failure;
use elockd_client::{CLUSTER_LOST_AFTER, Client, Error, Guard, LOST_AFTER, Server};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

/// For how long a lock is held, in microseconds.
const HOLD: std::ops::Range<u64> = 500..5_000;
/// The pause after a request that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// What a client tells.
#[derive(Debug)]
pub(crate) enum Happening {
    /// It has this lock, from this server.
    Began { lock: usize, begun: Begun, server: Server },
    /// It has it no more. With the reason if it was lost.
    Ended { lock: usize, client: u16, until: Duration, lost: Option<String> },
    /// It ended in time, but the connection was lost before the release was answered. With the reason.
    NotReleased(String),
    /// A request failed, and will be tried again.
    Failed(Error),
    /// It makes no sense to go on.
    GaveUp(Failure),
}

/// One client.
pub(crate) struct Worker {
    number: u16,
    client: Client,
    /// How long after the last answered question a lock counts as lost.
    lost_after: Duration,
    start: Instant,
    tell: UnboundedSender<Happening>,
}

impl Worker {
    /// The client of this number. Clients begin at different nodes of a cluster.
    pub(crate) fn new(
        options: &Options,
        number: u16,
        start: Instant,
        tell: UnboundedSender<Happening>,
    ) -> Result<Self, Failure> {
        let mut options = options.clone();
        if options.is_cluster {
            let first = usize::from(number) % options.servers.len();
            options.servers.rotate_left(first);
        }
        let lost_after = if options.is_cluster { CLUSTER_LOST_AFTER } else { LOST_AFTER };
        Ok(Self { number, client: options.builder().build()?, lost_after, start, tell })
    }

    /// Gets and releases these locks until it is told to stop. Then nothing is held.
    pub(crate) async fn run(self, names: Vec<Vec<u8>>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let lock = fastrand::usize(..names.len());
            let got = tokio::select! {
                biased;
                _ = stop.changed() => return,
                got = self.client.lock(&names[lock]).get() => got,
            };
            match got {
                Ok(guard) => self.hold(lock, guard).await,
                Err(error) if error.is_transient() => {
                    self.tell(Happening::Failed(error));
                    sleep(PAUSE).await;
                }
                Err(error) => return self.tell(Happening::GaveUp(error.into())),
            }
        }
    }

    async fn hold(&self, lock: usize, guard: Guard) {
        // All clients share a thread. Whoever was told before now that a lock is lost takes note of it first.
        for _ in 0..2 {
            yield_now().await;
        }
        let begun = Begun { client: self.number, from: self.start.elapsed(), token: guard.token() };
        if !guard.is_held() {
            return;
        }
        self.tell(Happening::Began { lock, begun, server: guard.server().clone() });
        let lost = tokio::select! {
            biased;
            lost = guard.lost() => Some(lost.to_string()),
            () = sleep(Duration::from_micros(fastrand::u64(HOLD))) => None,
        };
        let now = Instant::now();
        // A process that was stopped learns late that a lock was lost. The guard goes by the same clock.
        let until = now.min(guard.proven() + self.lost_after).saturating_duration_since(self.start);
        let lost = lost.or_else(|| (!guard.is_held()).then(|| "it was silent for too long".to_owned()));
        let is_lost = lost.is_some();
        self.tell(Happening::Ended { lock, client: self.number, until, lost });
        let released = guard.release().await;
        if let (Err(Error::Lost(lost)), false) = (released, is_lost) {
            self.tell(Happening::NotReleased(lost.to_string()));
        }
    }

    fn tell(&self, happening: Happening) {
        // Nobody listens any more once the check has ended.
        let _ = self.tell.send(happening);
    }
}
