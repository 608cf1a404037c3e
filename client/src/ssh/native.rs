//! The way in this process, with russh: it needs no program, and reads no configuration of OpenSSH.
//!
//! All connections to one destination share one login. It ends with this process: a command that inherits the
//! connection of its lock inherits one end of a pair of sockets, and the other end is here.

use crate::server::Server;
use crate::ssh::known_hosts::{self, KnownKeys, Verdict};
use crate::ssh::secret::{Attempt, Secret, SecretKind};
use crate::ssh::way::{End, Exec, Opened, Opening, Way, out_of_reach};
use crate::ssh::{Forwarding, HostKeys, KEEPALIVE, KEEPALIVES, Setup};
use crate::transport::tcp;
use russh::client::{
    AuthResult, Config, Handle, Handler, KeyboardInteractiveAuthResponse, Msg, connect_stream,
};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{
    Algorithm, EcdsaCurve, Error as KeyError, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
    PublicKeyOrCertificate, decode_secret_key,
};
use russh::{
    Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Error, MethodKind, MethodSet,
};
use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Quick, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinSet;

/// The port of SSH if none is given.
const PORT: u16 = 22;
/// The most keys that are tried. Most servers allow six attempts.
const MOST_KEYS: usize = 5;
/// How often a server may ask further questions.
const MOST_QUESTIONS: usize = 10;
/// Bytes that are read at once.
const PIECE: usize = 32 << 10;

/// Speaks SSH itself.
#[derive(Debug)]
pub(crate) struct Native {
    setup: Setup,
    /// The login that is in use. While a connection is being opened with it, it is not here: if that hangs, the next
    /// one logs in anew.
    login: Mutex<Option<Arc<Login>>>,
}

