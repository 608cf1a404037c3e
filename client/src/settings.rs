//! What a client is told before it starts.

use crate::access_token::AccessToken;
use crate::client::Client;
use crate::error::Error;
use crate::name::folded;
use crate::server::Server;
use crate::times::{ChosenTimes, Times};
use crate::transport::{Net, Transport};
use std::time::Duration;

/// The longest time in which a daemon may be silent.
const LONGEST: Duration = Duration::from_hours(24);

/// All settings of a client.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<Server>,
    /// Whether the servers are the nodes of one cluster.
    pub(crate) is_cluster: bool,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) token: Option<AccessToken>,
    pub(crate) linger: Option<Duration>,
    pub(crate) times: Times,
    pub(crate) most_idle: usize,
    pub(crate) idle_age: Duration,
    pub(crate) explains_held: bool,
    pub(crate) seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            is_cluster: false,
            name: None,
            token: None,
            linger: None,
            times: Times::ALONE,
            most_idle: 8,
            idle_age: Duration::from_mins(1),
            explains_held: true,
            seed: None,
        }
    }
}

/// Makes a [`Client`]. Every setting has a default.
///
/// ```
/// use elockd_client::Client;
/// use std::time::Duration;
///
/// # fn example() -> Result<Client, elockd_client::Error> {
/// let client = Client::builder()
///     .server("locks.example:9999".parse()?)
///     .name("nightly backup")
///     .linger(Duration::from_secs(10))
///     .build()?;
/// # Ok(client)
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder<T: Transport = Net> {
    settings: Settings,
    times: ChosenTimes,
    name: Option<Vec<u8>>,
    transport: T,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { settings: Settings::default(), times: ChosenTimes::default(), name: None, transport: Net }
    }
}

impl<T: Transport> Builder<T> {
    /// Adds an address. Without any it is `127.0.0.1:9999`.
    ///
    /// Several addresses are tried in their order, from the one on that answered last. Two daemons do not know each
    /// other's locks. So all addresses must lead to one daemon, or to daemons of which only one runs at a time. The
    /// nodes of a [cluster](Self::cluster) are another matter.
    pub fn server(mut self, server: Server) -> Self {
        self.settings.servers.push(server);
        self
    }

    /// Says that the servers are nodes of one cluster, which has one set of locks. One node is enough, but only those
    /// that are named are tried.
    ///
    /// If a node refuses the connection, ends it or has no quorum, the client goes on to the next one after a pause. It
    /// asks again for a lock that it does not have yet. A lock that it has is lost with its connection, unless it
    /// [lingers](Self::linger): then it is resumed at any node.
    ///
    /// Other defaults count in a cluster. A guard asks every 0.5 s and counts its lock as lost after 1.6 s, because a
    /// cluster gives the locks of a dead node away within 2.5 s ([`heartbeat`](Self::heartbeat)). Connecting may take
    /// 1.5 s and an answer 2.5 s. Connecting is tried again for 10 s, with pauses of up to 1 s.
    ///
    /// ```
    /// # fn example() -> Result<elockd_client::Client, elockd_client::Error> {
    /// let mut builder = elockd_client::Client::builder().cluster();
    /// for node in ["a.example", "b.example", "c.example"] {
    ///     builder = builder.server(node.parse()?);
    /// }
    /// builder.build()
    /// # }
    /// ```
    pub fn cluster(mut self) -> Self {
        self.settings.is_cluster = true;
        self
    }

    /// Registers this name on every connection, so that listings and other clients' errors show it.
    pub fn name(mut self, name: impl AsRef<[u8]>) -> Self {
        self.name = Some(name.as_ref().to_vec());
        self
    }

    /// Says on every connection, before anything else, which account it is. For daemons that require it.
    pub fn token(mut self, token: AccessToken) -> Self {
        self.settings.token = Some(token);
        self
    }

    /// Keeps every lock for so long when its connection is lost, and resumes it on a new connection. The daemon allows
    /// at most `--max-linger` (60 s). If this process dies, its locks are free only after this time.
    pub fn linger(mut self, grace: Duration) -> Self {
        self.settings.linger = (!grace.is_zero()).then_some(grace);
        self
    }

