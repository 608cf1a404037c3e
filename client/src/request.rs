//! Asking for one lock.

use crate::client::{Asked, Client};
use crate::error::Error;
use crate::guard::{Guard, Guards};
use crate::keeper::Order;
use crate::link::{Patience, Want};
use crate::lost::Lost;
use crate::name::folded;
use crate::transport::Transport;
use elockd_core::Kind;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// A lock that is about to be asked for. [`try_now`](Self::try_now), [`wait`](Self::wait) and [`get`](Self::get) ask.
///
/// If one of these futures is dropped, the wait is over: its connection is closed.
#[derive(Debug)]
#[must_use = "nothing is asked for before `try_now`, `wait` or `get`"]
pub struct LockRequest<T: Transport> {
    to: To<T>,
    name: Result<Vec<u8>, Error>,
    kind: Kind,
    limit: u32,
    registered: Result<Option<Vec<u8>>, Error>,
    linger: Option<Duration>,
}

/// Who holds what is got.
#[derive(Debug)]
enum To<T: Transport> {
    /// A connection of its own.
    Client(Client<T>),
    /// That of a session.
    Session(UnboundedSender<Order>),
}

impl<T: Transport> Client<T> {
    /// An exclusive lock: at most one client has it.
    ///
    /// ```no_run
    /// # async fn example(client: elockd_client::Client) -> Result<(), elockd_client::Error> {
    /// use elockd_client::Error;
    ///
    /// match client.lock("cron.daily").try_now().await {
    ///     Ok(guard) => println!("token {:?}", guard.token()),
    ///     Err(Error::Held { by: Some(holder), .. }) => println!("{holder} is at it"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock(&self, name: impl AsRef<[u8]>) -> LockRequest<T> {
        self.request(Kind::Exclusive, name)
    }

    /// A share of a lock that any number of clients may have, or as many as [`limit`](LockRequest::limit) says.
    pub fn shared(&self, name: impl AsRef<[u8]>) -> LockRequest<T> {
        self.request(Kind::Shared, name)
    }

    /// A lock for reading: any number of clients read, or one writes.
    pub fn read(&self, name: impl AsRef<[u8]>) -> LockRequest<T> {
        self.request(Kind::Read, name)
    }

    /// A lock for writing: any number of clients read, or one writes.
    pub fn write(&self, name: impl AsRef<[u8]>) -> LockRequest<T> {
        self.request(Kind::Write, name)
    }

    fn request(&self, kind: Kind, name: impl AsRef<[u8]>) -> LockRequest<T> {
        LockRequest::new(To::Client(self.clone()), kind, name)
    }

    /// Several exclusive locks: all of them, or none. They are got in the order of their names, so two clients that ask
    /// for the same locks never block each other. A name that stands there twice counts once.
    ///
    /// With `wait` it waits for up to so long in all, and without it not at all.
    ///
    /// # Errors
    ///
    /// As [`LockRequest::wait`]. [`Error::Deadlock`] if somebody who asks in another order has one of them and waits
    /// for another.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(client: elockd_client::Client) -> Result<(), elockd_client::Error> {
    /// let both = client.lock_all(["from", "to"], Some(Duration::from_secs(5))).await?;
    /// println!("{:?}", both.get("from").and_then(|guard| guard.token()));
    /// both.release().await
    /// # }
    /// ```
    pub async fn lock_all<N: AsRef<[u8]>>(
        &self,
        names: impl IntoIterator<Item = N>,
        wait: Option<Duration>,
    ) -> Result<Guards, Error> {
        let exclusive = |name| Ok::<_, Error>(Want { name: folded(name)?, kind: Kind::Exclusive, limit: 0 });
        let mut wants = names.into_iter().map(exclusive).collect::<Result<Vec<_>, _>>()?;
        wants.sort();
        wants.dedup();
        if wants.is_empty() {
            return Ok(Guards::new(Vec::new()));
        }
        let patience = wait.map_or(Patience::None, Patience::of);
        let asked = Asked { name: None, linger: None, patience };
        Ok(Guards::new(self.shared.get(&asked, &wants).await?))
    }
}

impl<T: Transport> LockRequest<T> {
    fn new(to: To<T>, kind: Kind, name: impl AsRef<[u8]>) -> Self {
        Self { to, name: folded(name), kind, limit: 0, registered: Ok(None), linger: None }
    }

    pub(crate) fn in_session(orders: UnboundedSender<Order>, kind: Kind, name: impl AsRef<[u8]>) -> Self {
        Self::new(To::Session(orders), kind, name)
    }

    /// At most so many may have it at a time. All who ask for the lock should name the same limit. 0 is no limit. Only
    /// a [shared](Client::shared) lock has a limit: for other kinds it changes nothing.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = if self.kind == Kind::Shared { limit } else { 0 };
        self
    }

    /// Registers this name for the connection instead of the client's. In a session it counts for the first lock.
    pub fn named(mut self, name: impl AsRef<[u8]>) -> Self {
        self.registered = folded(name).map(Some);
        self
    }

    /// As [`Builder::linger`](crate::Builder::linger), for this lock alone. In a session it counts for the first lock.
    pub fn linger(mut self, grace: Duration) -> Self {
        self.linger = Some(grace);
        self
    }

    /// Gets the lock if it is free. A shared lock without limit is always free.
    ///
    /// # Errors
    ///
    /// [`Error::Held`] if it is not, with the holder if that can be told. [`Error::Unreachable`], [`Error::Io`] and
    /// [`Error::Refused`].
    pub async fn try_now(self) -> Result<Guard, Error> {
        self.ask(Patience::None).await
    }

    /// Waits in line for the lock, for up to so long.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] if it was not to be had in time. [`Error::Deadlock`] if it never can be. [`Error::Io`] if the
    /// connection breaks while it waits: its place in line is lost then. [`Error::Unreachable`] and [`Error::Refused`].
    pub async fn wait(self, time: Duration) -> Result<Guard, Error> {
        self.ask(Patience::of(time)).await
    }

    /// Waits in line for the lock, as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), without [`Error::Timeout`].
    pub async fn get(self) -> Result<Guard, Error> {
        self.ask(Patience::Endless).await
    }

    async fn ask(self, patience: Patience) -> Result<Guard, Error> {
        let Self { to, name, kind, limit, registered, linger } = self;
        let want = Want { name: name?, kind, limit };
        let asked = Asked { name: registered?.filter(|name| !name.is_empty()), linger, patience };
        match to {
            To::Client(client) => {
                let mut guards = client.shared.get(&asked, &[want]).await?;
                Ok(guards.pop().expect("one lock has one guard"))
            }
            To::Session(orders) => {
                let (done, is_done) = oneshot::channel();
                let gone = || Error::Lost(Lost::RuntimeGone);
                orders.send(Order::Get { want, asked, done }).map_err(|_| gone())?;
                is_done.await.map_err(|_| gone())?
            }
        }
    }
}