/// A login.
struct Login {
    handle: Handle<Guardian>,
    /// Closed when the connection has ended.
    ended: watch::Receiver<()>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Native {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, login: Mutex::new(None) }
    }

    /// Opens a channel with the login that is there, or with a new one.
    async fn channel(&self, end: FarEnd<'_>, attempt: &Attempt) -> io::Result<(Channel<Msg>, Arc<Login>)> {
        let mut kept = self.login.lock().await;
        if let Some(login) = kept.take().filter(|login| !login.handle.is_closed())
            && let Ok(channel) = end.open(&login.handle).await
        {
            *kept = Some(Arc::clone(&login));
            return Ok((channel, login));
        }
        let login = Arc::new(self.log_in(attempt).await?);
        let channel = end.open(&login.handle).await.map_err(|error| self.failure(&error))?;
        *kept = Some(Arc::clone(&login));
        Ok((channel, login))
    }

    fn failure(&self, error: &Error) -> io::Error {
        let (kind, text) = match error {
            Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                (ErrorKind::PermissionDenied, "the SSH server does not allow it".to_owned())
            }
            Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => {
                (ErrorKind::ConnectionRefused, "the SSH server cannot connect to it".to_owned())
            }
            error => (ErrorKind::ConnectionAborted, error.to_string()),
        };
        self.told(kind, text)
    }

    fn told(&self, kind: ErrorKind, text: impl Display) -> io::Error {
        io::Error::new(kind, format!("{}: {text}", self.setup.destination))
    }

    async fn log_in(&self, attempt: &Attempt) -> io::Result<Login> {
        let Setup { destination, .. } = &self.setup;
        let (host, port) = (destination.host(), destination.port().unwrap_or(PORT));
        let user = match destination.user() {
            Some(user) => user.to_owned(),
            None => ["USER", "LOGNAME"]
                .into_iter()
                .find_map(|key| std::env::var(key).ok().filter(|user| !user.is_empty()))
                .ok_or_else(|| self.told(ErrorKind::InvalidInput, "as whom? write USER@HOST"))?,
        };
        let files = match &self.setup.known_hosts {
            Some(file) => vec![file.clone()],
            None => known_hosts::default_files(),
        };
        let known = KnownKeys::read(&files, host, port)?;
        let config = config(&known);
        let stream = tcp(host, port).await.map_err(|error| self.told(error.kind(), error))?;
        let objection = Arc::new(Quick::new(None));
        let (alive, ended) = watch::channel(());
        let guardian = Guardian {
            known,
            learns: if self.setup.host_keys == Some(HostKeys::AcceptNew) {
                self.setup.known_hosts.clone().or_else(known_hosts::of_user)
            } else {
                None
            },
            host: host.to_owned(),
            port,
            objection: Arc::clone(&objection),
            _alive: alive,
        };
        let objected = |error: &Error| {
            let text = objection.lock().unwrap_or_else(PoisonError::into_inner).take();
            match text {
                Some(text) => self.told(ErrorKind::InvalidData, text),
                None => self.failure(error),
            }
        };
        let connecting = connect_stream(Arc::new(config), stream, guardian);
        let mut handle = connecting.await.map_err(|error| objected(&error))?;
        self.authenticate(&mut handle, &user, attempt).await?;
        Ok(Login { handle, ended })
    }

    /// Keys first, then the password, as far as the server takes them.
    async fn authenticate(
        &self,
        handle: &mut Handle<Guardian>,
        user: &str,
        attempt: &Attempt,
    ) -> io::Result<()> {
        let broken = |error: Error| self.failure(&error);
        // Some servers let this user in without anything. The others say what they take.
        let Some(mut left) = left_of(handle.authenticate_none(user).await.map_err(broken)?) else {
            return Ok(());
        };
        let offered = left.clone();
        if has(&left, MethodKind::PublicKey) {
            left = match self.with_keys(handle, user, attempt, left).await? {
                Some(left) => left,
                None => return Ok(()),
            };
        }
        if has(&left, MethodKind::KeyboardInteractive) && attempt.may_ask() {
            left = match self.with_questions(handle, user, attempt).await? {
                Some(left) => left,
                None => return Ok(()),
            };
        }
        if has(&left, MethodKind::Password)
            && attempt.may_ask()
            && let Ok(secret) = attempt.tell(SecretKind::Password, &self.question(user)).await
        {
            let tried = handle.authenticate_password(user, secret.text()?).await.map_err(broken)?;
            if left_of(tried).is_none() {
                return Ok(());
            }
        }
        let more = attempt.refused().await;
        let more = more.map(|more| format!("; no secret was given, because {more}")).unwrap_or_default();
        let offered: Vec<&str> = offered.iter().map(<&str>::from).collect();
        let text = format!("Permission denied ({}){more}", offered.join(","));
        Err(self.told(ErrorKind::PermissionDenied, text))
    }

    fn question(&self, user: &str) -> String {
        format!("{user}@{}'s password: ", self.setup.destination.host())
    }

    /// `None` if a key has opened the door, else what the server takes now.
    async fn with_keys(
        &self,
        handle: &mut Handle<Guardian>,
        user: &str,
        attempt: &Attempt,
        mut left: MethodSet,
    ) -> io::Result<Option<MethodSet>> {
        let broken = |error: Error| self.failure(&error);
        let mut tried = 0;
        if self.setup.key.is_none()
            && let Ok(mut agent) = AgentClient::connect_env().await
        {
            let identities = agent.request_identities().await.unwrap_or_default();
            let keys = identities.into_iter().filter_map(|identity| match identity {
                AgentIdentity::PublicKey { key, .. } => Some(key),
                AgentIdentity::Certificate { .. } => None,
            });
            for key in keys.take(MOST_KEYS) {
                tried += 1;
                let hash = match key.algorithm() {
                    Algorithm::Rsa { .. } => {
                        handle.best_supported_rsa_hash().await.map_err(broken)?.flatten()
                    }
                    _ => None,
                };
                // An agent may refuse to use a key.
                if let Ok(result) = handle.authenticate_publickey_with(user, key, hash, &mut agent).await {
                    match left_of(result) {
                        None => return Ok(None),
                        Some(now) => left = now,
                    }
                }
            }
        }
        let files = match &self.setup.key {
            Some(file) => vec![file.clone()],
            None => default_keys(),
        };
        for file in files.iter().take(MOST_KEYS.saturating_sub(tried)) {
            if !has(&left, MethodKind::PublicKey) {
                break;
            }
            let key = match read_key(file, attempt).await {
                Ok(key) => key,
                // One that was not named may be for another host.
                Err(_) if self.setup.key.is_none() => continue,
                Err(error) => return Err(self.told(error.kind(), error)),
            };
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
            match left_of(handle.authenticate_publickey(user, key).await.map_err(broken)?) {
                None => return Ok(None),
                Some(now) => left = now,
            }
        }
        Ok(Some(left))
    }

    /// Answers a server that asks for the password in its own words, and nothing else that it asks.
    async fn with_questions(
        &self,
        handle: &mut Handle<Guardian>,
        user: &str,
        attempt: &Attempt,
    ) -> io::Result<Option<MethodSet>> {
        let broken = |error: Error| self.failure(&error);
        let mut said = handle.authenticate_keyboard_interactive_start(user, None).await.map_err(broken)?;
        for _ in 0..MOST_QUESTIONS {
            let prompts = match said {
                KeyboardInteractiveAuthResponse::Success => return Ok(None),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. } => {
                    return Ok(Some(remaining_methods));
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let mut answers = Vec::new();
            for prompt in prompts {
                let is_for_password = !prompt.echo && prompt.prompt.to_ascii_lowercase().contains("password");
                let secret = if is_for_password {
                    attempt.tell(SecretKind::Password, &self.question(user)).await.ok()
                } else {
                    None
                };
                answers.push(secret.as_ref().map(Secret::text).transpose()?.unwrap_or_default().to_owned());
            }
            said = handle.authenticate_keyboard_interactive_respond(answers).await.map_err(broken)?;
        }
        Err(self.told(ErrorKind::PermissionDenied, "the SSH server asks too many questions"))
    }
}

