//! Links over TCP, without TLS or beneath it.

use super::Net;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::task::JoinSet;

/// The most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 8;

/// TCP, as the system has it.
#[derive(Clone, Debug)]
pub struct Tcp {
    loopback_alone: bool,
}

impl Tcp {
    /// TCP without anything above it. It speaks with loopback addresses alone: whoever reaches a node's port owns the
    /// locks.
    #[must_use]
    pub const fn plain() -> Self {
        Self { loopback_alone: true }
    }

    /// TCP for [`Tls`](super::Tls), with any address.
    #[must_use]
    pub(super) const fn beneath() -> Self {
        Self { loopback_alone: false }
    }

    /// Listens at `HOST:PORT`.
    ///
    /// # Errors
    ///
    /// The system refuses it, or it is no loopback address and needs certificates.
    pub async fn listen(&self, address: &str) -> io::Result<LinkListener> {
        let mut last = None;
        for address in lookup_host(address).await? {
            self.check(address.ip())?;
            match TcpListener::bind(address).await {
                Ok(listener) => return Ok(LinkListener(listener)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| nowhere(address)))
    }

    fn check(&self, address: IpAddr) -> io::Result<()> {
        if self.loopback_alone && !address.to_canonical().is_loopback() {
            let reason = format!("{address} is no loopback address: links to others need certificates");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        Ok(())
    }
}

/// A listener for links.
#[derive(Debug)]
pub struct LinkListener(TcpListener);

impl LinkListener {
    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Net for Tcp {
    type Stream = TcpStream;
    type Accepted = TcpStream;
    type Listener = LinkListener;

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        // All at once: one of them may lead nowhere, and there is no time to wait for it.
        let mut tries = JoinSet::new();
        for address in lookup_host(address).await?.take(MOST_ADDRESSES) {
            self.check(address.ip())?;
            tries.spawn(TcpStream::connect(address));
        }
        let mut last = None;
        while let Some(tried) = tries.join_next().await {
            match tried.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| nowhere(address)))
    }

    async fn accept(&self, listener: &mut LinkListener) -> io::Result<(TcpStream, SocketAddr)> {
        listener.0.accept().await
    }

    async fn begin(&self, accepted: TcpStream) -> io::Result<TcpStream> {
        if self.loopback_alone {
            self.check(accepted.peer_addr()?.ip())?;
        }
        accepted.set_nodelay(true)?;
        Ok(accepted)
    }
}

fn nowhere(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name} has no address"))
}
