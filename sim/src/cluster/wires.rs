//! Connections over the simulated network: of nodes to each other, and of clients to nodes. When a process is killed,
//! its connections end in one order, whatever order its runtime drops them in: a seed must decide everything.

use elockd_cluster::net::Net;
use elockd_server::listen::{Gone, Listener, Peer, Stream};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

/// A connection's end: its own address, and the peer's.
type WireEnd = (SocketAddr, SocketAddr);

/// All open connections.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeWires(Arc<Mutex<OpenWires>>);

#[derive(Debug, Default)]
struct OpenWires {
    ends: BTreeMap<WireEnd, TcpStream>,
    /// The host whose process is being killed.
    dying: Option<IpAddr>,
}

impl NodeWires {
    /// The process on a host is being killed.
    pub(super) fn set_dying(&self, host: Option<IpAddr>) {
        self.with(|wires| wires.dying = host);
    }

    fn with<R>(&self, act: impl FnOnce(&mut OpenWires) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, stream: TcpStream) -> io::Result<NodeWire> {
        let end = (stream.local_addr()?, stream.peer_addr()?);
        // An earlier one of the same addresses can only be one that nobody has any more.
        let earlier = self.with(|wires| wires.ends.insert(end, stream));
        assert!(earlier.is_none(), "two open connections have the addresses {end:?}");
        Ok(NodeWire { end, wires: self.clone(), ahead: VecDeque::new() })
    }

    /// Connects to `HOST:PORT`.
    pub(super) async fn dial(&self, address: &str) -> io::Result<NodeWire> {
        self.add(TcpStream::connect(address).await?)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct NodeWire {
    end: WireEnd,
    wires: NodeWires,
    /// What has arrived and is not read: the kernel knows of an end behind it.
    ahead: VecDeque<u8>,
}

impl NodeWire {
    /// Its own address.
    pub(super) fn address(&self) -> SocketAddr {
        self.end.0
    }

    fn with<R>(&self, act: impl FnOnce(Pin<&mut TcpStream>) -> R) -> Option<R> {
        // It is missing if its process is being killed.
        self.wires.with(|wires| wires.ends.get_mut(&self.end).map(|stream| act(Pin::new(stream))))
    }

    fn poll_arrival(&self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, into)).unwrap_or(Poll::Pending)
    }
}

impl Drop for NodeWire {
    fn drop(&mut self) {
        let here = self.end.0.ip();
        let dropped: Vec<TcpStream> = self.wires.with(|wires| {
            if wires.dying == Some(here) {
                // The first one ends all others with it.
                wires
                    .ends
                    .extract_if(.., |(local, _), _| local.ip() == here)
                    .map(|(_, stream)| stream)
                    .collect()
            } else {
                wires.ends.remove(&self.end).into_iter().collect()
            }
        });
        dropped.into_iter().for_each(drop);
    }
}

impl AsyncRead for NodeWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return self.poll_arrival(cx, into);
        }
        let bytes = into.remaining().min(self.ahead.len());
        self.ahead.drain(..bytes).for_each(|byte| into.put_slice(&[byte]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for NodeWire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes)).unwrap_or(Poll::Pending)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx)).unwrap_or(Poll::Pending)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx)).unwrap_or(Poll::Pending)
    }
}

impl Stream for NodeWire {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        let mut room = [0; 1024];
        loop {
            let mut part = ReadBuf::new(&mut room);
            match ready!(self.poll_arrival(cx, &mut part)) {
                Ok(()) if part.filled().is_empty() => return Poll::Ready(Gone::Fin),
                Ok(()) => self.ahead.extend(part.filled()),
                Err(_) => return Poll::Ready(Gone::Error),
            }
        }
    }
}

/// Where a node accepts clients.
pub(super) struct ClientListener {
    pub(super) listener: TcpListener,
    pub(super) wires: NodeWires,
}

impl fmt::Display for ClientListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated network")
    }
}

impl Listener for ClientListener {
    type Stream = NodeWire;

    async fn accept(&mut self) -> io::Result<(NodeWire, Peer)> {
        let (stream, address) = self.listener.accept().await?;
        Ok((self.wires.add(stream)?, Peer::Ip(address)))
    }
}

/// The network between nodes.
#[derive(Clone, Debug)]
pub(super) struct SimNet(pub(super) NodeWires);

impl Net for SimNet {
    type Stream = NodeWire;
    type Accepted = NodeWire;
    type Listener = TcpListener;

    async fn connect(&self, address: &str) -> io::Result<NodeWire> {
        self.0.dial(address).await
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(NodeWire, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        Ok((self.0.add(stream)?, peer))
    }

    async fn begin(&self, accepted: NodeWire) -> io::Result<NodeWire> {
        Ok(accepted)
    }
}