/// Where a channel ends.
#[derive(Clone, Copy, Debug)]
enum FarEnd<'a> {
    Tcp { host: &'a str, port: u16 },
    Unix(&'a Path),
    Command,
}

impl FarEnd<'_> {
    async fn open(self, handle: &Handle<Guardian>) -> Result<Channel<Msg>, Error> {
        match self {
            Self::Tcp { host, port } => {
                handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0).await
            }
            Self::Unix(path) => handle.channel_open_direct_streamlocal(path.to_string_lossy()).await,
            Self::Command => handle.channel_open_session().await,
        }
    }
}

fn has(methods: &MethodSet, method: MethodKind) -> bool {
    methods.contains(&method)
}

/// What the server takes after a failure. `None` if it was none.
fn left_of(result: AuthResult) -> Option<MethodSet> {
    match result {
        AuthResult::Success => None,
        AuthResult::Failure { remaining_methods, .. } => Some(remaining_methods),
    }
}

/// The keys that OpenSSH tries if it is told none, as far as they can be used here.
fn default_keys() -> Vec<PathBuf> {
    let folder = std::env::home_dir().map(|home| home.join(".ssh"));
    let keys = folder.map(|folder| ["id_ed25519", "id_ecdsa"].map(|name| folder.join(name)));
    keys.into_iter().flatten().filter(|file| file.exists()).collect()
}

async fn read_key(file: &Path, attempt: &Attempt) -> io::Result<PrivateKey> {
    let told = |error: &dyn Display| {
        let text = format!("cannot use the key {}: {error}", file.display());
        io::Error::new(ErrorKind::InvalidInput, text)
    };
    let text = Secret::new(std::fs::read(file).map_err(|error| told(&error))?);
    match decoded(text.clone(), None).await? {
        Err(KeyError::KeyIsEncrypted) => {
            let question = format!("Enter passphrase for key '{}': ", file.display());
            let passphrase = attempt.tell(SecretKind::Passphrase, &question).await;
            let passphrase = passphrase.map_err(|error| told(&error))?;
            if let Ok(key) = decoded(text, Some(passphrase)).await? {
                return Ok(key);
            }
            attempt.refused().await;
            Err(told(&"the passphrase is wrong"))
        }
        Ok(key) if key.algorithm().is_rsa() => Err(told(&NO_RSA)),
        Ok(key) => Ok(key),
        Err(KeyError::UnsupportedKeyType { .. }) => Err(told(&NO_RSA)),
        Err(error) => Err(told(&error)),
    }
}

const NO_RSA: &str = "RSA keys are used through an agent, or without --ssh-native";

