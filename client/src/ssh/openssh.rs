//! The way through the program of OpenSSH: a process for each connection. It honours `~/.ssh/config`, agents, jump
//! hosts and hardware keys, because it is `ssh`.
//!
//! The connection is a pair of Unix sockets: `ssh` has one end as its stdin and stdout. So it ends when `ssh` ends, and
//! `ssh` ends when nobody has the other end any more. A command that inherits that end keeps the lock, even if this
//! process is killed.

use crate::server::Server;
use crate::ssh::askpass::HelperSocket;
use crate::ssh::secret::{Attempt, SecretKind};
use crate::ssh::way::{End, Exec, Opened, Opening, Trouble, Way, out_of_reach};
use crate::ssh::{Forwarding, HostKeys, KEEPALIVE, KEEPALIVES, Setup};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, oneshot};

/// The most that is kept of what `ssh` says about its end.
const MOST_SAID: usize = 8 << 10;
/// The status of `ssh` if it failed itself.
const FAILED: i32 = 255;

/// Runs `ssh`.
#[derive(Debug)]
pub(crate) struct OpenSsh {
    setup: Setup,
    /// Whose passwords may be told, as `ssh` names them in its questions.
    accounts: OnceCell<Vec<String>>,
}

impl OpenSsh {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, accounts: OnceCell::new() }
    }

    /// The program with what all its uses have in common.
    fn command(&self) -> Command {
        let Setup { destination, host_keys, key, known_hosts, config, .. } = &self.setup;
        let mut command = Command::new("ssh");
        let mut option = |key: &str, value: &str| {
            command.args(["-o", &format!("{key}={value}")]);
        };
        // One wrong password is enough.
        option("NumberOfPasswordPrompts", "1");
        option("ServerAliveInterval", &KEEPALIVE.as_secs().to_string());
        option("ServerAliveCountMax", &KEEPALIVES.to_string());
        // A connection of another process is none that this one watches.
        option("ControlMaster", "no");
        option("ControlPath", "none");
        option("ForkAfterAuthentication", "no");
        option("LogLevel", "INFO");
        match host_keys {
            None => {}
            Some(HostKeys::Strict) => option("StrictHostKeyChecking", "yes"),
            Some(HostKeys::AcceptNew) => option("StrictHostKeyChecking", "accept-new"),
        }
        let with_path = |key: &str, path: &std::path::Path| {
            let mut word = OsString::from(format!("{key}="));
            word.push(path);
            word
        };
        if let Some(file) = known_hosts {
            command.arg("-o").arg(with_path("UserKnownHostsFile", file));
        }
        if let Some(file) = key {
            command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(file);
        }
        if let Some(file) = config {
            command.arg("-F").arg(file);
        }
        if let Some(user) = destination.user() {
            command.args(["-l", user]);
        }
        if let Some(port) = destination.port() {
            command.args(["-p", &port.to_string()]);
        }
        // Signals of a terminal are not for it: the lock is held as long as the command that gets them runs.
        command.process_group(0).kill_on_drop(true);
        command
    }

    /// Starts it, and watches it in a task. `shell` is what the other side is to run.
    fn start(
        &self,
        mut command: Command,
        shell: Option<&str>,
        attempt: &Arc<Attempt>,
    ) -> io::Result<Started> {
        let socket = if attempt.may_ask() { HelperSocket::bind()? } else { None };
        match &socket {
            Some(socket) => socket.equip(&mut command),
            // It must not ask on a terminal that may be somebody else's by then.
            None => {
                command.args(["-o", "BatchMode=yes"]);
            }
        }
        command.arg("--").arg(self.setup.destination.host()).args(shell);
        let child = command.spawn().map_err(|error| self.cannot_start(&error))?;
        Ok(Started { child, socket })
    }

    fn cannot_start(&self, error: &io::Error) -> io::Error {
        let to = &self.setup.destination;
        let text = match error.kind() {
            ErrorKind::NotFound => format!("there is no program ssh for {to}; without it, use --ssh-native"),
            _ => format!("cannot run ssh for {to}: {error}"),
        };
        io::Error::new(error.kind(), text)
    }

    /// What `ssh` makes of the destination by its configuration: whose password it will ask for.
    async fn accounts(&self) -> &[String] {
        let found = self.accounts.get_or_init(async || {
            let mut command = self.command();
            command.arg("-G").arg("--").arg(self.setup.destination.host());
            command.stdin(Stdio::null()).stderr(Stdio::null());
            match command.output().await {
                Ok(output) => accounts_in(&String::from_utf8_lossy(&output.stdout)),
                Err(_) => Vec::new(),
            }
        });
        found.await
    }

    /// Waits for its end, and answers its questions meanwhile.
    async fn watch(&self, started: &mut Started, attempt: &Attempt) -> io::Result<ExitStatus> {
        let Started { child, socket } = started;
        let Some(socket) = socket else { return child.wait().await };
        tokio::select! {
            biased;
            status = child.wait() => status,
            never = self.serve(socket, attempt) => match never {},
        }
    }

    /// Answers what may be answered.
    async fn serve(&self, socket: &HelperSocket, attempt: &Attempt) -> Infallible {
        loop {
            let asked = socket.asked().await;
            let Some(kind) = wanted(&asked.question, self.accounts().await) else { continue };
            if let Ok(secret) = attempt.tell(kind, &asked.question).await {
                asked.answer(&secret).await;
            }
        }
    }

    /// Why it ended, from what it said.
    async fn reason(&self, status: ExitStatus, said: &str, attempt: &Attempt) -> io::Error {
        let to = &self.setup.destination;
        let (kind, text) = explained(said);
        let more = if kind == ErrorKind::PermissionDenied { attempt.refused().await } else { None };
        let more = more.map(|more| format!("; no secret was given, because {more}")).unwrap_or_default();
        let text = if text.is_empty() { format!("ssh ended with {status}") } else { text };
        io::Error::new(kind, format!("{to}: {text}{more}"))
    }
}

