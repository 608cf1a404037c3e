//! Leading: one of many does something for as long as it has a lock, and another one when it has lost it.

use crate::client::Client;
use crate::error::Error;
use crate::guard::Watch;
use crate::transport::Transport;
use std::future::Future;
use tokio::time::sleep;

impl<T: Transport> Client<T> {
    /// Waits for the lock, does `work` while it is held, and returns the result.
    ///
    /// If the lock is lost, the future of `work` is dropped and everything begins again. So it is if the daemon is
    /// away: it is tried again with growing pauses. What `work` has begun elsewhere, such as a thread or a process, it
    /// must end itself when it is dropped.
    ///
    /// # Errors
    ///
    /// What does not get better by itself: [`Error::BadName`], [`Error::Protocol`], and [`Error::Refused`] because of a
    /// name or a setting.
    ///
    /// ```no_run
    /// # async fn example(client: elockd_client::Client) -> Result<(), elockd_client::Error> {
    /// client.lead("scheduler", |lock| async move {
    ///     println!("leading with token {:?}", lock.token());
    ///     std::future::pending::<()>().await;
    /// })
    /// .await
    /// # }
    /// ```
    pub async fn lead<W, F>(&self, name: impl AsRef<[u8]>, mut work: W) -> Result<F::Output, Error>
    where
        W: FnMut(Watch) -> F,
        F: Future,
    {
        let name = name.as_ref();
        let mut backoff = self.shared.backoff();
        loop {
            match self.lock(name).get().await {
                Ok(guard) => {
                    backoff = self.shared.backoff();
                    let done = tokio::select! {
                        biased;
                        _ = guard.lost() => None,
                        done = work(guard.watch()) => Some(done),
                    };
                    if let Some(done) = done {
                        // The work is done, whether the daemon can be told or not.
                        let _ = guard.release().await;
                        return Ok(done);
                    }
                }
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
            }
            sleep(backoff.pause(self.shared.random())).await;
        }
    }
}