    /// How often a guard asks the daemon for its hold (2 s; in a cluster 0.5 s), and how long after the sending of the
    /// last answered question the lock counts as lost (8 s; in a cluster 1.6 s).
    ///
    /// A daemon gives a lock to the next one 15 s (`--peer-timeout`) after the last sign of a silent holder. The rest,
    /// here 7 s, is the time in which to stop work. `lost_after` must be at least twice `heartbeat`.
    ///
    /// In a cluster this is the client's own lease. The cluster gives the locks of a dead node away no sooner than 2 s
    /// after the sending of a question that was answered, by the leader's clock. Work that has stopped after 1.6 s is
    /// safe even if clocks are up to 11 % wrong. `lost_after` must be less than that by the time that your work takes
    /// to stop.
    pub fn heartbeat(mut self, heartbeat: Duration, lost_after: Duration) -> Self {
        self.times.beats = Some((heartbeat, lost_after));
        self
    }

    /// How long an attempt to connect to one address may take (5 s; in a cluster 1.5 s).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.times.connect_timeout = Some(timeout);
        self
    }

    /// How long the daemon may take to answer (8 s; in a cluster 2.5 s). A wait for a lock has this time in addition to
    /// its own.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.times.answer_timeout = Some(timeout);
        self
    }

    /// For how long connecting is tried again if no address answers (not at all: each address is tried once; in a
    /// cluster 10 s). In a cluster it is also for how long a request is tried again. A wait for a lock is tried until
    /// it is over, if that is sooner. The time begins anew when a wait has stood in a node's line.
    pub fn keep_trying(mut self, time: Duration) -> Self {
        self.times.keep_trying = Some(time);
        self
    }

    /// The pauses between attempts to connect: the first one (50 ms), and the longest (2 s; in a cluster 1 s). Each is
    /// twice the one before. A random part of up to half of each is left out, so that many clients do not come at once.
    /// A pause comes when all addresses have failed. In a cluster it comes after each.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.times.pauses = Some((first, longest));
        self
    }

    /// How many unused connections are kept open (8), and for how long they may be used again (60 s).
    pub fn idle_connections(mut self, most: usize, age: Duration) -> Self {
        self.settings.most_idle = most;
        self.settings.idle_age = age;
        self
    }

    /// Whether [`Error::Held`] says by whom (yes). The daemon is asked for all locks whose names begin so. Switch it
    /// off where there are many of them, and many tries.
    pub fn explain_held(mut self, is_explained: bool) -> Self {
        self.settings.explains_held = is_explained;
        self
    }

    /// Draws all random numbers from this seed, so that a simulation can be repeated.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Uses another transport.
    pub fn transport<U: Transport>(self, transport: U) -> Builder<U> {
        Builder { settings: self.settings, times: self.times, name: self.name, transport }
    }

    /// The client. It connects when it has something to ask.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`] if the name has a line end in it. [`Error::BadSetting`] if a setting makes no sense.
    pub fn build(self) -> Result<Client<T>, Error> {
        let Self { mut settings, times, name, transport } = self;
        let times = times.or(if settings.is_cluster { Times::CLUSTER } else { Times::ALONE });
        settings.times = times;
        if settings.servers.is_empty() {
            settings.servers.push(Server::default());
        }
        // An empty name is none.
        settings.name = name.map(folded).transpose()?.filter(|name| !name.is_empty());
        if times.heartbeat.is_zero() || times.lost_after < 2 * times.heartbeat {
            return Err(Error::BadSetting(
                "`lost_after` must be at least twice `heartbeat`, which must not be 0",
            ));
        }
        if [times.lost_after, times.answer_timeout].into_iter().any(|time| time.is_zero() || time > LONGEST) {
            return Err(Error::BadSetting(
                "`lost_after` and `answer_timeout` must be more than 0 and at most a day",
            ));
        }
        Ok(Client::new(settings, transport))
    }

    /// The client, after a daemon has answered.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and [`Error::Unreachable`] if no daemon can be reached.
    pub async fn connect(self) -> Result<Client<T>, Error> {
        let client = self.build()?;
        client.ping().await?;
        Ok(client)
    }
}
