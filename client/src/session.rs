//! Several locks on one connection.

use crate::client::Client;
use crate::error::Error;
use crate::keeper::{Keeper, Order};
use crate::lost::Lost;
use crate::request::LockRequest;
use crate::transport::Transport;
use elockd_core::Kind;
use std::marker::PhantomData;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// One holder of several locks, on one connection.
///
/// The daemon sees that a session waits for one lock while it holds others. So it can tell deadlocks between sessions:
/// a wait that could never end is refused with [`Error::Deadlock`]. Locks of different guards from a
/// [`Client`] are on different connections, and the daemon cannot know that they belong together.
///
/// Its guards share the connection, so they are lost together. The methods ask one after the other.
///
/// **While a session waits, the daemon answers nothing else on its connection.** So in a wait of more than 8 s
/// [`is_held`](crate::Guard::is_held) of its other guards is false, until the wait is over and the daemon has been
/// asked again. [`lost`](crate::Guard::lost) tells if the connection ends meanwhile. Releases come after the wait. If
/// the future of a wait is dropped, the connection is closed if it holds nothing. If it holds something, the wait goes
/// on, and its lock is released when it comes.
///
/// Asking for a lock that the session has is [`Error::Deadlock`], and so is asking to write what it reads.
///
/// ```no_run
/// # use elockd_client::{Client, Error};
/// # use std::time::Duration;
/// # async fn example(client: Client) -> Result<(), Error> {
/// let mut session = client.session();
/// let account = session.lock("account.7").wait(Duration::from_secs(5)).await?;
/// let ledger = session.lock("ledger").wait(Duration::from_secs(5)).await?;
/// ledger.release().await?;
/// account.release().await?;
/// session.close().await
/// # }
/// ```
#[derive(Debug)]
pub struct Session<T: Transport> {
    orders: UnboundedSender<Order>,
    transport: PhantomData<fn() -> T>,
}

impl<T: Transport> Client<T> {
    /// A holder of several locks. It connects with its first lock. Must be called within a tokio runtime.
    #[must_use]
    pub fn session(&self) -> Session<T> {
        Session { orders: Keeper::begin(self.shared.clone()), transport: PhantomData }
    }
}

impl<T: Transport> Session<T> {
    /// As [`Client::lock`].
    pub fn lock(&mut self, name: impl AsRef<[u8]>) -> LockRequest<T> {
        LockRequest::in_session(self.orders.clone(), Kind::Exclusive, name)
    }

    /// As [`Client::shared`].
    pub fn shared(&mut self, name: impl AsRef<[u8]>) -> LockRequest<T> {
        LockRequest::in_session(self.orders.clone(), Kind::Shared, name)
    }

    /// As [`Client::read`].
    pub fn read(&mut self, name: impl AsRef<[u8]>) -> LockRequest<T> {
        LockRequest::in_session(self.orders.clone(), Kind::Read, name)
    }

    /// As [`Client::write`].
    pub fn write(&mut self, name: impl AsRef<[u8]>) -> LockRequest<T> {
        LockRequest::in_session(self.orders.clone(), Kind::Write, name)
    }

    /// Releases everything that is still held, and waits until the daemon has closed the connection. Guards that are
    /// left are lost ([`Lost::SessionClosed`]). A session that is dropped ends when its last guard is.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the daemon did not close it in time.
    pub async fn close(self) -> Result<(), Error> {
        let (done, is_done) = oneshot::channel();
        let gone = || Error::Lost(Lost::RuntimeGone);
        self.orders.send(Order::Close { done }).map_err(|_| gone())?;
        is_done.await.map_err(|_| gone())?
    }
}