/// A process and who answers its questions.
#[derive(Debug)]
struct Started {
    child: Child,
    socket: Option<HelperSocket>,
}

impl Way for Arc<OpenSsh> {
    fn open<'a>(&'a self, server: &'a Server, attempt: &'a Arc<Attempt>) -> Opening<'a, Opened> {
        Box::pin(async move {
            let (host, port) = match server {
                Server::Tcp { host, port } => (host, port),
                other => return Err(out_of_reach(other)),
            };
            let target =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            let mut command = self.command();
            // What it says of itself must not get into the connection.
            command.args(["-T", "-o", "PermitLocalCommand=no", "-W", &target]);
            let (near, far) = pair()?;
            command.stdin(Stdio::from(far.try_clone()?)).stdout(Stdio::from(far)).stderr(Stdio::piped());
            let mut started = self.start(command, None, attempt)?;
            let (tell, told) = oneshot::channel();
            let (way, attempt) = (Arc::clone(self), Arc::clone(attempt));
            let task = tokio::spawn(async move {
                let stderr = started.child.stderr.take();
                let watched = async { way.watch(&mut started, &attempt).await };
                let (status, said) = tokio::join!(watched, read_end(stderr));
                // Nobody may want to know any more.
                let _ = tell.send(match status {
                    Ok(status) => way.reason(status, &said, &attempt).await,
                    Err(error) => error,
                });
            });
            Ok(Opened::new(near, Some(Trouble::new(told, task))))
        })
    }

    fn exec<'a>(&'a self, line: &'a str, attempt: &'a Arc<Attempt>) -> Opening<'a, Exec> {
        Box::pin(async move {
            let mut command = self.command();
            command.args(["-T", "-o", "PermitLocalCommand=no", "-o", "ClearAllForwardings=yes"]);
            command.args(["-o", "RemoteCommand=none"]);
            let ((input, stdin), (output, stdout), (errors, stderr)) = (pair()?, pair()?, pair()?);
            command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
            let mut started = self.start(command, Some(line), attempt)?;
            let (tell, told) = oneshot::channel();
            let (way, attempt) = (Arc::clone(self), Arc::clone(attempt));
            let task = tokio::spawn(async move {
                let status = way.watch(&mut started, &attempt).await;
                // Nobody may want to know any more.
                let _ = tell.send(status.map(|status| match status.code() {
                    Some(FAILED) => End::Unknown,
                    Some(code) => End::Code(u32::try_from(code).unwrap_or(u32::MAX)),
                    None => End::Broken(format!("ssh ended with {status}")),
                }));
            });
            Ok(Exec::new(input, output, errors, told, task))
        })
    }

    fn explain<'a>(&'a self, said: &'a str, attempt: &'a Arc<Attempt>) -> Opening<'a, io::Error> {
        Box::pin(async move {
            let status = std::os::unix::process::ExitStatusExt::from_raw(FAILED << 8);
            Ok(self.reason(status, said, attempt).await)
        })
    }

    fn tunnel<'a>(
        &'a self,
        forwardings: &'a [Forwarding],
        attempt: &'a Arc<Attempt>,
        ready: oneshot::Sender<()>,
    ) -> Opening<'a, io::Error> {
        Box::pin(async move {
            let mut command = self.command();
            command.args(["-N", "-T", "-o", "ExitOnForwardFailure=yes"]);
            // It is run when all ports are open, and tells so.
            command.args(["-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo"]);
            for forwarding in forwardings {
                command.args(["-L", &forwarding.to_string()]);
            }
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut started = self.start(command, None, attempt)?;
            let stdout = started.child.stdout.take();
            let stderr = started.child.stderr.take();
            let telling = async {
                let Some(stdout) = stdout else { return };
                let mut line = String::new();
                let read = BufReader::new(stdout).read_line(&mut line).await;
                if read.is_ok_and(|bytes| bytes > 0) {
                    let _ = ready.send(());
                }
            };
            let watched = async { self.watch(&mut started, attempt).await };
            let (status, said, ()) = tokio::join!(watched, read_end(stderr), telling);
            Ok(self.reason(status?, &said, attempt).await)
        })
    }
}

