//! What a way into an SSH server can do. A third way is one more file with this trait, and its name in
//! [`SshBuilder::build`](crate::ssh::SshBuilder::build).

use crate::server::Server;
use crate::ssh::Forwarding;
use crate::ssh::secret::Attempt;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a way may take to say why a connection has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a way does not lead to a server at the other side.
pub(crate) fn out_of_reach(server: &Server) -> io::Error {
    let text = match server {
        // With the program of OpenSSH alone.
        Server::Unix(_) => "ssh reaches no Unix socket at the other side; --ssh-native does",
        Server::Ssh(_) => {
            "a daemon is reached through one SSH host; that one may have a jump host in ~/.ssh/config"
        }
        _ => "SSH encrypts already: give the daemon's address without tls://",
    };
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// A future of a way.
pub(crate) type Opening<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// A way into an SSH server.
pub(crate) trait Way: fmt::Debug + Send + Sync {
    /// Opens a connection from the other side to a server there. It may come back before it is known whether that
    /// works. If the future is dropped, the attempt is over.
    fn open<'a>(&'a self, server: &'a Server, attempt: &'a Arc<Attempt>) -> Opening<'a, Opened>;

    /// Has the user's shell at the other side run a line. It may come back before it is known whether that works.
    fn exec<'a>(&'a self, line: &'a str, attempt: &'a Arc<Attempt>) -> Opening<'a, Exec>;

    /// Why an [`Exec`] never began, from what stands in its `errors`.
    fn explain<'a>(&'a self, said: &'a str, attempt: &'a Arc<Attempt>) -> Opening<'a, io::Error>;

    /// Listens here, and connects from the other side, until that breaks. Returns why. Tells when it listens.
    fn tunnel<'a>(
        &'a self,
        forwardings: &'a [Forwarding],
        attempt: &'a Arc<Attempt>,
        ready: oneshot::Sender<()>,
    ) -> Opening<'a, io::Error>;
}

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Tied(Option<JoinHandle<()>>);

impl Drop for Tied {
    fn drop(&mut self) {
        self.0.take().iter().for_each(JoinHandle::abort);
    }
}

/// Why a connection ends, as soon as that is known.
#[derive(Debug)]
pub(crate) struct Trouble {
    reason: oneshot::Receiver<io::Error>,
    task: Tied,
}

impl Trouble {
    pub(crate) fn new(reason: oneshot::Receiver<io::Error>, task: JoinHandle<()>) -> Self {
        Self { reason, task: Tied(Some(task)) }
    }
}

/// A connection that may not be one yet. Dropping it ends the attempt.
#[derive(Debug)]
pub(crate) struct Opened {
    stream: UnixStream,
    trouble: Option<Trouble>,
}

impl Opened {
    /// `trouble` is none if it is known to work.
    pub(crate) fn new(stream: UnixStream, trouble: Option<Trouble>) -> Self {
        Self { stream, trouble }
    }

    /// The connection, when the other end has given a proof that it is there. Else the reason why it is not.
    pub(crate) async fn proven<T>(
        self,
        proof: impl AsyncFnOnce(&mut UnixStream) -> io::Result<T>,
    ) -> io::Result<(UnixStream, T)> {
        let Self { mut stream, trouble } = self;
        let Some(mut trouble) = trouble else {
            let proven = proof(&mut stream).await?;
            return Ok((stream, proven));
        };
        // The reason comes a moment after the end of the connection.
        let proven = match proof(&mut stream).await {
            Ok(proven) => proven,
            Err(error) => {
                return Err(timeout(PATIENCE, &mut trouble.reason)
                    .await
                    .ok()
                    .and_then(Result::ok)
                    .unwrap_or(error));
            }
        };
        // It goes on by itself.
        trouble.task.0 = None;
        Ok((stream, proven))
    }
}

/// How a line ended at the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With this status.
    Code(u32),
    /// By this signal, as SSH names it.
    Signal(String),
    /// With 255, or the connection has failed: the way cannot tell.
    Unknown,
    /// The connection has ended before.
    Broken(String),
}

/// A line that runs at the other side. Dropping it ends the connection, but not what the line has started.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) input: UnixStream,
    pub(crate) output: UnixStream,
    pub(crate) errors: UnixStream,
    ended: oneshot::Receiver<io::Result<End>>,
    task: Tied,
}

impl Exec {
    pub(crate) fn new(
        input: UnixStream,
        output: UnixStream,
        errors: UnixStream,
        ended: oneshot::Receiver<io::Result<End>>,
        task: JoinHandle<()>,
    ) -> Self {
        Self { input, output, errors, ended, task: Tied(Some(task)) }
    }

    /// Its streams, and the future of its end.
    pub(crate) fn parts(self) -> (UnixStream, UnixStream, UnixStream, ExecEnd) {
        let Self { input, output, errors, ended, task } = self;
        (input, output, errors, ExecEnd { ended, _task: task })
    }
}

/// The end that is still to come.
#[derive(Debug)]
pub(crate) struct ExecEnd {
    ended: oneshot::Receiver<io::Result<End>>,
    _task: Tied,
}

impl ExecEnd {
    /// Waits for it. Nothing is lost if the future is dropped. It must not be asked for again afterwards.
    pub(crate) async fn wait(&mut self) -> End {
        match (&mut self.ended).await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => End::Broken(error.to_string()),
            Err(_) => End::Broken("the connection has ended".to_owned()),
        }
    }
}
