//! The client: where connections come from, and questions that hold nothing.

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::error::Error;
use crate::guard::Guard;
use crate::hold::{Hold, Proof};
use crate::holder::Holder;
use crate::keeper::Keeper;
use crate::link::{Link, Past, Patience, Want};
use crate::name::folded;
use crate::pool::Pool;
use crate::server::Server;
use crate::settings::{Builder, Settings};
use crate::times::Times;
use crate::transport::{Net, Transport};
use crate::tries::Tries;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Does something on a connection that holds nothing. One that was used before may have ended meanwhile. Then it held
/// nothing, so the same is done on a new one. In a cluster the same is done at the next node if one fails, because
/// nothing is held of what the failed one was asked for. Gives the link and the result.
macro_rules! on_a_link {
    ($shared:expr, $name:expr, $patience:expr, $link:ident => $what:expr) => {{
        let mut tries = $crate::tries::Tries::new(&$shared, $patience);
        let mut may_be_used = true;
        loop {
            let mut $link = $shared.open($name, may_be_used, &mut tries).await?;
            may_be_used = false;
            let error = match $what {
                Ok(done) => break ($link, Ok(done)),
                Err(error) => error,
            };
            if $link.past == $crate::link::Past::Used && error.is_end() {
                // If the daemon was restarted, the other unused ones have ended too.
                $shared.pool.clear();
                continue;
            }
            let reason = match $crate::tries::Tries::reason_in_request(&$shared, error) {
                Ok(reason) => reason,
                Err(error) => break ($link, Err(error)),
            };
            let server = $link.server.clone();
            // Whatever it holds is free before the same is asked for again.
            $link.abandon();
            tries.next_after_request(&$shared, &server, reason).await?;
        }
    }};
}
pub(crate) use on_a_link;

/// A client of one daemon, or of one cluster. It is cheap to clone, and all its methods may be called at the same time.
///
/// Each lock has a connection of its own, because to the daemon the connection is the holder. So two tasks that share a
/// client are two holders, and one of them waits for the other. Unused connections are kept for the next lock. They
/// hold nothing.
///
/// ```no_run
/// use elockd_client::Client;
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), elockd_client::Error> {
/// let client = Client::connect("127.0.0.1:9999").await?;
/// let guard = client.lock("cron.daily").wait(Duration::from_secs(5)).await?;
/// tokio::select! {
///     () = work() => guard.release().await?,
///     lost = guard.lost() => eprintln!("stopped, because {lost}"),
/// }
/// # Ok(())
/// # }
/// # async fn work() {}
/// ```
pub struct Client<T: Transport = Net> {
    pub(crate) shared: Arc<Shared<T>>,
}

impl<T: Transport> Clone for Client<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Transport> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

/// What all clones of a client and all its guards share.
pub(crate) struct Shared<T: Transport> {
    pub(crate) settings: Settings,
    transport: T,
    pub(crate) pool: Pool<T::Stream>,
    random: Mutex<fastrand::Rng>,
    /// The address that answered last.
    last: AtomicUsize,
}

impl Client {
    /// Settings for a client.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A client with default settings, after the daemon at this address has answered.
    ///
    /// # Errors
    ///
    /// [`Error::BadServer`] if it is no address, and [`Error::Unreachable`] if no daemon answers there.
    pub async fn connect(server: &str) -> Result<Self, Error> {
        Self::builder().server(server.parse()?).connect().await
    }
}

impl<T: Transport> Client<T> {
    pub(crate) fn new(settings: Settings, transport: T) -> Self {
        let pool = Pool::new(settings.most_idle, settings.idle_age);
        let random = Mutex::new(settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed));
        Self { shared: Arc::new(Shared { settings, transport, pool, random, last: AtomicUsize::new(0) }) }
    }

    /// Asks whether the daemon answers, and returns how long that took.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Io`] and [`Error::Refused`].
    pub async fn ping(&self) -> Result<Duration, Error> {
        let (link, result) = on_a_link!(self.shared, None, Patience::None, link => link.ping().await);
        self.shared.put_back(link, result.as_ref().err()).await;
        result
    }

    /// Who has this lock and who waits for it, of every kind of lock with this name.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn holders(&self, name: impl AsRef<[u8]>) -> Result<Vec<Holder>, Error> {
        let name = folded(name)?;
        let mut rows = self.list(&name).await?;
        rows.retain(|row| row.lock == name);
        Ok(rows)
    }

    /// Who has this lock. If several have it, the first of them. `None` if it is free.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn holder(&self, name: impl AsRef<[u8]>) -> Result<Option<Holder>, Error> {
        Ok(self.holders(name).await?.into_iter().find(Holder::holds))
    }

    /// Every hold and every wait of the locks whose names begin so. An empty prefix lists all.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Io`], and [`Error::Refused`] if the daemon shows no listings or the listing is
    /// too large.
    pub async fn list(&self, prefix: impl AsRef<[u8]>) -> Result<Vec<Holder>, Error> {
        let prefix = folded(prefix)?;
        let more = self.shared.settings.times.listing_more;
        let (link, result) =
            on_a_link!(self.shared, None, Patience::None, link => link.list(&prefix, more).await);
        self.shared.put_back(link, result.as_ref().err()).await;
        result
    }

    /// The daemon's statistics (`q full`), by key.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Io`] and [`Error::Refused`].
    pub async fn stats(&self) -> Result<BTreeMap<String, String>, Error> {
        let (link, result) = on_a_link!(self.shared, None, Patience::None, link => link.stats().await);
        self.shared.put_back(link, result.as_ref().err()).await;
        result
    }

    /// Closes the unused connections.
    pub fn close_idle(&self) {
        self.shared.pool.clear();
    }
}