/// Two ends of a connection: one for this process, one for `ssh`.
fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (near, far) = Pair::pair()?;
    near.set_nonblocking(true)?;
    Ok((UnixStream::from_std(near)?, far.into()))
}

/// Reads to the end, and returns the last part of it.
async fn read_end(stream: Option<impl AsyncReadExt + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut said = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(bytes @ 1..) = stream.read(&mut piece).await {
        said.extend_from_slice(&piece[..bytes]);
        let too_many = said.len().saturating_sub(MOST_SAID);
        said.drain(..too_many);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// The accounts in the output of `ssh -G`, as they stand in the question for a password.
fn accounts_in(output: &str) -> Vec<String> {
    let value = |key: &str| {
        output
            .lines()
            .find_map(|line| line.split_once(' ').filter(|(first, _)| *first == key))
            .map(|(_, value)| value)
    };
    let Some(user) = value("user") else { return Vec::new() };
    [value("hostkeyalias"), value("hostname")]
        .into_iter()
        .flatten()
        .map(|host| format!("{user}@{host}"))
        .collect()
}

/// What a question asks for. `None` if it is not to be answered: another account's password, a new host key, anything
/// else.
fn wanted(question: &str, accounts: &[String]) -> Option<SecretKind> {
    if question.starts_with("Enter passphrase for ") {
        return Some(SecretKind::Passphrase);
    }
    // `(alice@host) Password: ` comes from the server, `alice@host's password: ` from ssh itself, which cuts it short.
    let asks = accounts.iter().any(|account| {
        let by_server = question.strip_prefix(&format!("({account}) "));
        let by_ssh = account.split_once('@').and_then(|(user, host)| {
            let short = format!("{}@{}", first(user, 30), first(host, 128));
            question.strip_prefix(&short).filter(|rest| rest.starts_with("'s password: "))
        });
        by_ssh.is_some() || by_server.is_some_and(|rest| rest.to_ascii_lowercase().contains("password"))
    });
    asks.then_some(SecretKind::Password)
}

fn first(text: &str, most: usize) -> &str {
    text.get(..most).unwrap_or(text)
}

/// The kind of a failure and its reason, from what `ssh` said.
fn explained(said: &str) -> (ErrorKind, String) {
    if said.contains("IDENTIFICATION HAS CHANGED") {
        let text = "the host key is another one than known_hosts has: somebody may be listening";
        return (ErrorKind::InvalidData, text.to_owned());
    }
    if said.contains("Host key verification failed") {
        let text = "the host key is not known; add it to known_hosts, or accept new ones \
                    (--ssh-host-key accept-new)";
        return (ErrorKind::InvalidData, text.to_owned());
    }
    let is_told = |line: &&str| {
        !line.is_empty()
            && !line.starts_with("Warning: Permanently added")
            && !line.contains("stdio forwarding failed")
    };
    let lines: Vec<&str> = said.lines().map(str::trim).filter(is_told).collect();
    // The last ones say why. What comes before may be a banner.
    let text = lines[lines.len().saturating_sub(2)..].join("; ");
    let kind = if said.contains("Permission denied") || said.contains("Too many authentication failures") {
        ErrorKind::PermissionDenied
    } else if said.contains("open failed: ") {
        ErrorKind::ConnectionRefused
    } else {
        ErrorKind::ConnectionAborted
    };
    (kind, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_destinations_password_and_passphrases_are_told() {
        let accounts = accounts_in("host gw\nuser alice\nhostname gw.example\nport 22\n");
        assert_eq!(accounts, ["alice@gw.example"]);
        for (question, kind) in [
            ("alice@gw.example's password: ", Some(SecretKind::Password)),
            ("(alice@gw.example) Password: ", Some(SecretKind::Password)),
            ("(alice@gw.example) Verification code: ", None),
            ("alice@jump.example's password: ", None),
            ("bob@gw.example's password: ", None),
            ("(alice@jump.example) Password: ", None),
            ("Password: ", None),
            ("Enter passphrase for key '/home/alice/.ssh/id_ed25519': ", Some(SecretKind::Passphrase)),
            ("(alice@gw.example) Enter passphrase for key '/x': ", None),
            ("Enter PIN for ED25519-SK key /x: ", None),
            ("The authenticity of host 'gw.example' can't be established.\nAre you sure (yes/no)? ", None),
            ("", None),
        ] {
            assert_eq!(wanted(question, &accounts), kind, "{question}");
            assert!(question.starts_with("Enter passphrase") || wanted(question, &[]).is_none());
        }
        let alias = accounts_in("user alice\nhostname 10.0.0.7\nhostkeyalias gw\n");
        assert_eq!(alias, ["alice@gw", "alice@10.0.0.7"]);
        let long = format!("{}@{}", "u".repeat(40), "h".repeat(200));
        let question = format!("{}@{}'s password: ", "u".repeat(30), "h".repeat(128));
        assert_eq!(wanted(&question, &[long]), Some(SecretKind::Password));
    }

    #[test]
    fn a_failure_is_told_in_its_own_words() {
        for (said, kind, text) in [
            (
                "Warning: x\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n",
                ErrorKind::InvalidData,
                "another one",
            ),
            (
                "No ED25519 host key is known.\nHost key verification failed.\n",
                ErrorKind::InvalidData,
                "not known",
            ),
            (
                "a@h: Permission denied (publickey).\r\n",
                ErrorKind::PermissionDenied,
                "a@h: Permission denied (publickey).",
            ),
            (
                "channel 0: open failed: administratively prohibited: open failed\nstdio forwarding failed\n",
                ErrorKind::ConnectionRefused,
                "channel 0: open failed: administratively prohibited: open failed",
            ),
            ("Warning: Permanently added 'h' to the list.\n", ErrorKind::ConnectionAborted, ""),
        ] {
            let told = explained(said);
            assert!(told.0 == kind && told.1.contains(text), "{told:?}");
        }
    }
}
