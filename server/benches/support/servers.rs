//! The servers that are measured, each a process of its own on a free port of this machine, ended when it is
//! dropped. One that is not installed is left out, and that is said.

use super::cores::Cores;
use super::{Failure, ceiling, process};
use elockd_client::load::{Protocol, Target};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Connections and locks that each is set to allow: more than any benchmark asks for.
const CONNECTIONS: &str = "20000";
const LOCKS: &str = "30000000";
/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

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
}

impl Kind {
    /// All of them, in the order of their turns.
    pub(crate) const ALL: [Self; 5] =
        [Self::Ceiling, Self::Elockd, Self::Redis, Self::Valkey, Self::Memcached];

    /// What a user would take instead of elockd.
    pub(crate) const PEERS: [Self; 3] = [Self::Redis, Self::Valkey, Self::Memcached];

    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Elockd => "elockd",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
            Self::Memcached => "memcached",
        }
    }

    /// What it speaks.
    pub(crate) const fn protocol(self) -> Protocol {
        match self {
            Self::Ceiling => Protocol::Echo,
            Self::Elockd => Protocol::Elockd,
            Self::Redis | Self::Valkey => Protocol::Redis,
            Self::Memcached => Protocol::Memcached,
        }
    }

    fn command(self, port: u16, daemon: &Daemon) -> Result<Command, Failure> {
        let port = port.to_string();
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
        };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }
}

/// The daemon's program, and arguments for it beside those that are needed.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) target: Target,
    child: Child,
}

impl Server {
    /// Starts it, and waits until it can be connected to. None, when it is not installed.
    pub(crate) fn start(kind: Kind, cores: &Cores, daemon: &Daemon) -> Result<Option<Self>, Failure> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = match cores.start_server(&mut kind.command(port, daemon)?) {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && kind != Kind::Elockd => {
                return Ok(None);
            }
            Err(error) => return Err(format!("cannot start {}: {error}", kind.name()).into()),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { kind, target: Target { address, protocol: kind.protocol() }, child };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("{} ended at its start, {status}", kind.name()).into());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("{} does not listen after {PATIENCE:?}", kind.name()).into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(Some(server))
    }

    /// Starts the daemon.
    pub(crate) fn start_elockd(cores: &Cores, daemon: &Daemon) -> Result<Self, Failure> {
        Ok(Self::start(Kind::Elockd, cores, daemon)?.ok_or("the daemon is not there")?)
    }

    /// Starts each of these that is installed, and says which are not.
    pub(crate) fn start_all(kinds: &[Kind], cores: &Cores, daemon: &Daemon) -> Result<Vec<Self>, Failure> {
        let mut servers = Vec::new();
        for &kind in kinds {
            match Self::start(kind, cores, daemon)? {
                Some(server) => servers.push(server),
                None => println!("LEFT OUT: {} is not installed", kind.name()),
            }
        }
        Ok(servers)
    }

    /// Seconds of processor time that it has used.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Failure> {
        process::cpu_seconds(self.child.id())
    }

    /// Bytes of memory that it has resident.
    pub(crate) fn resident_bytes(&self) -> Result<f64, Failure> {
        process::resident_bytes(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, and there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
