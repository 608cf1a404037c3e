//! Listeners: where connections come from. One file for one kind; the server takes any.

mod acceptor;
mod tcp;
mod unix;

pub use acceptor::Acceptor;
pub use tcp::{MAX_PEER_TIMEOUT, MIN_PEER_TIMEOUT, TcpListener, TcpOptions};
pub use unix::UnixListener;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// A source of connections. What it displays as is where it listens.
pub trait Listener: fmt::Display + Send + 'static {
    /// A connection, ready to be served.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection. Must be safe to cancel.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// Who connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody at an address.
    Ip(SocketAddr),
    /// Somebody on this machine, through a Unix socket.
    Unix,
}

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
