//! Which lock, and how long to wait for it: the flags that `run`, `lead`, `get` and `hold` share, and the lock that
//! comes of them.

use crate::inherited::Inheritable;
use crate::name::{self, Name};
use crate::options::Options;
use crate::progress;
use crate::silence::Trust;
use crate::span;
use crate::status::{Failure, NOT_OBTAINED};
use clap::Args;
use elockd_client::{Error, Guard, Kind, Lost, Slot, State};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::time::Instant;

/// Silence is judged here and not by the library, which would judge a process that was stopped without asking. It is
/// the longest that the library takes.
const NEVER: Duration = Duration::from_hours(24);
/// How long the daemon may take to answer before a new connection is tried, if the lock lingers. It is shorter than
/// most graces, so that there is time to resume.
const ANSWER: Duration = Duration::from_secs(4);
/// For ever, as a wait.
const FOR_EVER: Duration = Duration::MAX;

/// Which lock.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Args, Clone, Debug)]
pub(crate) struct LockArgs {
    /// The name of the lock.
    #[arg(value_parser = name::parser())]
    pub(crate) name: Name,
    /// Get a share: any number of clients may have one.
    #[arg(short, long, group = "kind")]
    shared: bool,
    /// Get the lock alone, which is the default.
    #[arg(short = 'x', short_alias = 'e', long, group = "kind")]
    exclusive: bool,
    /// Get a share of which there are at most so many. All who share a lock should give the same limit.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), group = "kind")]
    limit: Option<u32>,
    /// Get one of N places, numbered from 0. The command finds its number in ELOCK_SLOT.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), group = "kind")]
    slots: Option<u32>,
    /// Get the lock of readers and writers for reading.
    #[arg(long, group = "kind")]
    read: bool,
    /// Get the lock of readers and writers for writing.
    #[arg(long, group = "kind")]
    write: bool,
    /// Register this name, so that others see who has the lock.
    #[arg(long = "as", value_name = "WHO", value_parser = name::parser())]
    who: Option<Name>,
    /// Keep the lock for so long if the connection is lost, and resume it. The daemon allows up to --max-linger (60 s).
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    linger: Option<Duration>,
}

/// How long to wait.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WaitingArgs {
    /// Do not wait: if the lock is held, end with status 75 at once.
    #[arg(short, long, visible_alias = "nb", alias = "nonblocking", conflicts_with = "wait")]
    nonblock: bool,
    /// Wait for up to so long. A number alone is seconds. Without this and without -n, wait for ever.
    #[arg(short, long, visible_alias = "timeout", value_name = "SPAN", value_parser = span::parse)]
    wait: Option<Duration>,
    /// Status if the lock was not to be had.
    #[arg(short = 'E', long, value_name = "STATUS", default_value_t = NOT_OBTAINED)]
    conflict_exit_code: u8,
}

impl WaitingArgs {
    /// As long as it takes.
    pub(crate) const FOR_EVER: Self = Self { nonblock: false, wait: None, conflict_exit_code: NOT_OBTAINED };

    /// `None` if there is no waiting.
    pub(crate) fn patience(self) -> Option<Duration> {
        if self.nonblock { None } else { Some(self.wait.unwrap_or(FOR_EVER)) }
    }

    /// The failure with the status that was asked for, if it says that somebody else has the lock.
    pub(crate) fn failure(self, name: &Name, error: Error) -> Failure {
        let mut failure = Failure::from(error);
        failure.message = format!("{name}: {}", failure.message);
        if failure.status == NOT_OBTAINED {
            failure.status = self.conflict_exit_code;
        }
        failure
    }
}

impl LockArgs {
    fn kind(&self) -> Kind {
        match self {
            Self { read: true, .. } => Kind::Read,
            Self { write: true, .. } => Kind::Write,
            Self { shared: true, .. } | Self { limit: Some(_), .. } | Self { slots: Some(_), .. } => {
                Kind::Shared
            }
            _ => Kind::Exclusive,
        }
    }

    /// Registers a name if the command line has none.
    pub(crate) fn or_as(mut self, who: Name) -> Self {
        self.who.get_or_insert(who);
        self
    }

