//! Waiting until whoever has a lock is done, without getting it.

use crate::client::{Client, on_a_link};
use crate::error::Error;
use crate::link::Patience;
use crate::name::folded;
use crate::transport::Transport;
use elockd_core::Kind;
use std::time::Duration;

/// A wait for the end of a lock that is about to begin.
#[derive(Debug)]
#[must_use = "nothing is asked for before `wait` or `get`"]
pub struct EndRequest<T: Transport> {
    client: Client<T>,
    kind: Kind,
    name: Result<Vec<u8>, Error>,
}

impl<T: Transport> Client<T> {
    /// The end of the hold that an exclusive lock has now, or of all shares of a [shared](EndRequest::shared) one.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(client: elockd_client::Client) -> Result<(), elockd_client::Error> {
    /// client.ended("deploy").wait(Duration::from_secs(600)).await?;
    /// println!("nobody deploys any more");
    /// # Ok(())
    /// # }
    /// ```
    pub fn ended(&self, name: impl AsRef<[u8]>) -> EndRequest<T> {
        EndRequest { client: self.clone(), kind: Kind::Exclusive, name: folded(name) }
    }
}

impl<T: Transport> EndRequest<T> {
    /// The same for all shares that a shared lock has now.
    pub fn shared(self) -> Self {
        Self { kind: Kind::Shared, ..self }
    }

    /// Waits for up to so long. Returns at once if nobody has the lock. If a node of a cluster fails meanwhile, the
    /// wait begins anew at another one, for whoever has the lock then.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], [`Error::Io`] if the connection breaks meanwhile, [`Error::Unreachable`] and
    /// [`Error::Refused`].
    pub async fn wait(self, time: Duration) -> Result<(), Error> {
        self.ask(Patience::of(time)).await
    }

    /// Waits as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), without [`Error::Timeout`].
    pub async fn get(self) -> Result<(), Error> {
        self.ask(Patience::Endless).await
    }

    async fn ask(self, patience: Patience) -> Result<(), Error> {
        let Self { client, kind, name } = self;
        let name = name?;
        let (link, result) =
            on_a_link!(client.shared, None, patience, link => link.await_end(kind, &name, patience).await);
        client.shared.put_back(link, result.as_ref().err()).await;
        result
    }
}
