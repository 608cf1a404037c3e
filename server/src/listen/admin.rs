//! The administrative socket: a Unix socket whose connections may `kick` and `steal`. Every process that may open the
//! file is an operator. For the log, the system is asked for the user and the process of each.

use super::{Credentials, Listener, Peer, UnixListener};
use std::fmt;
use std::io;
use std::path::Path;
use tokio::net::UnixStream;

/// A listener for operators.
#[derive(Debug)]
pub struct AdminListener(UnixListener);

impl AdminListener {
    /// Listens at a path, as [`UnixListener::bind`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`UnixListener::bind`].
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        UnixListener::bind(path, mode).map(Self)
    }
}

impl fmt::Display for AdminListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for operators", self.0)
    }
}

impl Listener for AdminListener {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.0.accept().await?;
        // Without credentials it is an operator too: the file has let it in.
        let credentials = stream.peer_cred().ok().map(|of| Credentials { user: of.uid(), process: of.pid() });
        Ok((stream, Peer::Operator(credentials)))
    }
}
