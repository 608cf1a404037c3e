//! The servers that are measured. Each is a process of its own on a free port of this computer, and ends when it is
//! dropped. A server that is not installed is left out, with a message.

use super::cores::Cores;
use super::kind::{Daemon, Kind};
use super::{Failure, process};
use elockd_load::Target;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that runs.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) target: Target,
    child: Child,
    /// Removed once it has ended.
    _home: Option<TempDir>,
}

impl Server {
    /// Starts it, and waits until it answers. `None` if it is not installed.
    pub(crate) fn start(kind: Kind, cores: &Cores, daemon: &Daemon) -> Result<Option<Self>, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (mut command, home) = kind.command(listener, daemon)?;
        let child = match cores.start_server(&mut command) {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !kind.is_ours() => {
                return Ok(None);
            }
            Err(error) => return Err(format!("cannot start {}: {error}", kind.name()).into()),
        };
        let mut server =
            Self { kind, target: Target { address, protocol: kind.protocol() }, child, _home: home };
        let begin = Instant::now();
        while !kind.is_ready(address) {
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

    /// Starts each of these that is installed. Prints which are not.
    pub(crate) fn start_all(kinds: &[Kind], cores: &Cores, daemon: &Daemon) -> Result<Vec<Self>, Failure> {
        let mut servers = Vec::new();
        for &kind in kinds {
            if kind == Kind::Before && daemon.before.is_none() {
                continue;
            }
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
        // It may have ended already. Then these fail, and that does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
