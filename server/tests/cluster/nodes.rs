//! A cluster for a test: nodes on loopback, each a process with a folder of its own, set up by `elockd cluster`.

use crate::support::{Client, Daemon, PATIENCE, own_address, poll, program};
use rustix::process::Signal;
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What takes an election, a lease and an expiry, on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// What a command of operators came to.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `elockd cluster` with these words.
pub(crate) fn tool(words: &[&str]) -> Said {
    run(program().arg("cluster").args(words))
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// How a node's process is started: the daemon, or something that becomes it.
type Starter = Box<dyn Fn() -> Command + Send + Sync>;

/// A node, running or not.
pub(crate) struct Node {
    /// Its number in the cluster.
    pub(crate) number: u16,
    pub(crate) folder: PathBuf,
    /// Where its clients connect.
    pub(crate) address: SocketAddr,
    /// Where others reach it.
    pub(crate) link: String,
    /// Where its clients connect instead, if its address cannot be reached from here.
    pub(crate) socket: Option<PathBuf>,
    /// Further settings.
    pub(crate) more: Vec<String>,
    pub(crate) starter: Starter,
    daemon: Option<Daemon>,
}

impl Node {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let (address, link) = (own_address(), own_address().to_string());
        let starter = Box::new(program);
        Self { number: 0, folder, address, link, socket: None, more: Vec::new(), starter, daemon: None }
    }

    /// The settings of its daemon.
    pub(crate) fn settings(&self) -> Vec<String> {
        let folder = self.folder.to_str().unwrap();
        let address = self.address.to_string();
        let words = ["--listen", &address, "--cluster-listen", &self.link, "--state-dir", folder];
        words.into_iter().map(str::to_owned).chain(self.more.iter().cloned()).collect()
    }

    /// A command of operators, with this node's settings.
    pub(crate) fn tool(&self, words: &[&str]) -> Said {
        run((self.starter)().arg("cluster").args(words).args(self.settings()))
    }

    /// The same, which must be done.
    pub(crate) fn must(&self, words: &[&str]) -> String {
        let said = self.tool(words);
        assert_eq!(said.status, Some(0), "elockd cluster {words:?}: {}", said.err);
        said.out
    }

    /// Starts its daemon, and waits for nothing.
    pub(crate) fn spawn(&mut self) {
        let mut command = (self.starter)();
        command.args(self.settings());
        self.daemon = Some(Daemon::spawn(command, TempDir::new().unwrap()));
    }

    /// Starts its daemon, and waits until it serves.
    pub(crate) fn start(&mut self) {
        self.spawn();
        self.until_serves();
    }

    pub(crate) fn until_serves(&self) {
        self.until_says("1 pong\n");
    }

    /// Waits until this is all that it says to a client that asks whether it is there.
    pub(crate) fn until_says(&self, words: &str) {
        let what = format!("node {} to say {words:?}", self.number);
        poll(&what, LONG, || (self.first_words(b"ping\n") == words).then_some(()));
    }

    /// Whether it answers a client now.
    pub(crate) fn serves(&self) -> bool {
        self.first_words(b"ping\n") == "1 pong\n"
    }

    /// All that it says to a new connection that asks this.
    pub(crate) fn first_words(&self, request: &[u8]) -> String {
        let stream = match &self.socket {
            None => TcpStream::connect_timeout(&self.address, PATIENCE).map(Client::over),
            Some(socket) => UnixStream::connect(socket).map(Client::over),
        };
        let Ok(mut client) = stream else { return String::new() };
        // A refused connection may be closed before all is said.
        let _ = client.try_send(request);
        client.try_half_close();
        client.late()
    }

    pub(crate) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it runs")
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.as_ref().expect("it runs").log()
    }

    pub(crate) fn client(&self) -> Client {
        match &self.socket {
            None => Client::tcp(self.address),
            Some(socket) => Client::unix(socket),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.daemon.as_ref().expect("it runs").signal(signal);
    }

    /// Kills it without notice.
    pub(crate) fn kill(&mut self) {
        drop(self.daemon.take().expect("it runs").kill());
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(&mut self) {
        self.daemon().stop();
        self.daemon = None;
    }

    /// Waits for its end, which something else brings about.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let ended = self.daemon().wait();
        self.daemon = None;
        ended
    }

    /// `status --json`, if it answers.
    pub(crate) fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.tool(&["status", "--json"]).out).ok()
    }
}

