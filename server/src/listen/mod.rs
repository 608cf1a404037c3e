//! Listeners: where connections come from. There is one file for each kind; the server takes any kind.

mod acceptor;
mod admin;
#[cfg(any(feature = "tls", feature = "web-socket"))]
mod beneath;
mod handshake;
#[cfg(feature = "proxy")]
mod proxy;
mod stream;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod unix;
#[cfg(feature = "web-socket")]
mod web_socket;

pub use acceptor::Acceptor;
pub use admin::AdminListener;
pub use handshake::{Handshake, HandshakeError, NoHandshake, Then};
#[cfg(feature = "proxy")]
pub use proxy::{Network, Proxy, ProxyError, ProxyHeader};
pub use stream::{Gone, Stream};
pub use tcp::{MAX_PEER_TIMEOUT, MIN_PEER_TIMEOUT, TcpListener, TcpOptions};
#[cfg(feature = "tls")]
pub use tls::{ClientAuth, Tls, TlsError, TlsFiles, TlsSetup, TlsStream};
pub use unix::UnixListener;
#[cfg(feature = "web-socket")]
pub use web_socket::{Origin, ParseOriginError, WebSocket, WebSocketUpgrade};

use elockd_core::Account;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A source of connections. It displays as the place where it listens.
pub trait Listener: fmt::Display + Send + 'static {
    /// What is accepted. It is served as it is, or after a [`Handshake`].
    type Stream: Stream;

    /// Waits for the next connection. Must be safe to cancel.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// The peer of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Ip(SocketAddr),
    /// A TCP peer with a certificate from an authority that the daemon trusts.
    Certified {
        /// Its address.
        address: SocketAddr,
        /// The names in its certificate: the alternative names, or the common name if there are none.
        names: Arc<[String]>,
    },
    /// A peer on this machine, through a Unix socket.
    Unix,
    /// An operator on this machine, through the administrative socket. The credentials are there if the system tells
    /// them.
    Operator(Option<Credentials>),
}

impl Peer {
    /// The account that the connection's locks are counted for. It decides what the connection may do.
    pub(crate) fn account(&self) -> Account {
        match self {
            Self::Ip(_) | Self::Certified { .. } | Self::Unix => Account::default(),
            Self::Operator(_) => Account::ADMIN,
        }
    }

    /// Its address, if it is a TCP peer.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) | Self::Certified { address, .. } => Some(*address),
            Self::Unix | Self::Operator(_) => None,
        }
    }
}

/// The user and the process that opened a Unix socket, according to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Number of the user.
    pub user: u32,
    /// Number of the process, if the system tells it.
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

/// Connections that may wait to be accepted. The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
