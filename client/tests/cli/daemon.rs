//! The server in this process, on TCP, on a Unix socket and on an administrative socket, and clients that know nothing
//! but lines.

use crate::poll;
use elockd_server::listen::{AdminListener, TcpListener, TcpOptions, UnixListener};
use elockd_server::{Config, Server};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A server in a thread of its own.
pub(crate) struct Daemon {
    address: SocketAddr,
    folder: TempDir,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_owned();
        let (stop, stopped) = oneshot::channel();
        let (tell_address, address) = mpsc::channel();
        let mut config = Config::default();
        "1.2.3".clone_into(&mut config.machine.identity.version);
        change(&mut config);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::new(config);
                let options = TcpOptions { peer_timeout: None };
                let tcp = TcpListener::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
                let address = tcp.address();
                server.listen(tcp);
                server.listen(UnixListener::bind(&path.join("elockd.sock"), 0o600).unwrap());
                server.listen(AdminListener::bind(&path.join("admin.sock"), 0o600).unwrap());
                // Whoever has the address finds the sockets, too.
                tell_address.send(address).unwrap();
                server.run(async { stopped.await.unwrap() }).await;
            });
        });
        let address = address.recv().unwrap();
        Self { address, folder, running: Some((stop, thread)) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("elockd.sock")
    }

    /// The program, told where the sockets for clients are, and not that for operators.
    pub(crate) fn elock_of_client(&self, words: &[&str]) -> Command {
        let mut command = self.elock(words);
        command.env_remove("ELOCK_ADMIN");
        command
    }

    /// The program, told where this daemon is, and nothing by the environment of the test.
    pub(crate) fn elock(&self, words: &[&str]) -> Command {
        let mut command = elock(words);
        command.env("ELOCK_SERVER", self.address.to_string());
        command.env("ELOCK_ADMIN", self.folder.path().join("admin.sock"));
        command.env("XDG_RUNTIME_DIR", self.folder.path());
        command
    }

    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        Client { reader: BufReader::new(stream) }
    }

    /// Stops it in order, before this is dropped.
    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.send(()).unwrap();
            thread.join().unwrap();
        }
    }

    /// Waits until somebody holds an exclusive lock, or nobody.
    pub(crate) fn until(&self, name: &str, is_held: bool) {
        let mut client = self.client();
        poll(&format!("{name} to be held: {is_held}"), || {
            let said = client.ask(format!("i {name}"));
            (said.starts_with('1') == is_held).then_some(())
        });
    }

    /// Waits until so many wait for an exclusive lock.
    pub(crate) fn until_waiters(&self, name: &str, count: usize) {
        let mut client = self.client();
        poll(&format!("{count} to wait for {name}"), || {
            let rows = client.ask_rows(&format!("ls {name}"));
            (rows.iter().filter(|row| row.starts_with("xw ")).count() == count).then_some(())
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The program without a daemon.
pub(crate) fn elock(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elock"));
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("ELOCK")) {
        command.env_remove(key);
    }
    // A folder without a configuration file.
    command.env("XDG_CONFIG_HOME", "/proc/self/fdinfo").env_remove("NO_COLOR").env("SHELL", "/bin/sh");
    command.args(words);
    command
}

/// A connection that speaks lines.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn send(&mut self, line: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(&[line.as_ref(), b"\n"].concat()).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned()
    }

    pub(crate) fn ask(&mut self, line: impl AsRef<[u8]>) -> String {
        self.send(line);
        self.line()
    }

    pub(crate) fn ask_rows(&mut self, line: &str) -> Vec<String> {
        self.send(line);
        std::iter::from_fn(|| Some(self.line()).filter(|row| !row.is_empty())).collect()
    }

    /// Gets an exclusive lock.
    pub(crate) fn get(&mut self, name: impl AsRef<[u8]>) {
        let said = self.ask([b"g ", name.as_ref()].concat());
        assert!(said.starts_with("1 Lock Get Success"), "{said}");
    }
}
