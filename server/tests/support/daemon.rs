//! The daemon as a process: started on free addresses, looked at through /proc, killed at the end.

use super::{Client, PATIENCE, Transport, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// The program under test.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_elockd"))
}

/// A running daemon, with a TCP listener on 127.0.0.1 and a Unix socket unless started otherwise.
pub(crate) struct Daemon {
    process: Guard,
    log: Log,
    dir: TempDir,
}

impl Daemon {
    /// Starts it with more flags than those for its two listeners.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_by(program(), flags)
    }

    /// The same by a command that becomes the program.
    pub(crate) fn start_by(mut command: Command, flags: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        command.args(["--listen", "127.0.0.1:0", "--unix"]).arg(socket_in(&dir)).args(flags);
        let daemon = Self::spawn(command, dir);
        daemon.tcp_address();
        daemon.log.wait_for("listening on unix");
        daemon
    }

    /// Starts exactly this, and waits for nothing.
    pub(crate) fn spawn(mut command: Command, dir: TempDir) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Guard::new(command.spawn().unwrap());
        let log = Log::follow(process.0.stderr.take().unwrap());
        Self { process, log, dir }
    }

    /// Its Unix socket, when it was told to have one there.
    pub(crate) fn socket_path(&self) -> PathBuf {
        socket_in(&self.dir)
    }

    pub(crate) fn tcp_address(&self) -> SocketAddr {
        self.address_of("tcp 127.0.0.1:")
    }

    /// The address of a listener, by how it begins in the log.
    pub(crate) fn address_of(&self, prefix: &str) -> SocketAddr {
        let line = self.log.wait_for(&format!("listening on {prefix}"));
        let address = line.split("listening on tcp ").nth(1).unwrap().split(&[' ', '"']).next().unwrap();
        address.parse().unwrap_or_else(|error| panic!("no address in {line:?}: {error}"))
    }

    pub(crate) fn tcp(&self) -> Client {
        Client::tcp(self.tcp_address())
    }

    pub(crate) fn unix(&self) -> Client {
        Client::unix(&self.socket_path())
    }

    pub(crate) fn connect(&self, transport: Transport) -> Client {
        match transport {
            Transport::Tcp => self.tcp(),
            Transport::Unix => self.unix(),
        }
    }

    /// Waits for a line of its log with this in it.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// Where it serves metrics.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        let line = self.log.wait_for("listening on http ");
        line.split("listening on http ").nth(1).unwrap().trim().parse().unwrap()
    }

    /// A folder of its own.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// All that it has written to stderr by now.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end. Its directory stays until the daemon is dropped.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        let status = self.process.wait(PATIENCE);
        self.log.end();
        (status, self.log())
    }

    /// Whether it has ended by now, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.0.try_wait().unwrap()
    }

    /// Stops it as an operator would.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.wait_for_success();
    }

    /// Waits for its end in order, which somebody else has asked for.
    pub(crate) fn wait_for_success(&mut self) {
        let (status, log) = self.wait();
        assert_eq!(status.code(), Some(0), "{log}");
    }

    /// Kills it, and gives back the directory with what is left of it.
    pub(crate) fn kill(mut self) -> TempDir {
        self.signal(Signal::KILL);
        self.process.wait(PATIENCE);
        self.dir
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// How many file descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// KiB in memory now.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// KiB in memory at the most since its start.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time used so far, in clock ticks, of which a second has 100.
    pub(crate) fn processor_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The second field, in parentheses, is the only one that may hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

fn socket_in(dir: &TempDir) -> PathBuf {
    Path::new(dir.path()).join("elockd.sock")
}

/// A child process that does not outlive its owner, also when a test panics.
pub(crate) struct Guard(pub(crate) Child);

impl Guard {
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        poll("the process to end", patience, || self.0.try_wait().unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of a daemon's stderr, collected by a thread so that it never blocks on a full pipe.
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    fn follow(stderr: ChildStderr) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        Self { lines, reader: Some(reader) }
    }

    /// The first line with this in it.
    fn wait_for(&self, text: &str) -> String {
        let find = || {
            let ended = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            let lines = self.lines.lock().unwrap();
            let found = lines.iter().find(|line| line.contains(text)).cloned();
            assert!(found.is_some() || !ended, "the daemon never said {text:?}, but:\n{}", lines.join("\n"));
            found
        };
        poll(&format!("the daemon to say {text:?}"), PATIENCE, find)
    }

    /// Collects the rest, after the process has ended.
    fn end(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic may have come while the lines were looked at.
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("the daemon wrote:\n{}", lines.join("\n"));
        }
    }
}