    /// Gets the lock. If the future is dropped, the wait is over. `stopping` is how long it takes to stop what is done
    /// under the lock.
    pub(crate) async fn get(
        &self,
        options: &Options,
        waiting: WaitingArgs,
        stopping: Duration,
    ) -> Result<Obtained, Failure> {
        let connections = Inheritable::default();
        let trust = if options.is_cluster {
            Trust::in_cluster(self.linger, stopping)
        } else {
            Trust::in_daemon(self.linger)
        };
        let mut builder = options.builder().heartbeat(trust.heartbeat, NEVER).idle_connections(0, NEVER);
        if !options.is_cluster {
            builder = builder.answer_timeout(if self.linger.is_some() { ANSWER } else { trust.lost_after });
        }
        if let Some(who) = &self.who {
            builder = builder.name(who.bytes());
        }
        if let Some(linger) = self.linger {
            builder = builder.linger(linger);
        }
        let client = builder.transport(connections.clone()).build()?;
        let patience = waiting.patience();
        let getting = Box::pin(async {
            if let Some(count) = self.slots {
                return client.slot(self.name.bytes(), count, patience).await.map(Grip::Slot);
            }
            let name = self.name.bytes();
            let request = match self.kind() {
                Kind::Exclusive => client.lock(name),
                Kind::Shared => client.shared(name).limit(self.limit.unwrap_or(0)),
                Kind::Read => client.read(name),
                Kind::Write => client.write(name),
            };
            match patience {
                Some(FOR_EVER) => request.get().await,
                Some(patience) => request.wait(patience).await,
                None => request.try_now().await,
            }
            .map(Grip::Guard)
        });
        let got = progress::telling(options, self.kind(), &self.name, getting).await;
        let grip = got.map_err(|error| waiting.failure(&self.name, error))?;
        Ok(Obtained { name: self.name.clone(), grip, connections, trust })
    }
}

/// What the library gave.
#[derive(Debug)]
enum Grip {
    Guard(Guard),
    Slot(Slot),
}

impl Grip {
    fn guard(&self) -> &Guard {
        match self {
            Self::Guard(guard) => guard,
            Self::Slot(slot) => slot.guard(),
        }
    }

    async fn lost(&self) -> Lost {
        match self {
            Self::Guard(guard) => guard.lost().await,
            Self::Slot(slot) => slot.lost().await,
        }
    }
}

/// A lock that is held. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct Obtained {
    name: Name,
    grip: Grip,
    connections: Inheritable,
    trust: Trust,
}

impl Obtained {
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn token(&self) -> Option<u64> {
        self.grip.guard().token()
    }

    /// The number of its place, if it is one of several.
    pub(crate) fn slot(&self) -> Option<u32> {
        match &self.grip {
            Grip::Slot(slot) => Some(slot.index()),
            Grip::Guard(_) => None,
        }
    }

    /// What a command finds in its environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut environment = vec![("ELOCK_NAME", self.name.as_os_str().to_owned())];
        if let Some(token) = self.token() {
            environment.push(("ELOCK_FENCE", token.to_string().into()));
        }
        if let Some(slot) = self.slot() {
            environment.push(("ELOCK_SLOT", slot.to_string().into()));
        }
        environment
    }

    /// The connection, for a command to inherit.
    pub(crate) fn descriptors(&self) -> Result<Vec<OwnedFd>, Failure> {
        self.connections.descriptors().map_err(|error| Failure::system("hand on the connection", error))
    }

    /// Returns when the lock cannot be counted on any more, with the reason.
    pub(crate) async fn lost(&self) -> Lost {
        tokio::select! {
            biased;
            lost = self.grip.lost() => lost,
            () = self.silent() => Lost::Silent,
        }
    }

    async fn silent(&self) {
        let guard = self.grip.guard();
        loop {
            self.trust.silence(|| guard.proven()).await;
            // While a new connection is being tried, the library counts the grace.
            if self.trust.counts_grace || guard.state() != State::Resuming {
                return;
            }
            tokio::time::sleep(self.trust.heartbeat).await;
        }
    }

    /// When the question was sent that the daemon has answered last.
    pub(crate) fn proven(&self) -> Instant {
        self.grip.guard().proven()
    }

    /// How long after the last proof it counts as lost.
    pub(crate) fn lost_after(&self) -> Duration {
        self.trust.lost_after
    }

    /// How often it is proven.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.trust.heartbeat
    }

    /// Releases it, and tells whether it was held until then.
    pub(crate) async fn release(self) -> Result<(), Lost> {
        let released = match self.grip {
            Grip::Guard(guard) => guard.release().await,
            Grip::Slot(slot) => slot.release().await,
        };
        match released {
            Err(Error::Lost(lost)) => Err(lost),
            _ => Ok(()),
        }
    }
}
