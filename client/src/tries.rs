//! What comes after an attempt that failed: the next address. A client of one daemon tries its addresses one after the
//! other, and pauses when all have failed. A client of a cluster pauses after each node. It also goes on when a node
//! has failed it in the middle of a request, because whatever the request has got is over with its connection.

use crate::backoff::Backoff;
use crate::client::Shared;
use crate::error::{Error, Refusal};
use crate::link::Patience;
use crate::server::Server;
use crate::transport::Transport;
use std::io;
use tokio::time::{Instant, sleep};

/// The attempts to do one thing.
pub(crate) struct Tries {
    /// How long somebody wants to wait in line. When that is over, nothing is tried again.
    patience: Patience,
    /// The address that is next.
    at: usize,
    backoff: Backoff,
    /// Since when nothing works.
    since: Instant,
    /// How many attempts have failed since then.
    failed: usize,
    /// When the request was begun that is under way.
    asked: Instant,
    /// Each address that has failed, with its error. The one that failed last is last.
    tried: Vec<(Server, io::Error)>,
}

impl Tries {
    pub(crate) fn new<T: Transport>(shared: &Shared<T>, patience: Patience) -> Self {
        let now = Instant::now();
        Self {
            patience,
            at: shared.last(),
            backoff: shared.backoff(),
            since: now,
            failed: 0,
            asked: now,
            tried: Vec::new(),
        }
    }

    /// The address to try.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// A link is there, and a request is about to begin.
    pub(crate) fn begin(&mut self) {
        self.asked = Instant::now();
    }

    /// The reason why another address may do what this one has failed to do. The error again if none would.
    pub(crate) fn reason<T: Transport>(shared: &Shared<T>, error: Error) -> Result<io::Error, Error> {
        match error {
            Error::Io(error) => Ok(error),
            Error::Refused(refusal @ (Refusal::NoQuorum | Refusal::ShuttingDown))
                if shared.settings.is_cluster =>
            {
                Ok(io::Error::other(refusal))
            }
            error => Err(error),
        }
    }

    /// The same for an error in the middle of a request, which only another node makes good.
    pub(crate) fn reason_in_request<T: Transport>(
        shared: &Shared<T>,
        error: Error,
    ) -> Result<io::Error, Error> {
        if shared.settings.is_cluster { Self::reason(shared, error) } else { Err(error) }
    }

    /// A node has failed in the middle of a request. Returns when the next may be tried. The link must be gone.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub(crate) async fn next_after_request<T: Transport>(
        &mut self,
        shared: &Shared<T>,
        server: &Server,
        reason: io::Error,
    ) -> Result<(), Error> {
        // A node that does not serve says so at once. So this one has served until now: the wait stood in its line.
        let has_waited = self.patience != Patience::None
            && self.asked.elapsed() >= shared.settings.times.longest_pause
            && reason.kind() != io::ErrorKind::TimedOut;
        if has_waited {
            *self = Self::new(shared, self.patience);
        }
        // Unused connections to this node have ended as well.
        shared.pool.clear();
        if let Some(at) = shared.settings.servers.iter().position(|of| of == server) {
            self.at = at;
        }
        self.next(shared, reason).await
    }

    /// An address has failed. Returns when the next may be tried.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] if there is no time for another attempt.
    pub(crate) async fn next<T: Transport>(
        &mut self,
        shared: &Shared<T>,
        reason: io::Error,
    ) -> Result<(), Error> {
        let settings = &shared.settings;
        let all = settings.servers.len();
        let server = &settings.servers[self.at];
        self.tried.retain(|(of, _)| of != server);
        self.tried.push((server.clone(), reason));
        self.at = (self.at + 1) % all;
        self.failed += 1;
        if !settings.is_cluster && !self.failed.is_multiple_of(all) {
            return Ok(());
        }
        let pause = self.backoff.pause(shared.random());
        // Each is tried once, however long that takes.
        let is_one_left = self.failed < all;
        let is_late = self.since.elapsed() + pause > settings.times.keep_trying;
        let is_unwanted = settings.is_cluster && self.patience.is_over_in(pause);
        if !is_one_left && (is_late || is_unwanted) {
            return Err(Error::Unreachable(std::mem::take(&mut self.tried)));
        }
        sleep(pause).await;
        Ok(())
    }
}
