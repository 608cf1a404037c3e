//! The same without async: for programs that have no runtime.

use crate::client::Client;
use crate::ended::EndRequest;
use crate::error::Error;
use crate::guard::{Guard, Guards};
use crate::holder::Holder;
use crate::lost::Lost;
use crate::rate::RateRequest;
use crate::request::LockRequest;
use crate::session::Session;
use crate::settings::Builder;
use crate::slot::Slot;
use crate::transport::Transport;
use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::io;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// A [`Client`] or what comes of it, with methods that block.
///
/// One thread in the background does the work of all of them: it asks for the holds, and it releases what is dropped.
/// It begins with the first use and ends with the process.
///
/// The methods must not be called from async code. What neither blocks nor waits, such as
/// [`is_held`](Guard::is_held), is the same as that of the async type.
///
/// ```no_run
/// use elockd_client::blocking;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), elockd_client::Error> {
/// let client = blocking::connect("127.0.0.1:9999")?;
/// let guard = client.lock("cron.daily").wait(Duration::from_secs(5))?;
/// for part in 0..100 {
///     if !guard.is_held() {
///         break;
///     }
///     println!("part {part}");
/// }
/// guard.release()
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Blocking<A> {
    inner: A,
    handle: Handle,
}

/// Blocking variant of [`Client::connect`].
///
/// # Errors
///
/// As [`Client::connect`], and [`Error::Io`] if there can be no thread.
pub fn connect(server: &str) -> Result<Blocking<Client>, Error> {
    connect_with(Client::builder().server(server.parse()?))
}

/// Blocking variant of [`Builder::connect`].
///
/// # Errors
///
/// As [`Builder::connect`], and [`Error::Io`] if there can be no thread.
pub fn connect_with<T: Transport>(builder: Builder<T>) -> Result<Blocking<Client<T>>, Error> {
    let handle = handle()?;
    let inner = handle.block_on(builder.connect())?;
    Ok(Blocking { inner, handle })
}

/// The runtime of the thread in the background.
fn handle() -> io::Result<Handle> {
    static HANDLE: Mutex<Option<Handle>> = Mutex::new(None);
    let mut shared = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*shared {
        return Ok(handle.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    // It drives timers, sockets and tasks. Other threads only wait for results.
    std::thread::Builder::new()
        .name("elockd-client".to_owned())
        .spawn(move || runtime.block_on(pending::<()>()))?;
    *shared = Some(handle.clone());
    Ok(handle)
}

impl<A> Deref for Blocking<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.inner
    }
}

impl<A: Clone> Clone for Blocking<A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), handle: self.handle.clone() }
    }
}

impl<A> Blocking<A> {
    /// What it makes blocking.
    pub fn into_inner(self) -> A {
        self.inner
    }

    fn with<B>(&self, inner: B) -> Blocking<B> {
        Blocking { inner, handle: self.handle.clone() }
    }

    fn map<B>(self, change: impl FnOnce(A) -> B) -> Blocking<B> {
        Blocking { inner: change(self.inner), handle: self.handle }
    }

    /// Waits for what comes of it.
    fn wait_for<F: Future>(self, future: impl FnOnce(A) -> F) -> F::Output {
        self.handle.block_on(future(self.inner))
    }

    /// Waits for what comes of it and makes that blocking.
    fn and_then<B, F>(self, future: impl FnOnce(A) -> F) -> Result<Blocking<B>, Error>
    where
        F: Future<Output = Result<B, Error>>,
    {
        let inner = self.handle.block_on(future(self.inner))?;
        Ok(Blocking { inner, handle: self.handle })
    }
}

/// The methods do the same as those of [`Client`] and have the same errors.
#[allow(clippy::missing_errors_doc, reason = "as the async methods")]
impl<T: Transport> Blocking<Client<T>> {
    /// As [`Client::lock`].
    pub fn lock(&self, name: impl AsRef<[u8]>) -> Blocking<LockRequest<T>> {
        self.with(self.inner.lock(name))
    }

    /// As [`Client::shared`].
    pub fn shared(&self, name: impl AsRef<[u8]>) -> Blocking<LockRequest<T>> {
        self.with(self.inner.shared(name))
    }

    /// As [`Client::read`].
    pub fn read(&self, name: impl AsRef<[u8]>) -> Blocking<LockRequest<T>> {
        self.with(self.inner.read(name))
    }

    /// As [`Client::write`].
    pub fn write(&self, name: impl AsRef<[u8]>) -> Blocking<LockRequest<T>> {
        self.with(self.inner.write(name))
    }

    /// As [`Client::lock_all`].
    pub fn lock_all<N: AsRef<[u8]>>(
        &self,
        names: impl IntoIterator<Item = N>,
        wait: Option<Duration>,
    ) -> Result<Blocking<Guards>, Error> {
        Ok(self.with(self.handle.block_on(self.inner.lock_all(names, wait))?))
    }

    /// As [`Client::slot`].
    pub fn slot(
        &self,
        name: impl AsRef<[u8]>,
        count: u32,
        wait: Option<Duration>,
    ) -> Result<Blocking<Slot>, Error> {
        Ok(self.with(self.handle.block_on(self.inner.slot(name, count, wait))?))
    }

    /// As [`Client::ended`].
    pub fn ended(&self, name: impl AsRef<[u8]>) -> Blocking<EndRequest<T>> {
        self.with(self.inner.ended(name))
    }

    /// As [`Client::rate`].
    pub fn rate(&self, name: impl AsRef<[u8]>, count: u32, per: Duration) -> Blocking<RateRequest<T>> {
        self.with(self.inner.rate(name, count, per))
    }

