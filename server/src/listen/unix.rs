//! Unix sockets: a path with a mode. No file is left behind.

use super::{BACKLOG, Listener, Peer};
use rustix::fs::Mode;
use rustix::process::umask;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// A Unix-socket listener. Dropping it removes the file, unless another file has taken its place.
#[derive(Debug)]
pub struct UnixListener {
    listener: tokio::net::UnixListener,
    path: PathBuf,
    /// Device and inode of the file that it made.
    identity: (u64, u64),
}

impl UnixListener {
    /// Listens at a path. A process that may write to the file by its mode may connect. A socket file that nobody
    /// listens on any more is replaced.
    ///
    /// # Errors
    ///
    /// Another process listens there already; the path is something else than a socket, which is left alone; or the
    /// system's error.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Between `bind` and `chmod` nobody else may connect, whatever the final mode is.
        let mask = umask(Mode::RWXG | Mode::RWXO);
        let bound = socket.bind(&SockAddr::unix(path)?);
        umask(mask);
        bound?;
        let metadata = fs::symlink_metadata(path)?;
        let identity = (metadata.dev(), metadata.ino());
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(socket.into())?;
        Ok(Self { listener, path: path.to_owned(), identity })
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(
                "cannot remove the socket file {}; the next start replaces it: {error}",
                self.path.display()
            );
        }
    }
}

impl fmt::Display for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix {}", self.path.display())
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _unnamed) = self.listener.accept().await?;
        Ok((stream, Peer::Unix))
    }
}

/// Removes a socket file that a daemon left behind because it did not end in order.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "the path exists and is not a socket; give another path, or move it away",
        ));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A process may listen and be too busy to accept. That is no reason to wait.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?).map_err(|error| (error.kind(), error)) {
        Ok(()) | Err((ErrorKind::WouldBlock, _)) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process listens there already; stop it, or give another path",
        )),
        Err((ErrorKind::ConnectionRefused, _)) => fs::remove_file(path),
        Err((_, error)) => Err(error),
    }
}
