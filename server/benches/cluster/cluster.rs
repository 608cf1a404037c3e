//! A cluster that runs: three processes, or one, that end with it. Their data are in a folder that ends with it too.

use crate::arguments::Arguments;
use crate::client::Client;
use crate::support::{Failure, process};
use crate::system::System;
use crate::{etcd, ours};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nodes of a cluster.
pub(crate) const NODES: usize = 3;
/// How long anything may take that a start needs.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    pub(crate) system: System,
    pub(crate) nodes: Vec<Node>,
    /// The path of elockd, for its own commands.
    pub(crate) daemon: PathBuf,
    /// Removed once all nodes have ended, because it stands last.
    _home: TempDir,
}

/// A node that runs.
pub(crate) struct Node {
    process: Child,
    pub(crate) places: Places,
}

/// Where a node is.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The address for clients.
    pub(crate) clients: SocketAddr,
    /// The address for other nodes.
    pub(crate) peers: SocketAddr,
    /// Its data.
    pub(crate) folder: PathBuf,
}

impl Cluster {
    /// Starts it, and waits until every node serves.
    pub(crate) fn start(system: System, arguments: &Arguments) -> Result<Self, Failure> {
        fs::create_dir_all(&arguments.folder)?;
        let home = tempfile::tempdir_in(&arguments.folder)?;
        let count = if system == System::Alone { 1 } else { NODES };
        let places = (0..count).map(|nth| Places::choose(home.path(), nth)).collect::<Result<Vec<_>, _>>()?;
        let daemon = arguments.daemon.clone();
        let mut cluster = Self { system, nodes: Vec::with_capacity(count), daemon, _home: home };
        match system {
            System::Elockd => ours::start(&mut cluster, places, arguments)?,
            System::Alone => ours::start_alone(&mut cluster, places, arguments)?,
            System::Etcd => etcd::start(&mut cluster, places)?,
        }
        for nth in 0..count {
            cluster.until("every node serves", || {
                let mut client = Client::connect(&cluster, nth, PATIENCE)?;
                Ok(client.try_node()?)
            })?;
        }
        Ok(cluster)
    }

    /// Starts one more node.
    pub(crate) fn add(&mut self, mut command: Command, places: Places) -> Result<(), Failure> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(places.log())?);
        let process = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        self.nodes.push(Node { process, places });
        Ok(())
    }

    /// Tries until it succeeds.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let begin = Instant::now();
        loop {
            match attempt() {
                Ok(success) => return Ok(success),
                Err(failure) if begin.elapsed() > PATIENCE => {
                    let logs = self.nodes.iter().map(|node| node.places.last_lines());
                    let logs: String = logs.collect();
                    return Err(format!("not so after {PATIENCE:?}: {what}: {failure}\n{logs}").into());
                }
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The addresses of its nodes for clients.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.places.clients).collect()
    }

    /// The indexes of its nodes, the leader's at last. Most clients of a cluster are at a follower, so whoever has one
    /// client takes the first.
    pub(crate) fn followers_first(&self) -> Result<Vec<usize>, Failure> {
        let (leader, count) = (self.leader()?, self.nodes.len());
        Ok((1..=count).map(|nth| (leader + nth) % count).collect())
    }

    /// The index of the node that leads.
    pub(crate) fn leader(&self) -> Result<usize, Failure> {
        match self.system {
            System::Elockd => ours::leader(self),
            System::Etcd => etcd::leader(self),
            System::Alone => Ok(0),
        }
    }

    /// Ends a node at once.
    pub(crate) fn kill(&mut self, nth: usize) -> Result<(), Failure> {
        Ok(self.nodes[nth].process.kill()?)
    }

    /// Seconds of processor time that its nodes have used.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Failure> {
        self.nodes.iter().map(|node| process::cpu_seconds(node.process.id())).sum()
    }
}

impl Places {
    fn choose(home: &Path, nth: usize) -> Result<Self, Failure> {
        let folder = home.join(format!("node-{nth}"));
        fs::create_dir(&folder)?;
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
        Ok(Self { clients: free()?, peers: free()?, folder })
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    /// The last lines of its log, for who has to find out why it does not start.
    fn last_lines(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        format!("{}: {last}\n", self.log().display())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already. Then these fail, and that does not matter.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