    /// As [`Client::session`].
    pub fn session(&self) -> Blocking<Session<T>> {
        let _entered = self.handle.enter();
        self.with(self.inner.session())
    }

    /// As [`Client::ping`].
    pub fn ping(&self) -> Result<Duration, Error> {
        self.handle.block_on(self.inner.ping())
    }

    /// As [`Client::holders`].
    pub fn holders(&self, name: impl AsRef<[u8]>) -> Result<Vec<Holder>, Error> {
        self.handle.block_on(self.inner.holders(name))
    }

    /// As [`Client::holder`].
    pub fn holder(&self, name: impl AsRef<[u8]>) -> Result<Option<Holder>, Error> {
        self.handle.block_on(self.inner.holder(name))
    }

    /// As [`Client::list`].
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> Result<Vec<Holder>, Error> {
        self.handle.block_on(self.inner.list(prefix))
    }

    /// As [`Client::stats`].
    pub fn stats(&self) -> Result<BTreeMap<String, String>, Error> {
        self.handle.block_on(self.inner.stats())
    }
}

/// The methods do the same as those of [`LockRequest`] and have the same errors.
#[allow(clippy::missing_errors_doc, reason = "as the async methods")]
impl<T: Transport> Blocking<LockRequest<T>> {
    /// As [`LockRequest::limit`].
    pub fn limit(self, limit: u32) -> Self {
        self.map(|request| request.limit(limit))
    }

    /// As [`LockRequest::named`].
    pub fn named(self, name: impl AsRef<[u8]>) -> Self {
        self.map(|request| request.named(name))
    }

    /// As [`LockRequest::linger`].
    pub fn linger(self, grace: Duration) -> Self {
        self.map(|request| request.linger(grace))
    }

    /// As [`LockRequest::try_now`].
    pub fn try_now(self) -> Result<Blocking<Guard>, Error> {
        self.and_then(LockRequest::try_now)
    }

    /// As [`LockRequest::wait`].
    pub fn wait(self, time: Duration) -> Result<Blocking<Guard>, Error> {
        self.and_then(|request| request.wait(time))
    }

    /// As [`LockRequest::get`].
    pub fn get(self) -> Result<Blocking<Guard>, Error> {
        self.and_then(LockRequest::get)
    }
}

impl Blocking<Guard> {
    /// Waits for up to so long whether the lock is lost, and returns the reason if it is.
    #[must_use]
    pub fn lost_within(&self, time: Duration) -> Option<Lost> {
        self.handle.block_on(async { timeout(time, self.inner.lost()).await.ok() })
    }

    /// As [`Guard::release`].
    ///
    /// # Errors
    ///
    /// As [`Guard::release`].
    pub fn release(self) -> Result<(), Error> {
        self.wait_for(Guard::release)
    }
}

impl Blocking<Guards> {
    /// As [`Guards::release`].
    ///
    /// # Errors
    ///
    /// As [`Guards::release`].
    pub fn release(self) -> Result<(), Error> {
        self.wait_for(Guards::release)
    }
}

impl Blocking<Slot> {
    /// As [`Slot::release`].
    ///
    /// # Errors
    ///
    /// As [`Slot::release`].
    pub fn release(self) -> Result<(), Error> {
        self.wait_for(Slot::release)
    }
}

/// The methods do the same as those of [`EndRequest`] and have the same errors.
#[allow(clippy::missing_errors_doc, reason = "as the async methods")]
impl<T: Transport> Blocking<EndRequest<T>> {
    /// As [`EndRequest::shared`].
    pub fn shared(self) -> Self {
        self.map(EndRequest::shared)
    }

    /// As [`EndRequest::wait`].
    pub fn wait(self, time: Duration) -> Result<(), Error> {
        self.wait_for(|request| request.wait(time))
    }

    /// As [`EndRequest::get`].
    pub fn get(self) -> Result<(), Error> {
        self.wait_for(EndRequest::get)
    }
}

/// The methods do the same as those of [`RateRequest`] and have the same errors.
#[allow(clippy::missing_errors_doc, reason = "as the async methods")]
impl<T: Transport> Blocking<RateRequest<T>> {
    /// As [`RateRequest::try_now`].
    pub fn try_now(self) -> Result<(), Error> {
        self.wait_for(RateRequest::try_now)
    }

    /// As [`RateRequest::wait`].
    pub fn wait(self, time: Duration) -> Result<(), Error> {
        self.wait_for(|request| request.wait(time))
    }

    /// As [`RateRequest::get`].
    pub fn get(self) -> Result<(), Error> {
        self.wait_for(RateRequest::get)
    }
}

/// The methods do the same as those of [`Session`] and have the same errors.
#[allow(clippy::missing_errors_doc, reason = "as the async methods")]
impl<T: Transport> Blocking<Session<T>> {
    /// As [`Session::lock`].
    pub fn lock(&mut self, name: impl AsRef<[u8]>) -> Blocking<LockRequest<T>> {
        let request = self.inner.lock(name);
        self.with(request)
    }

    /// As [`Session::shared`].
    pub fn shared(&mut self, name: impl AsRef<[u8]>) -> Blocking<LockRequest<T>> {
        let request = self.inner.shared(name);
        self.with(request)
    }

    /// As [`Session::read`].
    pub fn read(&mut self, name: impl AsRef<[u8]>) -> Blocking<LockRequest<T>> {
        let request = self.inner.read(name);
        self.with(request)
    }

    /// As [`Session::write`].
    pub fn write(&mut self, name: impl AsRef<[u8]>) -> Blocking<LockRequest<T>> {
        let request = self.inner.write(name);
        self.with(request)
    }

    /// As [`Session::close`].
    pub fn close(self) -> Result<(), Error> {
        self.wait_for(Session::close)
    }
}
