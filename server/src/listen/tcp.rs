//! TCP: addresses, and the socket options that find dead peers.

use super::{BACKLOG, Listener, Peer};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// The options of accepted sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// How long a peer may leave the kernel's probes unanswered, or sent bytes unacknowledged. Then its connection is
    /// ended. `None` leaves both to the kernel, which waits two hours. Between [`MIN_PEER_TIMEOUT`] and
    /// [`MAX_PEER_TIMEOUT`].
    pub peer_timeout: Option<Duration>,
}

/// The shortest: three steps of a second each, because the kernel counts in whole seconds.
pub const MIN_PEER_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest: a third of it must be at most 32,767 seconds, which is the kernel's limit.
pub const MAX_PEER_TIMEOUT: Duration = Duration::from_hours(24);

/// A TCP listener on one address.
#[derive(Debug)]
pub struct TcpListener {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
    options: TcpOptions,
}

impl TcpListener {
    /// Listens on an address. An IPv6 address, even the unspecified one, means IPv6 alone. So peers always show their
    /// real addresses, and `0.0.0.0` and `::` can be listened on side by side.
    ///
    /// # Errors
    ///
    /// The system's error: the address is in use, does not belong to this machine, or is not allowed.
    pub fn bind(address: SocketAddr, options: TcpOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // A restarted daemon must not wait for its predecessor's last connections to be forgotten.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(socket.into())?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, options })
    }

    /// The address that it listens on. If port 0 was given, this has the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Display for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp {}", self.address)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.listener.accept().await?;
        if let Err(error) = set_up(&stream, &self.options) {
            tracing::warn!(
                "cannot set the options of the connection from {address}; if its peer dies, its locks may be held \
                 for hours: {error}"
            );
        }
        Ok((stream, Peer::Ip(address)))
    }
}

fn set_up(stream: &TcpStream, options: &TcpOptions) -> io::Result<()> {
    // Replies are whole when they are written: holding them back for more would only delay them.
    stream.set_nodelay(true)?;
    let Some(timeout) = options.peer_timeout else { return Ok(()) };
    let socket = SockRef::from(stream);
    // The kernel counts these in whole seconds. The first probe comes after a third of the time, then one more. If
    // both are unanswered after another third, the time is up.
    let third = Duration::from_secs((timeout.as_secs() / 3).max(1));
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(third).with_interval(third).with_retries(PROBES))?;
    // Keepalive does not probe while sent bytes are unacknowledged. This option ends such connections.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(timeout))?;
    Ok(())
}

/// Unanswered probes that end a connection. The kernel gives up when the next one would be due.
const PROBES: u32 = 2;