/// Deciphering a key takes a while, on purpose.
async fn decoded(text: Secret, passphrase: Option<Secret>) -> io::Result<Result<PrivateKey, KeyError>> {
    let decoding = tokio::task::spawn_blocking(move || {
        let passphrase = passphrase.as_ref().map(Secret::text).transpose()?;
        Ok(decode_secret_key(text.text()?, passphrase))
    });
    decoding.await.map_err(io::Error::other)?
}

/// How to speak with a host. The kinds of host keys that are known come first; those of RSA are not among them, because
/// nothing here can check them.
fn config(known: &KnownKeys) -> Config {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let mut kinds = vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
    ];
    kinds.sort_by_key(|kind| !known.has(kind));
    Config {
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        preferred: russh::Preferred { key: Cow::Owned(kinds), ..russh::Preferred::DEFAULT },
        ..Config::default()
    }
}

/// Looks at the host's key. It lives as long as the connection.
struct Guardian {
    known: KnownKeys,
    /// Where new keys are added, if they are accepted.
    learns: Option<PathBuf>,
    host: String,
    port: u16,
    /// What is wrong with the host's key.
    objection: Arc<Quick<Option<String>>>,
    _alive: watch::Sender<()>,
}

impl Guardian {
    fn judge(&self, key: &PublicKey) -> Result<(), String> {
        let shown = || key.fingerprint(russh::keys::HashAlg::Sha256);
        match (self.known.verdict(key), &self.learns) {
            (Verdict::Known, _) => Ok(()),
            (Verdict::New, Some(file)) => known_hosts::learn(file, &self.host, self.port, key)
                .map_err(|error| format!("cannot add the host key to {}: {error}", file.display())),
            (Verdict::New, None) => Err(format!(
                "the host key is not known ({}); add it to known_hosts, or accept new ones \
                 (--ssh-host-key accept-new)",
                shown()
            )),
            (Verdict::Changed, _) => Err(format!(
                "the host key is another one than known_hosts has: somebody may be listening ({})",
                shown()
            )),
            (Verdict::Revoked, _) => Err("known_hosts says that the host key is revoked".to_owned()),
        }
    }
}

impl Handler for Guardian {
    type Error = Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let judged = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.judge(key),
            PublicKeyOrCertificate::Certificate(_) => Err("the host has a certificate and no key".to_owned()),
        };
        let is_good = judged.is_ok();
        *self.objection.lock().unwrap_or_else(PoisonError::into_inner) = judged.err();
        Ok(is_good)
    }
}

impl Way for Arc<Native> {
    fn open<'a>(&'a self, server: &'a Server, attempt: &'a Arc<Attempt>) -> Opening<'a, Opened> {
        Box::pin(async move {
            let end = match server {
                Server::Tcp { host, port } => FarEnd::Tcp { host, port: *port },
                Server::Unix(path) => FarEnd::Unix(path),
                other => return Err(out_of_reach(other)),
            };
            let (channel, login) = self.channel(end, attempt).await?;
            let (near, far) = UnixStream::pair()?;
            tokio::spawn(pump(channel, far, login));
            Ok(Opened::new(near, None))
        })
    }

    fn exec<'a>(&'a self, line: &'a str, attempt: &'a Arc<Attempt>) -> Opening<'a, Exec> {
        Box::pin(async move {
            let (channel, login) = self.channel(FarEnd::Command, attempt).await?;
            channel.exec(true, line).await.map_err(|error| self.failure(&error))?;
            let ((input, stdin), (output, stdout), (errors, stderr)) =
                (UnixStream::pair()?, UnixStream::pair()?, UnixStream::pair()?);
            let (tell, told) = oneshot::channel();
            let (read, write) = channel.split();
            let task = tokio::spawn(async move {
                // It is fed until it has ended.
                let end = tokio::select! {
                    end = hear(read, stdout, stderr) => end,
                    never = feed(stdin, write) => never,
                };
                let _ = tell.send(Ok(end));
                drop(login);
            });
            Ok(Exec::new(input, output, errors, told, task))
        })
    }

    fn explain<'a>(&'a self, said: &'a str, _: &'a Arc<Attempt>) -> Opening<'a, io::Error> {
        let text = if said.trim().is_empty() { "it does not run commands" } else { said.trim() };
        Box::pin(async move { Ok(self.told(ErrorKind::ConnectionAborted, text)) })
    }

    fn tunnel<'a>(
        &'a self,
        forwardings: &'a [Forwarding],
        attempt: &'a Arc<Attempt>,
        ready: oneshot::Sender<()>,
    ) -> Opening<'a, io::Error> {
        Box::pin(async move {
            let login = Arc::new(self.log_in(attempt).await?);
            let mut ended = login.ended.clone();
            // They end when this ends.
            let mut tasks = JoinSet::new();
            for forwarding in forwardings {
                for address in tokio::net::lookup_host((forwarding.bind.as_str(), forwarding.port)).await? {
                    let listener = TcpListener::bind(address).await.map_err(|error| {
                        self.told(error.kind(), format!("cannot listen on {address}: {error}"))
                    })?;
                    tasks.spawn(listen(listener, forwarding.clone(), Arc::clone(&login)));
                }
            }
            let _ = ready.send(());
            // Nothing is ever sent: it only ends.
            let _ = ended.changed().await;
            Ok(self.told(ErrorKind::ConnectionAborted, "the SSH connection has ended"))
        })
    }
}

