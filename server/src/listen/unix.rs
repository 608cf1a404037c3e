//! Unix sockets: a path with a mode. The socket's file is not left behind.
//!
//! At most one daemon has a path. To look whether somebody listens there and to act on it are two steps, and the file
//! of a socket cannot be locked. So a file beside it is locked before the first step, for as long as the daemon has the
//! path. It stays when the daemon ends.

use super::{BACKLOG, Listener, Peer};
use rustix::fs::OFlags;
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// A Unix-socket listener. Dropping it removes the socket's file, unless another file has taken its place.
#[derive(Debug)]
pub struct UnixListener {
    // Dropped first: while the file is there, somebody listens, so nobody takes the file for one that was left behind.
    file: SocketFile,
    listener: tokio::net::UnixListener,
}

impl UnixListener {
    /// Listens at a path. A process that may write to the file by its mode may connect. A socket file that nobody
    /// listens on any more is replaced. The path with `.lock` at its end is locked meanwhile.
    ///
    /// # Errors
    ///
    /// Another process has the path or listens there already; the path is something else than a socket, which is left
    /// alone; or the system's error.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        let claim = Claim::take(path)?;
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Nobody can connect before it listens, and by then the file has its mode. So the umask, which is the whole
        // process's, stays as it is.
        socket.bind(&SockAddr::unix(path)?)?;
        let metadata = fs::symlink_metadata(path)?;
        let identity = (metadata.dev(), metadata.ino());
        let file = SocketFile { path: path.to_owned(), identity, _claim: claim };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(socket.into())?;
        Ok(Self { file, listener })
    }
}

/// The file of a socket. Dropping it removes the file, and then gives up the path.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode of the file that `bind` made.
    identity: (u64, u64),
    _claim: Claim,
}

impl Drop for SocketFile {
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

/// The right to a path among daemons: the lock of the file beside it.
#[derive(Debug)]
struct Claim(File);

impl Claim {
    /// Takes the right to a path.
    ///
    /// # Errors
    ///
    /// Another daemon has it, or the system's error.
    fn take(path: &Path) -> io::Result<Self> {
        let lock = beside(path);
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot lock {}: {error}", lock.display()))
        };
        loop {
            let file = open_lock(&lock).map_err(named)?;
            let metadata = file.metadata().map_err(named)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        ErrorKind::AddrInUse,
                        format!(
                            "another daemon has locked {}; stop it, or give another path",
                            lock.display()
                        ),
                    ));
                }
                Err(TryLockError::Error(error)) => return Err(named(error)),
            }
            match fs::symlink_metadata(&lock) {
                Ok(now) if (now.dev(), now.ino()) == (metadata.dev(), metadata.ino()) => {
                    return Ok(Self(file));
                }
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(named(error)),
                // Somebody has removed it meanwhile, so others would lock another file.
                _ => {}
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A child of this process may have the file open a moment longer, so closing is not enough. If this fails,
        // closing it is all there is.
        let _ = self.0.unlock();
    }
}

/// The path of the lock beside a path.
fn beside(path: &Path) -> PathBuf {
    let mut lock = OsString::from(path);
    lock.push(".lock");
    lock.into()
}

/// Opens or makes a file to be locked. It is the owner's alone, because whoever can read a file can lock it. A link is
/// not followed, and nothing is waited for.
fn open_lock(path: &Path) -> io::Result<File> {
    // To open some devices is to do something.
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "it exists and is not a file"));
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
}

impl fmt::Display for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix {}", self.file.path.display())
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _unnamed) = self.listener.accept().await?;
        Ok((stream, Peer::Unix))
    }
}

/// Removes a socket file that a daemon left behind because it did not end in order. The path must be claimed.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Goal: a listener changes nothing that is the whole process's. Method: many are made at once, and a file that is
    /// made afterwards has the mode of one that was made before.
    #[test]
    fn the_umask_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mode_of = |name: &str| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.metadata().unwrap().permissions().mode()
        };
        let before = mode_of("before");
        thread::scope(|scope| {
            for number in 0..8 {
                let path = folder.path().join(format!("socket-{number}"));
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
                    let _within = runtime.enter();
                    for _ in 0..200 {
                        let listener = UnixListener::bind(&path, 0o600).unwrap();
                        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
                        drop(listener);
                    }
                });
            }
        });
        assert_eq!(mode_of("after"), before);
    }
}
