//! How a client reaches a daemon. [`Net`] uses sockets. A simulation brings a transport of its own.

use crate::server::Server;
use socket2::{SockRef, TcpKeepalive};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
#[cfg(feature = "tls")]
use tokio_rustls::client::TlsStream;

/// Opens streams to daemons. Everything else in this crate is the same for every transport.
pub trait Transport: Clone + Send + Sync + 'static {
    /// A stream to a daemon. Dropping it closes it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to a daemon. The caller sets a limit of time. If the future is dropped, the attempt is over.
    fn connect(&self, server: &Server) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// How long the kernel may go without a sign of the peer before it ends a TCP connection. It is the daemon's own
/// default (`--peer-timeout`). A wait for a lock relies on it, because a connection that waits is answered nothing
/// else.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one of several IP addresses of a host is tried, if another one is left.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// TCP, with or without TLS, and Unix sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Net;

impl Transport for Net {
    type Stream = NetStream;

    async fn connect(&self, server: &Server) -> io::Result<NetStream> {
        match server {
            Server::Tcp { host, port } => tcp(host, *port).await.map(NetStream::Tcp),
            #[cfg(feature = "tls")]
            Server::Tls(of) => of.connect().await.map(|stream| NetStream::Tls(Box::new(stream))),
            Server::Unix(path) => UnixStream::connect(path).await.map(NetStream::Unix),
            // One end of a pair of sockets. The other end is the way's.
            #[cfg(feature = "ssh")]
            Server::Ssh(behind) => behind.connect().await.map(NetStream::Unix),
        }
    }
}

/// Tries the addresses of a host, one after the other.
pub(crate) async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for (tried, address) in (1..).zip(&addresses) {
        let connecting = TcpStream::connect(address);
        let connected = if tried < addresses.len() {
            timeout(ADDRESS_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        } else {
            connecting.await
        };
        match connected {
            Ok(stream) => return set_up(&stream).map(|()| stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    // Requests are whole when they are written.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // The first probe comes after a third of the time. Two that are unanswered end the connection a third later each.
    let third = PEER_TIMEOUT / 3;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(third).with_interval(third).with_retries(2))?;
    // Keepalive does not probe while sent bytes are unacknowledged.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
    Ok(())
}

/// A socket to a daemon.
#[derive(Debug)]
pub enum NetStream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over TCP, with TLS. Its descriptor is that of the socket.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<TcpStream>>),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl AsFd for NetStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.get_ref().0.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for NetStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for NetStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