/// Nodes by index; node `i + 1` of the cluster is at index `i` unless nodes were replaced.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    folder: TempDir,
}

impl Cluster {
    /// Nodes that are all voters, and serve.
    pub(crate) fn start(count: usize) -> Self {
        Self::with(count, |_, _| {})
    }

    /// The same, each node changed by the function before its first command.
    pub(crate) fn with(count: usize, change: impl Fn(usize, &mut Node)) -> Self {
        let mut cluster = Self { nodes: Vec::new(), folder: TempDir::new().unwrap() };
        for at in 0..count {
            let mut node = cluster.folder_for(&format!("n{at}"));
            change(at, &mut node);
            cluster.add(node);
        }
        cluster.until_whole();
        cluster
    }

    /// A node of no cluster yet.
    pub(crate) fn folder_for(&self, name: &str) -> Node {
        Node::new(self.folder.path().join(name))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Adds a node by the commands of the page, and returns its index. The first one founds the cluster.
    pub(crate) fn add(&mut self, mut node: Node) -> usize {
        if self.nodes.is_empty() {
            node.must(&["init"]);
            node.number = 1;
            node.start();
        } else {
            node.number = self.join(&node);
            node.start();
            self.done(&["promote", &node.number.to_string()]);
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Prepares a node's folder, and returns its number.
    pub(crate) fn join(&self, node: &Node) -> u16 {
        let joined = self.any(|member| {
            let said = node.tool(&["join", &member.link]);
            if said.status == Some(0) { Ok(said.out) } else { Err(said.err) }
        });
        let number = joined.split(" as node ").nth(1).and_then(|rest| rest.split(',').next());
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number in {joined:?}"))
    }

    /// Has a command of operators done at whichever member does it.
    pub(crate) fn done(&self, words: &[&str]) {
        self.any(|member| {
            let said = member.tool(words);
            if said.status == Some(0) { Ok(()) } else { Err(said.err) }
        });
    }

    fn any<T>(&self, ask: impl Fn(&Node) -> Result<T, String>) -> T {
        let start = Instant::now();
        let mut refused = Vec::new();
        while start.elapsed() < LONG {
            for member in self.nodes.iter().filter(|node| node.daemon.is_some()) {
                match ask(member) {
                    Ok(done) => return done,
                    Err(error) => refused.push(error),
                }
            }
        }
        panic!("not done: {refused:?}");
    }

    /// The index of the leader, once a running node knows one that runs.
    pub(crate) fn leader(&self) -> usize {
        poll("a leader", LONG, || {
            let running = self.nodes.iter().filter(|node| node.daemon.is_some());
            running.filter_map(Node::status).find_map(|status| {
                let leads = |node: &Node| status["leader"] == node.number && node.daemon.is_some();
                self.nodes.iter().position(leads)
            })
        })
    }

    /// The index of a node that does not lead.
    pub(crate) fn follower(&self) -> usize {
        let leader = self.leader();
        (0..self.nodes.len()).find(|at| *at != leader && self.nodes[*at].daemon.is_some()).unwrap()
    }

    /// Waits until all running nodes serve, and say that no member is missing.
    pub(crate) fn until_whole(&self) {
        for node in self.nodes.iter().filter(|node| node.daemon.is_some()) {
            poll("a whole cluster", LONG, || (node.tool(&["status"]).status == Some(0)).then_some(()));
            node.until_serves();
        }
    }
}

/// Asks again and again until the lock is free, and holds it then. Returns how long that took.
pub(crate) fn until_got(client: &mut Client, name: &str) -> Duration {
    let start = Instant::now();
    let got = format!("1 Lock Get Success: {name}");
    assert_eq!(client.ask(&format!("gw {} {name}", 20_000)), got, "after {:?}", start.elapsed());
    start.elapsed()
}

/// Gets a lock that is free.
pub(crate) fn get(client: &mut Client, name: &str) {
    assert_eq!(client.ask(&format!("g {name}")), format!("1 Lock Get Success: {name}"));
}