impl<T: Transport> Shared<T> {
    /// A number in 0..1.
    pub(crate) fn random(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.settings.times.first_pause, self.settings.times.longest_pause)
    }

    /// For how long a proof is good: with a grace, at least for that.
    pub(crate) fn good_for(&self, link: &Link<T>) -> Duration {
        let times = &self.settings.times;
        link.grace.as_ref().map_or(times.lost_after, |grace| times.counted(grace.time).max(times.lost_after))
    }

    /// Which address answered last, or is to be tried first.
    pub(crate) fn last(&self) -> usize {
        self.last.load(Ordering::Relaxed)
    }

    /// This address has failed. If it is the one to be tried first, the next one is, from now on.
    pub(crate) fn leave(&self, at: usize) {
        let next = (at + 1) % self.settings.servers.len();
        // If it is another one by now, somebody else has left this one.
        let _ = self.last.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A connection that holds nothing, with this registered name or that of the settings.
    pub(crate) async fn open(
        &self,
        name: Option<&[u8]>,
        may_be_used: bool,
        tries: &mut Tries,
    ) -> Result<Link<T>, Error> {
        let mut used = if may_be_used { self.pool.take() } else { None };
        loop {
            let mut link = match used.take() {
                Some((connection, server)) => self.link(connection, server, Past::Used),
                None => self.dial_any(tries).await?,
            };
            tries.begin();
            let Some(name) = name.or(self.settings.name.as_deref()) else { return Ok(link) };
            match link.register(name).await {
                Ok(()) => return Ok(link),
                Err(error) if link.past == Past::Used && error.is_end() => self.pool.clear(),
                Err(error) => {
                    let reason = Tries::reason_in_request(self, error)?;
                    let server = link.server.clone();
                    link.abandon();
                    tries.next_after_request(self, &server, reason).await?;
                }
            }
        }
    }

    fn link(&self, connection: Connection<T::Stream>, server: Server, past: Past) -> Link<T> {
        let Settings { times: Times { answer_timeout, .. }, explains_held, .. } = self.settings;
        Link {
            connection,
            server,
            answer_timeout,
            explains_held,
            is_named: false,
            grace: None,
            is_broken: false,
            past,
        }
    }

    /// Puts a link back that holds nothing. After an error that broke it, it is closed.
    pub(crate) async fn put_back(&self, link: Link<T>, error: Option<&Error>) {
        if !error.is_some_and(Error::breaks) {
            link.end(self).await;
        }
    }

    /// A new connection to the first address that takes one, tried for as long as is set.
    async fn dial_any(&self, tries: &mut Tries) -> Result<Link<T>, Error> {
        loop {
            let at = tries.at();
            match self.dial(&self.settings.servers[at]).await {
                Ok(link) => {
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(link);
                }
                Err(error) => tries.next(self, Tries::reason(self, error)?).await?,
            }
        }
    }

    /// A new connection to this address. It has said which account it is.
    pub(crate) async fn dial(&self, server: &Server) -> Result<Link<T>, Error> {
        let connecting = self.transport.connect(server);
        let stream = timeout(server.connect_limit(self.settings.times.connect_timeout), connecting)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")))?;
        let mut link = self.link(Connection::new(stream), server.clone(), Past::New);
        if let Some(token) = &self.settings.token {
            link.log_in(token).await?;
        }
        Ok(link)
    }

    /// Gets locks, all on one connection: all of them or none. If the future is dropped, the connection is closed, and
    /// the daemon releases what it held.
    pub(crate) async fn get(self: &Arc<Self>, asked: &Asked, wants: &[Want]) -> Result<Vec<Guard>, Error> {
        let (patience, linger) = (asked.patience, asked.linger.or(self.settings.linger));
        let (link, result) = on_a_link!(self, asked.name.as_deref(), patience, link => {
            link.get_all(wants, patience, linger).await
        });
        match result {
            Ok(proofs) => Ok(self.hold(link, wants, proofs)),
            Err(error) => {
                self.put_back(link, Some(&error)).await;
                Err(error)
            }
        }
    }

    /// Has a task keep what a link holds.
    pub(crate) fn hold(self: &Arc<Self>, link: Link<T>, wants: &[Want], proofs: Vec<Proof>) -> Vec<Guard> {
        let good_for = self.good_for(&link);
        let holds = wants.iter().zip(proofs);
        let holds =
            holds.map(|(want, proof)| Hold::new(want.kind, want.name.clone(), proof, good_for)).map(Arc::new);
        Keeper::keep(Arc::clone(self), link, holds.collect())
    }
}

/// How somebody asks for a lock.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Another name to register than that of the settings.
    pub(crate) name: Option<Vec<u8>>,
    /// Another grace than that of the settings.
    pub(crate) linger: Option<Duration>,
    pub(crate) patience: Patience,
}
