//! The connections of locks, in a form that a command can inherit. A command that has inherited the connection of its
//! lock keeps it open, so the lock is held as long as the command lives, even if elock is killed.

use elockd_client::{Net, NetStream, Server, Transport};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Connects as [`Net`] does, and knows the descriptors of what is open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inheritable(Arc<Mutex<Open>>);

/// A second descriptor for each open connection, by its number.
#[derive(Debug, Default)]
struct Open {
    last: u64,
    descriptors: BTreeMap<u64, OwnedFd>,
}

impl Inheritable {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Descriptors of all connections that are open now, for a command to inherit.
    pub(crate) fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.open().descriptors.values().map(OwnedFd::try_clone).collect()
    }
}

impl Transport for Inheritable {
    type Stream = InheritableStream;

    async fn connect(&self, server: &Server) -> io::Result<InheritableStream> {
        let stream = Net.connect(server).await?;
        let descriptor = stream.as_fd().try_clone_to_owned()?;
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        open.descriptors.insert(number, descriptor);
        drop(open);
        Ok(InheritableStream { stream, number, inheritable: self.clone() })
    }
}

/// A connection that is inheritable as long as it is open here.
#[derive(Debug)]
pub(crate) struct InheritableStream {
    stream: NetStream,
    number: u64,
    inheritable: Inheritable,
}

impl Drop for InheritableStream {
    fn drop(&mut self) {
        // The second descriptor would keep it open.
        self.inheritable.open().descriptors.remove(&self.number);
    }
}

impl AsyncRead for InheritableStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, into)
    }
}

impl AsyncWrite for InheritableStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;

    /// Goal: a connection that is dropped ends, and one that a command has inherited does not. Method: the other end
    /// looks for the end.
    #[tokio::test]
    async fn a_connection_is_open_as_long_as_somebody_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let inheritable = Inheritable::default();
        let near = inheritable.connect(&Server::Unix(path)).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let inherited = inheritable.descriptors().unwrap();
        assert_eq!(inherited.len(), 1);
        drop(near);
        assert!(inheritable.descriptors().unwrap().is_empty());
        let error = far.try_read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(inherited);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }
}