/// Carries bytes both ways. The login lasts as long.
async fn pump(channel: Channel<Msg>, mut far: UnixStream, login: Arc<Login>) {
    let mut stream = channel.into_stream();
    // Whatever ends it, both ends are told when they are dropped.
    let _ = copy_bidirectional(&mut stream, &mut far).await;
    drop(login);
}

/// Takes connections here, and opens each at the other side.
async fn listen(listener: TcpListener, forwarding: Forwarding, login: Arc<Login>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((mut near, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (login, forwarding) = (Arc::clone(&login), forwarding.clone());
        connections.spawn(async move {
            // If it cannot be had, the connection here ends, and that says it.
            let end = FarEnd::Tcp { host: &forwarding.host, port: forwarding.host_port };
            if let Ok(channel) = end.open(&login.handle).await {
                let _ = copy_bidirectional(&mut channel.into_stream(), &mut near).await;
            }
        });
    }
}

/// Hands on what a line writes, and says how it ended.
async fn hear(mut read: ChannelReadHalf, stdout: UnixStream, stderr: UnixStream) -> End {
    let (mut stdout, mut stderr) = (Some(stdout), Some(stderr));
    let mut end = None;
    while let Some(message) = read.wait().await {
        match message {
            // If nobody reads it any more, the line goes on.
            ChannelMsg::Data { data } => write(&mut stdout, &data).await,
            ChannelMsg::ExtendedData { data, ext: 1 } => write(&mut stderr, &data).await,
            ChannelMsg::Eof => (stdout, stderr) = (None, None),
            ChannelMsg::ExitStatus { exit_status } => end = Some(End::Code(exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                end = Some(End::Signal(format!("{signal_name:?}")));
            }
            ChannelMsg::Failure => return End::Broken("the SSH server runs no commands".to_owned()),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    end.unwrap_or_else(|| End::Broken("the SSH connection has ended".to_owned()))
}

async fn write(to: &mut Option<UnixStream>, bytes: &[u8]) {
    if let Some(stream) = to
        && stream.write_all(bytes).await.is_err()
    {
        *to = None;
    }
}

/// Hands on what a line is to read.
async fn feed(mut stdin: UnixStream, write: ChannelWriteHalf<Msg>) -> ! {
    let mut piece = vec![0; PIECE];
    while let Ok(bytes @ 1..) = stdin.read(&mut piece).await {
        if write.data_bytes(piece[..bytes].to_vec()).await.is_err() {
            break;
        }
    }
    let _ = write.eof().await;
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no key of a host is taken that cannot be checked. Method: the kinds that are asked for.
    #[test]
    fn known_kinds_come_first_and_rsa_never() {
        let kinds = config(&KnownKeys::default()).preferred.key;
        assert!(
            kinds[0] == Algorithm::Ed25519 && !kinds.iter().any(|kind| kind.clone().is_rsa()),
            "{kinds:?}"
        );
    }
}
