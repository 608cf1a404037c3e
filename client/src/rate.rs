//! At most so many in a time, among all clients. Each takes a share that outlives its connection for that time.

use crate::client::{Client, on_a_link};
use crate::error::Error;
use crate::link::{Link, Patience, Want};
use crate::name::folded;
use crate::transport::Transport;
use elockd_core::Kind;
use std::time::Duration;

/// A permission that is about to be asked for.
#[derive(Debug)]
#[must_use = "nothing is asked for before `try_now`, `wait` or `get`"]
pub struct RateRequest<T: Transport> {
    client: Client<T>,
    name: Result<Vec<u8>, Error>,
    count: u32,
    per: Duration,
}

impl<T: Transport> Client<T> {
    /// At most `count` permissions in any time of length `per`, among all clients that name the same lock, count and
    /// time. `per` may be up to the daemon's `--max-linger` (60 s), in whole milliseconds.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(client: elockd_client::Client) -> Result<(), elockd_client::Error> {
    /// loop {
    ///     client.rate("mails", 5, Duration::from_secs(1)).get().await?;
    ///     println!("one more mail");
    /// }
    /// # }
    /// ```
    pub fn rate(&self, name: impl AsRef<[u8]>, count: u32, per: Duration) -> RateRequest<T> {
        RateRequest { client: self.clone(), name: folded(name), count, per }
    }
}

impl<T: Transport> RateRequest<T> {
    /// Takes a permission if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Held`] if there is none, and as [`wait`](Self::wait).
    pub async fn try_now(self) -> Result<(), Error> {
        self.ask(Patience::None).await
    }

    /// Waits for a permission, for up to so long, first come, first served.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`]. [`Error::Refused`] if `per` is longer than the daemon allows. [`Error::BadSetting`] if
    /// `count` or `per` is 0. [`Error::Unreachable`] and [`Error::Io`].
    pub async fn wait(self, time: Duration) -> Result<(), Error> {
        self.ask(Patience::of(time)).await
    }

    /// Waits for a permission, as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), without [`Error::Timeout`].
    pub async fn get(self) -> Result<(), Error> {
        self.ask(Patience::Endless).await
    }

    async fn ask(self, patience: Patience) -> Result<(), Error> {
        let Self { client, name, count, per } = self;
        if count == 0 || per.as_millis() == 0 || u32::try_from(per.as_millis()).is_err() {
            return Err(Error::BadSetting("a rate is at least 1 in at least a millisecond"));
        }
        let share = Want { name: name?, kind: Kind::Shared, limit: count };
        let (link, result) =
            on_a_link!(client.shared, None, patience, link => link.permit(&share, per, patience).await);
        match result {
            // The end of the connection begins the time. No `quit`: that would release the share at once.
            Ok(()) => drop(link),
            Err(_) => client.shared.put_back(link, result.as_ref().err()).await,
        }
        result
    }
}

impl<T: Transport> Link<T> {
    async fn permit(&mut self, share: &Want, per: Duration, patience: Patience) -> Result<(), Error> {
        if let Err(error) = self.get(share, patience).await {
            return Err(self.undo(share, error, false).await);
        }
        match self.linger(per).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.undo(share, error, true).await),
        }
    }
}
