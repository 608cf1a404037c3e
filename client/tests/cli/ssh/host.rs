//! A real sshd on a port of this machine, with a user, keys and an agent made for one test. All of it is gone with the
//! test. It needs to be root, because only root can make a user.

use crate::daemon::Daemon;
use crate::{Guarded, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";
/// With what a shell would obey, and more than one word.
const PASSWORD: &str = "pa $s' w\"o`r\\d";
pub(crate) const PASSPHRASE: &str = "another one";

/// Makes users one at a time: each change locks the system's files.
static USERS: Mutex<()> = Mutex::new(());

/// The ways into it, as flags.
pub(crate) const WAYS: [&[&str]; 2] = [&[], &["--ssh-native"]];

/// The host.
pub(crate) struct Host {
    folder: TempDir,
    sshd: Guarded,
    port: u16,
    user: User,
}

/// A user of this machine.
struct User(String);

impl Host {
    /// `None` if there cannot be one here, after a word about it. In CI there must be one.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// Likewise, with more lines of configuration. What comes first counts.
    pub(crate) fn start_with(lines: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() || !nix::unistd::Uid::effective().is_root() {
            assert!(std::env::var_os("CI").is_none(), "there is no {SSHD}, or this is not root");
            eprintln!("SKIPPED: needs root and {SSHD}");
            return None;
        }
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Where sshd keeps its other half apart.
        fs::create_dir_all("/run/sshd").unwrap();
        let user = User::make(folder.path());
        let path = |name: &str| folder.path().join(name);
        for (name, kind, passphrase) in [
            ("host", "ed25519", ""),
            ("other_host", "ed25519", ""),
            ("key", "ed25519", ""),
            ("locked_key", "ed25519", PASSPHRASE),
            ("rsa_key", "rsa", ""),
            ("unknown_key", "ecdsa", ""),
        ] {
            make_key(&path(name), kind, passphrase);
        }
        let keys = ["key", "locked_key", "rsa_key"].map(|name| public(&path(name)));
        fs::write(path("authorized_keys"), keys.concat()).unwrap();
        fs::write(path("password"), format!("{}\n", user.password())).unwrap();
        fs::write(path("ssh_config"), "IdentitiesOnly yes\nIdentityFile none\n").unwrap();
        let settings = format!(
            "{lines}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             AuthorizedKeysFile {}\nKbdInteractiveAuthentication no\nPasswordAuthentication yes\n\
             PrintMotd no\nPrintLastLog no\nMaxStartups 100\nLogLevel INFO\nUseDNS no\n",
            path("host").display(),
            path("authorized_keys").display()
        );
        fs::write(path("sshd_config"), settings).unwrap();
        let (sshd, port) = start_sshd(folder.path());
        let host = Self { folder, sshd, port, user };
        host.know("host");
        Some(host)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn password(&self) -> String {
        self.user.password()
    }

    pub(crate) fn user(&self) -> &str {
        &self.user.0
    }

    pub(crate) fn destination(&self) -> String {
        format!("{}@127.0.0.1:{}", self.user.0, self.port)
    }

    /// Has this key, and no other, be the one that is known of it.
    pub(crate) fn know(&self, key: &str) {
        let line = format!("[127.0.0.1]:{} {}", self.port, public(&self.folder.path().join(key)));
        fs::write(self.path("known_hosts"), line).unwrap();
    }

    pub(crate) fn known(&self) -> String {
        fs::read_to_string(self.path("known_hosts")).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// The program, told where the daemon is and what there is to know of this host, but not how to log in.
    pub(crate) fn elock(&self, daemon: &Daemon, words: &[&str]) -> Command {
        let (known, config) = (self.path("known_hosts"), self.path("ssh_config"));
        let (command, rest) = words.split_first().unwrap();
        let flags = ["--ssh-known-hosts", &known, "--ssh-config", &config];
        let mut command = daemon.elock(&[&[*command], &flags[..], rest].concat());
        // Nothing of the user who runs the tests.
        command.env("HOME", self.folder.path()).env_remove("SSH_AUTH_SOCK").env_remove("DISPLAY");
        command.env("TMPDIR", self.folder.path());
        command
    }

    /// Sends a signal to all its sessions, and to nobody else. Returns how many processes they are.
    pub(crate) fn signal_sessions(&self, signal: Signal) -> usize {
        let sessions: Vec<_> = descendants(self.sshd.0.id())
            .into_iter()
            .filter(|process| {
                fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.starts_with("sshd"))
            })
            .collect();
        for session in &sessions {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(session.cast_signed()), signal);
        }
        sessions.len()
    }

    /// The command lines of what its user runs, beside the server's own processes and the guards of commands.
    pub(crate) fn commands(&self) -> Vec<String> {
        let read = |process: &u32, name: &str| {
            let bytes = fs::read(format!("/proc/{process}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let processes = self.user.processes();
        let others = processes.iter().filter(|process| !read(process, "comm").starts_with("sshd"));
        let lines = others.map(|process| read(process, "cmdline"));
        // A process that has ended has no line.
        lines.filter(|line| !line.is_empty() && !line.contains("unwatch")).collect()
    }

    /// How often somebody has tried to log in, and gave it up.
    pub(crate) fn attempts(&self) -> usize {
        self.log().matches("[preauth]").count()
    }

    /// How often somebody has logged in.
    pub(crate) fn logins(&self) -> usize {
        self.log().matches("Accepted ").count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Sessions that a test has stopped would never end.
        self.signal_sessions(Signal::SIGKILL);
    }
}

impl User {
    fn make(home: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let user = Self(format!("elock-{}-{number}", std::process::id()));
        let _one = USERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        remove_the_users_of_killed_tests();
        let home = home.to_str().unwrap();
        changed("useradd", &["-M", "-d", home, "-s", "/bin/sh", &user.0]);
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
        let line = format!("{}:{}\n", user.0, user.password());
        chpasswd.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        assert!(chpasswd.wait().unwrap().success());
        user
    }

    /// What runs as this user.
    fn processes(&self) -> Vec<u32> {
        let uid = nix::unistd::User::from_name(&self.0).unwrap().unwrap().uid.as_raw();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let theirs = processes.filter(|process| process.metadata().is_ok_and(|folder| folder.uid() == uid));
        theirs.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
    }

    /// No other test has it, so that it can be searched for.
    fn password(&self) -> String {
        format!("{PASSWORD}{}", self.0)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _one = USERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for process in self.processes() {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL);
        }
        changed("userdel", &["-f", &self.0]);
    }
}

fn remove_the_users_of_killed_tests() {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    for user in users.lines().filter_map(|line| line.split(':').next()) {
        let process = user.strip_prefix("elock-").and_then(|rest| rest.split_once('-'));
        if let Some((process, _)) = process
            && process.parse::<u32>().is_ok()
            && !Path::new("/proc").join(process).exists()
        {
            // Another test may do so at the same time.
            let _ = Command::new("userdel").args(["-f", user]).output();
        }
    }
}

/// Runs a program that changes the system's users. Another one may hold their lock.
fn changed(program: &str, words: &[&str]) {
    poll(program, || {
        let output = Command::new(program).args(words).output().unwrap();
        output.status.success().then_some(())
    });
}

fn make_key(path: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    let made = command.args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(path).status().unwrap();
    assert!(made.success());
}

/// The line of a key's other half.
fn public(path: &Path) -> String {
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

/// Starts it on a free port, which somebody else may take first.
fn start_sshd(folder: &Path) -> (Guarded, u16) {
    poll("sshd", || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(SSHD);
        command.args(["-D", "-e", "-p", &port.to_string(), "-f"]).arg(folder.join("sshd_config"));
        let mut sshd =
            Guarded(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        poll("sshd to listen", || {
            if sshd.0.try_wait().unwrap().is_some() {
                return Some(None);
            }
            let says_so = fs::read_to_string(folder.join("log")).unwrap().contains("Server listening");
            says_so.then_some(Some(()))
        })?;
        TcpStream::connect(("127.0.0.1", port)).ok()?;
        Some((sshd, port))
    })
}

/// All that a process has started, directly or not.
pub(crate) fn descendants(of: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        let children =
            fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        for child in children.split_whitespace().map(|word| word.parse().unwrap()) {
            found.push(child);
            parents.push(child);
        }
    }
    found
}

/// An agent with keys. It ends with the test.
pub(crate) struct Agent {
    _agent: Guarded,
    pub(crate) socket: PathBuf,
}

impl Agent {
    pub(crate) fn start(host: &Host, keys: &[&str]) -> Self {
        let socket = PathBuf::from(host.path("agent"));
        let _ = fs::remove_file(&socket);
        let mut command = Command::new("ssh-agent");
        let agent = Guarded(command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
        poll("the agent", || socket.exists().then_some(()));
        for key in keys {
            // The socket is there a moment before anybody listens.
            poll("ssh-add", || {
                let mut command = Command::new("ssh-add");
                command.arg("-q").arg(host.path(key)).env("SSH_AUTH_SOCK", &socket);
                command.output().unwrap().status.success().then_some(())
            });
        }
        Self { _agent: agent, socket }
    }
}
