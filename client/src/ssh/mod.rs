//! Daemons behind an SSH host, and commands at an SSH host.
//!
//! There are two ways in: through the program of OpenSSH, which honours its configuration, agents, jump hosts and
//! hardware keys, and in this process, which needs no program. `docs/ssh.md` in the repository has what each of them
//! can do.
//!
//! ```no_run
//! use elockd_client::ssh::{self, Ssh};
//! use elockd_client::{Client, Error, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let ssh = Ssh::builder("alice@gateway.example".parse()?).native(true).build();
//! let server = Server::default().via_ssh(&ssh);
//! let client = Client::builder().server(server).connect().await?;
//! client.lock("cron.daily").get().await?.release().await?;
//! # Ok(())
//! # }
//! ```

mod askpass;
mod destination;
mod forwarding;
mod known_hosts;
mod native;
mod openssh;
mod remote;
mod secret;
mod way;

pub use askpass::init;
pub use destination::{Destination, ParseDestinationError};
pub use forwarding::{Forwarding, ParseForwardingError};
pub use remote::{CommandGuard, Finish, Remote, RemoteCommand, Running, StopStep};
pub use secret::{Answerer, Secret, SecretKind, SecretQuestion};

use crate::server::Server;
use elockd_core::Command;
use native::Native;
use openssh::OpenSsh;
use ring::rand::{SecureRandom, SystemRandom};
use secret::{Attempt, Secrets};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use way::Way;

/// How long a login may take. The time in which somebody is asked for a password does not count.
pub const LOGIN: Duration = Duration::from_secs(15);
/// How often an SSH server that is silent is asked whether it is there.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(5);
/// How many of these questions may stay unanswered. With the time before the first it makes `PEER_TIMEOUT`, as for a
/// connection without SSH.
pub(crate) const KEEPALIVES: usize = 2;
/// The most bytes of a daemon's first answer.
const MOST_GREETING: usize = 1024;

/// Which host keys are accepted, as OpenSSH names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeys {
    /// Those that are known (`strict`).
    Strict,
    /// Those that are known, and those of hosts of which nothing is known. They are added to the file of known hosts.
    AcceptNew,
}

/// What a way is told.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) destination: Destination,
    pub(crate) host_keys: Option<HostKeys>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) known_hosts: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
}

/// Makes an [`Ssh`].
#[must_use]
pub struct SshBuilder {
    setup: Setup,
    is_native: bool,
    answerer: Option<Arc<Answerer>>,
    login: Duration,
}

impl SshBuilder {
    /// Whether SSH is spoken in this process. Without this, the program of OpenSSH is run.
    pub fn native(mut self, is_native: bool) -> Self {
        self.is_native = is_native;
        self
    }

    /// Which host keys are accepted. Without this it is [`HostKeys::Strict`] in this process, and what its
    /// configuration says for the program of OpenSSH. If that says `ask`, nobody is asked, and a new key is refused.
    pub fn host_keys(mut self, host_keys: HostKeys) -> Self {
        self.setup.host_keys = Some(host_keys);
        self
    }

    /// The only key to try. Without this they are those of the agent and the usual files.
    pub fn key(mut self, file: impl Into<PathBuf>) -> Self {
        self.setup.key = Some(file.into());
        self
    }

    /// The file of known hosts. Without this it is `~/.ssh/known_hosts`, and the system's.
    pub fn known_hosts(mut self, file: impl Into<PathBuf>) -> Self {
        self.setup.known_hosts = Some(file.into());
        self
    }

    /// The configuration for the program of OpenSSH, in the place of `~/.ssh/config` and the system's.
    pub fn config(mut self, file: impl Into<PathBuf>) -> Self {
        self.setup.config = Some(file.into());
        self
    }

    /// Who is asked for passwords and passphrases, when one is needed. Without this, there are none.
    ///
    /// For the program of OpenSSH, `main` must begin with [`init`].
    pub fn secrets(
        mut self,
        answerer: impl Fn(&SecretQuestion) -> io::Result<Secret> + Send + Sync + 'static,
    ) -> Self {
        self.answerer = Some(Arc::new(answerer));
        self
    }

    /// How long a login may take ([`LOGIN`]).
    pub fn login_timeout(mut self, limit: Duration) -> Self {
        self.login = limit;
        self
    }

    /// The way. It does nothing until it is used.
    #[must_use]
    pub fn build(self) -> Ssh {
        let Self { setup, is_native, answerer, login } = self;
        let destination = setup.destination.clone();
        let way: Box<dyn Way> = if is_native {
            Box::new(Arc::new(Native::new(setup)))
        } else {
            Box::new(Arc::new(OpenSsh::new(setup)))
        };
        let secrets = Arc::new(Secrets::new(answerer));
        Ssh(Arc::new(Inner { destination, is_native, way, secrets, login }))
    }
}

impl fmt::Debug for SshBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshBuilder").field("setup", &self.setup).finish_non_exhaustive()
    }
}

/// A way to an SSH server. It is cheap to clone. All clones share their passwords, and in this process their login.
///
/// Two of them are equal if they lead to the same destination in the same way.
#[derive(Clone, Debug)]
pub struct Ssh(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    destination: Destination,
    is_native: bool,
    way: Box<dyn Way>,
    secrets: Arc<Secrets>,
    login: Duration,
}

