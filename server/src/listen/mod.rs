//! Listeners: where connections come from. One file for one kind; the server takes any.

mod acceptor;
mod admin;
mod tcp;
mod unix;

pub use acceptor::Acceptor;
pub use admin::AdminListener;
pub use tcp::{MAX_PEER_TIMEOUT, MIN_PEER_TIMEOUT, TcpListener, TcpOptions};
pub use unix::UnixListener;

use elockd_core::Account;
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
    /// Somebody on this machine, through the administrative socket, and who that is where the system tells.
    Operator(Option<Credentials>),
}

impl Peer {
    /// Whom the connection's locks are counted for, and so what it may do.
    pub(crate) fn account(self) -> Account {
        match self {
            Self::Ip(_) | Self::Unix => Account::default(),
            Self::Operator(_) => Account::ADMIN,
        }
    }
}

/// Who opened a Unix socket, as the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Number of the user.
    pub user: u32,
    /// Number of the process, where the system tells.
    pub process: Option<i32>,
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, process } = self;
        match process {
            Some(process) => write!(f, "user {user}, process {process}"),
            None => write!(f, "user {user}"),
        }
    }
}

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
