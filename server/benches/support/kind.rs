//! The servers that are measured: each one's name and protocol, and how it is started.

use super::{Failure, ceiling};
use elockd_load::Protocol;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The limits that each server is started with: more than any benchmark asks for.
const CONNECTIONS: &str = "20000";
const LOCKS: &str = "30000000";

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The echo of [`ceiling`].
    Ceiling,
    /// The daemon.
    Elockd,
    /// Another build of the daemon, to compare with.
    Before,
    /// redis-server.
    Redis,
    /// valkey-server.
    Valkey,
    /// memcached.
    Memcached,
    /// poolcounterd.
    PoolCounter,
    /// etcd, a cluster of one.
    Etcd,
}

impl Kind {
    /// All servers, in the order of their turns.
    pub(crate) const ALL: [Self; 8] = [
        Self::Ceiling,
        Self::Elockd,
        Self::Before,
        Self::Redis,
        Self::Valkey,
        Self::Memcached,
        Self::PoolCounter,
        Self::Etcd,
    ];

    /// The alternatives that elockd's goals are about.
    pub(crate) const PEERS: [Self; 3] = [Self::Redis, Self::Valkey, Self::Memcached];

    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Elockd => "elockd",
            Self::Before => "before",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Memcached => "memcached",
            Self::PoolCounter => "poolcounter",
            Self::Etcd => "etcd",
        }
    }

    /// The protocol that it speaks.
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Ceiling => Protocol::Echo,
            Self::Elockd | Self::Before => Protocol::Elockd,
            Self::Redis | Self::Valkey => Protocol::Redis,
            Self::Memcached => Protocol::Memcached,
            Self::PoolCounter => Protocol::PoolCounter,
            Self::Etcd => Protocol::Etcd,
        }
    }

    /// How many requests a connection may have in progress.
    pub(crate) const fn depth_max(self) -> usize {
        match self {
            Self::PoolCounter | Self::Etcd => 1,
            _ => usize::MAX,
        }
    }

    /// Whether it works even without requests. It would disturb the others, so it runs only in its own turns.
    pub(crate) const fn is_restless(self) -> bool {
        matches!(self, Self::Etcd)
    }

    /// Whether it is built here, so that it cannot be left out.
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Self::Elockd | Self::Before)
    }

    /// How many locks a connection may hold.
    pub(crate) const fn locks_max(self) -> usize {
        match self {
            Self::PoolCounter => 4,
            _ => usize::MAX,
        }
    }

    /// The command that starts it at this listener's port, and the folder that it needs.
    pub(super) fn command(
        self,
        listener: TcpListener,
        daemon: &Daemon,
    ) -> Result<(Command, Option<TempDir>), Failure> {
        let port = listener.local_addr()?.port().to_string();
        let mut command = Command::new(self.program(daemon)?);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut home = None;
        match self {
            Self::Ceiling => {
                command.args([ceiling::ARGUMENT, &port]);
            }
            Self::Elockd | Self::Before => {
                command.args(["--listen", "127.0.0.1", "--port", &port, "--log-level", "error"]);
                command.args(["--max-connections", CONNECTIONS, "--max-locks", LOCKS]);
                command.args(["--max-locks-per-connection", LOCKS, "--max-listing-bytes", "1000000000"]);
                // The build before may not know it.
                if self == Self::Elockd {
                    command.args(["--max-memory", "10000000000"]);
                }
                command.args(&daemon.args);
            }
            Self::Redis | Self::Valkey => {
                command.args(["--port", &port, "--bind", "127.0.0.1", "--maxclients", CONNECTIONS]);
                command.args(["--save", "", "--appendonly", "no", "--loglevel", "warning"]);
            }
            Self::Memcached => {
                command.args(["-l", "127.0.0.1", "-p", &port, "-U", "0", "-t", "1", "-c", CONNECTIONS]);
                // It needs room for every lock, because it drops what does not fit. As root it needs a user to run as.
                command.args(["-m", "4096", "-u", "nobody"]);
            }
            Self::PoolCounter => {
                // Its port is fixed, but it takes a socket as its standard input instead.
                command.stdin(OwnedFd::from(listener));
            }
            Self::Etcd => {
                let private = Permissions::from_mode(0o700);
                let folder = tempfile::Builder::new().permissions(private).tempdir()?;
                let clients = format!("http://127.0.0.1:{port}");
                // Nothing connects to this address.
                let peers = format!("http://{}", TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?);
                command.arg("--data-dir").arg(folder.path());
                command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
                command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
                command.args(["--initial-cluster", &format!("default={peers}")]);
                command.args(["--logger", "zap", "--log-level", "error"]);
                home = Some(folder);
            }
        }
        Ok((command, home))
    }

    /// Whether it answers requests already.
    pub(super) fn is_ready(self, address: SocketAddr) -> bool {
        let Ok(mut stream) = TcpStream::connect(address) else { return false };
        if self != Self::Etcd {
            return true;
        }
        // It listens long before it has elected itself as leader.
        let mut health = String::new();
        let is_heard = stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
            && stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut health).is_ok();
        is_heard && health.contains(r#""health":"true""#)
    }

    fn program(self, daemon: &Daemon) -> Result<PathBuf, Failure> {
        Ok(match self {
            Self::Ceiling => std::env::current_exe()?,
            Self::Elockd => daemon.program.clone(),
            Self::Before => daemon.before.clone().ok_or("no other build was named")?,
            Self::Redis => "redis-server".into(),
            Self::Valkey => "valkey-server".into(),
            Self::Memcached => "memcached".into(),
            Self::PoolCounter => "poolcounterd".into(),
            Self::Etcd => "etcd".into(),
        })
    }
}

/// The daemon's program, and additional arguments for it.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) program: PathBuf,
    /// Another build to compare with.
    pub(crate) before: Option<PathBuf>,
    pub(crate) args: Vec<String>,
}