impl Ssh {
    /// Settings for a way to this destination.
    pub fn builder(destination: Destination) -> SshBuilder {
        let setup = Setup { destination, host_keys: None, key: None, known_hosts: None, config: None };
        SshBuilder { setup, is_native: false, answerer: None, login: LOGIN }
    }

    /// Where it leads.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.0.destination
    }

    fn identity(&self) -> (&Destination, bool) {
        (&self.0.destination, self.0.is_native)
    }

    /// A connection to a daemon at the other side, which has answered.
    pub(crate) async fn connect(&self, server: &Server) -> io::Result<UnixStream> {
        let attempt = Attempt::new(&self.0.secrets);
        let connecting = async {
            let opened = self.0.way.open(server, &attempt).await?;
            opened.proven(greet).await.map(|(stream, ())| stream)
        };
        attempt.within(self.0.login, connecting).await
    }

    /// Runs a command at the other side. It comes back when the command is about to run, and is guarded.
    ///
    /// # Errors
    ///
    /// Why it cannot be run.
    pub async fn run(&self, command: &RemoteCommand) -> io::Result<Remote> {
        let attempt = Attempt::new(&self.0.secrets);
        attempt.within(self.0.login, remote::start(&*self.0.way, command, &attempt, &self.0.secrets)).await
    }

    /// Listens here, and connects from the other side, until that breaks. Returns why. `is_ready` is called when it
    /// listens.
    ///
    /// # Errors
    ///
    /// Why it cannot begin.
    pub async fn tunnel(&self, forwardings: &[Forwarding], is_ready: impl FnOnce()) -> io::Result<io::Error> {
        let attempt = Attempt::new(&self.0.secrets);
        let (tell, told) = oneshot::channel();
        let mut told = Some((told, is_ready));
        let mut tunnel = self.0.way.tunnel(forwardings, &attempt, tell);
        let (ready, is_ready) = told.take().expect("it was made above");
        let first = attempt.within(self.0.login, async {
            tokio::select! {
                biased;
                Ok(()) = ready => Ok(None),
                ended = &mut tunnel => ended.map(Some),
            }
        });
        if let Some(reason) = first.await? {
            return Err(reason);
        }
        is_ready();
        tunnel.await
    }
}

/// 32 digits that nobody guesses.
pub(crate) fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("there are no random numbers"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Asks a daemon whether it is there, and reads its answer up to its end. No request is sent twice by that, because the
/// connection is new.
async fn greet(stream: &mut UnixStream) -> io::Result<()> {
    let mut question = Vec::new();
    Command::<&[u8]>::Ping.write(&mut question);
    stream.write_all(&question).await?;
    for _ in 0..MOST_GREETING {
        if stream.read_u8().await? == b'\n' {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "there is no daemon at the other side, but somebody else"))
}

impl PartialEq for Ssh {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Ssh {}

impl Hash for Ssh {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialOrd for Ssh {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ssh {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

/// A daemon behind an SSH host. See [`Server::via_ssh`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BehindSsh {
    ssh: Ssh,
    server: Server,
}

impl BehindSsh {
    pub(crate) fn new(ssh: &Ssh, server: Server) -> Self {
        Self { ssh: ssh.clone(), server }
    }

    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        self.ssh.connect(&self.server).await
    }
}

impl fmt::Display for BehindSsh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} via {}", self.server, self.ssh.destination())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::PEER_TIMEOUT;

    /// Goal: a dead host is noticed as one without SSH is. Method: the constants are compared.
    #[test]
    fn a_silent_host_is_given_up_as_soon_as_a_silent_daemon() {
        assert_eq!(KEEPALIVE * (u32::try_from(KEEPALIVES).unwrap() + 1), PEER_TIMEOUT);
    }

    #[test]
    fn ways_are_equal_if_they_lead_to_the_same_place() {
        let ssh = |to: &str, is_native| Ssh::builder(to.parse().unwrap()).native(is_native).build();
        assert_eq!(ssh("a@b", false), ssh("a@b", false));
        assert_ne!(ssh("a@b", false), ssh("a@b", true));
        assert_ne!(ssh("a@b", false), ssh("b", false));
        let server = Server::default().via_ssh(&ssh("a@b", true));
        assert_eq!(server.to_string(), "127.0.0.1:9999 via a@b");
    }

    #[tokio::test]
    async fn a_daemon_answers_first_and_nothing_of_it_is_lost() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let (greeted, ()) = tokio::join!(greet(&mut near), async {
            let mut line = [0; 5];
            far.read_exact(&mut line).await.unwrap();
            assert_eq!(&line, b"ping\n");
            far.write_all(b"1 pong\nrest").await.unwrap();
        });
        greeted.unwrap();
        let mut rest = [0; 4];
        near.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"rest");
        far.write_all(&[b'x'; MOST_GREETING]).await.unwrap();
        assert_eq!(greet(&mut near).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(far);
        assert!(greet(&mut near).await.is_err());
    }
}
