//! Which servers are measured: what each is called and speaks, and how it is started.

use super::{Failure, ceiling};
use elockd_client::load::Protocol;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Connections and locks that each is set to allow: more than any benchmark asks for.
const CONNECTIONS: &str = "20000";
const LOCKS: &str = "30000000";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The echo of [`ceiling`].
    Ceiling,
    /// The daemon.
    Elockd,
    /// redis-server.
    Redis,
    /// valkey-server.
    Valkey,
    /// memcached.
    Memcached,
    /// poolcounterd.
    PoolCounter,
}

impl Kind {
    /// All of them, in the order of their turns.
    pub(crate) const ALL: [Self; 6] =
        [Self::Ceiling, Self::Elockd, Self::Redis, Self::Valkey, Self::Memcached, Self::PoolCounter];

    /// What a user would take instead of elockd, and what elockd has goals beside.
    pub(crate) const PEERS: [Self; 3] = [Self::Redis, Self::Valkey, Self::Memcached];

    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Elockd => "elockd",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Memcached => "memcached",
            Self::PoolCounter => "poolcounter",
        }
    }

    /// What it speaks.
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Ceiling => Protocol::Echo,
            Self::Elockd => Protocol::Elockd,
            Self::Redis | Self::Valkey => Protocol::Redis,
            Self::Memcached => Protocol::Memcached,
            Self::PoolCounter => Protocol::PoolCounter,
        }
    }

    /// How many requests a connection may have under way.
    pub(crate) const fn depth_max(self) -> usize {
        match self {
            Self::PoolCounter => 1,
            _ => usize::MAX,
        }
    }

    /// How many locks a connection may hold.
    pub(crate) const fn locks_max(self) -> usize {
        match self {
            Self::PoolCounter => 4,
            _ => usize::MAX,
        }
    }

    /// What starts it where this socket listens.
    pub(super) fn command(self, listener: TcpListener, daemon: &Daemon) -> Result<Command, Failure> {
        let port = listener.local_addr()?.port().to_string();
        let (program, args): (PathBuf, Vec<&str>) = match self {
            Self::Ceiling => (std::env::current_exe()?, vec![ceiling::ARGUMENT, &port]),
            Self::Elockd => {
                let limits = ["--max-connections", CONNECTIONS, "--max-locks", LOCKS];
                let more = ["--max-locks-per-connection", LOCKS, "--max-listing-bytes", "1000000000"];
                let args = ["--listen", "127.0.0.1", "--port", &port, "--log-level", "error"];
                let own = daemon.args.iter().map(String::as_str);
                (daemon.program.clone(), args.into_iter().chain(limits).chain(more).chain(own).collect())
            }
            Self::Redis | Self::Valkey => {
                let program = if self == Self::Redis { "redis-server" } else { "valkey-server" };
                let mut args = vec!["--port", &port, "--bind", "127.0.0.1", "--maxclients", CONNECTIONS];
                args.extend(["--save", "", "--appendonly", "no", "--loglevel", "warning"]);
                (program.into(), args)
            }
            Self::Memcached => {
                let mut args = vec!["-l", "127.0.0.1", "-p", &port, "-U", "0", "-t", "1", "-c", CONNECTIONS];
                // Room for every lock: it forgets what does not fit. It does not run as root without a user.
                args.extend(["-m", "4096", "-u", "nobody"]);
                ("memcached".into(), args)
            }
            Self::PoolCounter => ("poolcounterd".into(), vec![]),
        };
        let mut command = Command::new(program);
        command.args(args).stdout(Stdio::null());
        // PoolCounter has a port of its own that no argument changes, but a socket that is its input it takes
        // instead. The others bind the port themselves, once it is free.
        command.stdin(if self == Self::PoolCounter { OwnedFd::from(listener).into() } else { Stdio::null() });
        Ok(command)
    }
}

/// The daemon's program, and arguments for it beside those that are needed.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
}
