//! What a kernel does and the simulated network does not: a window for bytes that a peer has not read yet, partial
//! reads and writes, and giving up a peer that cannot be reached.

use crate::log::{Event, Log};
use crate::plan::Network;
use elockd_server::listen::{Gone, Listener, Peer, Stream};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use turmoil::net::{TcpListener, TcpStream};

/// All connections of the server, by their addresses.
#[derive(Clone, Default)]
pub(super) struct Wires(Arc<Mutex<WireInner>>);

#[derive(Default)]
struct WireInner {
    wires: BTreeMap<SocketAddr, Wire>,
    /// Whether the server's process is being killed.
    is_killed: bool,
    /// Hosts that are cut off.
    cut: BTreeSet<IpAddr>,
}

/// One connection, as the server's kernel sees it.
#[derive(Default)]
struct Wire {
    stream: Option<TcpStream>,
    /// Bytes that may still be written.
    room: usize,
    /// Since when there has been no room for the bytes to be written.
    blocked_since_ms: Option<u32>,
    /// Whether the peer is cut off, for good.
    is_cut: bool,
    /// The task that waits for room, or for the end.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Wires {
    /// A client has read bytes, so there is room for as many more.
    pub(super) fn took(&self, addr: SocketAddr, bytes: usize) {
        self.with(|inner| {
            if let Some(wire) = inner.wires.get_mut(&addr) {
                wire.room += bytes;
                wire.wake();
            }
        });
    }

    /// A host's connections are cut off, for good.
    pub(super) fn cut(&self, ip: IpAddr) {
        self.with(|inner| {
            inner.cut.insert(ip);
            for (_, wire) in inner.wires.iter_mut().filter(|(addr, _)| addr.ip() == ip) {
                wire.is_cut = true;
                wire.wake();
            }
        });
    }

    /// New connections of a host are not cut off.
    pub(super) fn mend(&self, ip: IpAddr) {
        self.with(|inner| inner.cut.remove(&ip));
    }

    /// The server's process is being killed, or was. Its connections close in the order of their addresses. The
    /// runtime's own order of dropping tasks would depend on other runs in this process.
    pub(super) fn set_killed(&self, is_killed: bool) {
        self.with(|inner| inner.is_killed = is_killed);
    }

    /// The connection whose peer has taken nothing for longer than is allowed, if there is one.
    pub(super) fn blocked_since_before(&self, ms: u32) -> Option<(SocketAddr, u32)> {
        self.with(|inner| {
            let since = |(addr, wire): (&SocketAddr, &Wire)| Some((*addr, wire.blocked_since_ms?));
            inner.wires.iter().filter_map(since).find(|(_, since)| *since < ms)
        })
    }

    fn with<R>(&self, act: impl FnOnce(&mut WireInner) -> R) -> R {
        act(&mut self.0.lock().expect("nobody panics while holding the wires"))
    }
}

/// The production server's listener on the simulated network.
pub(super) struct SimListener {
    pub(super) listener: TcpListener,
    pub(super) is_for_operators: bool,
    pub(super) wires: Wires,
    pub(super) network: Network,
    pub(super) log: Log,
    /// The number of accepts so far.
    pub(super) accepts: u32,
}

impl fmt::Display for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated network")
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, Peer)> {
        self.accepts += 1;
        let every = self.network.accept_fails_every;
        if every > 0 && self.accepts.is_multiple_of(every) {
            return Err(io::Error::other("too many open files"));
        }
        let (stream, addr) = self.listener.accept().await?;
        self.wires.with(|inner| {
            let is_cut = inner.cut.contains(&addr.ip());
            let room = self.network.window_bytes as usize;
            inner.wires.insert(addr, Wire { stream: Some(stream), room, is_cut, ..Wire::default() });
        });
        let stream = SimStream {
            addr,
            wires: self.wires.clone(),
            log: self.log.clone(),
            scratch: vec![0; self.network.read_bytes as usize].into(),
            ahead: VecDeque::new(),
            peer_timeout: Duration::from_millis(self.network.peer_timeout_ms.into()),
            giving_up: None,
            noted: [false; 2],
        };
        if !self.is_for_operators {
            return Ok((stream, Peer::Ip(addr)));
        }
        // The server knows an operator's connection by a number, which it assigns at once.
        self.log.note(Event::OperatorAccepted(addr));
        Ok((stream, Peer::Operator(None)))
    }
}

/// The server's side of one connection.
pub(super) struct SimStream {
    addr: SocketAddr,
    wires: Wires,
    log: Log,
    scratch: Box<[u8]>,
    /// What has arrived, and the server has not read.
    ahead: VecDeque<u8>,
    peer_timeout: Duration,
    /// The kernel's timer, which runs once the peer is cut off.
    giving_up: Option<Pin<Box<Sleep>>>,
    /// Whether the log has the peer's FIN, and a failure.
    noted: [bool; 2],
}

impl SimStream {
    /// Ready when the peer has been cut off for as long as the kernel waits.
    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let addr = self.addr;
        let is_cut = self.wires.with(|inner| inner.wires.get(&addr).is_some_and(|wire| wire.is_cut));
        if !is_cut {
            return Poll::Pending;
        }
        let timeout = self.peer_timeout;
        ready!(self.giving_up.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        self.note_end(false);
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// Ready when the peer has reset the connection. A task that waits for room is told too.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        let peeked =
            self.with_stream(|mut stream| std::pin::pin!(stream.peek(&mut byte)).poll(cx).map_ok(|_| ()));
        match peeked {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Takes the next bytes off the network into the scratch. Ready with their number, which is 0 at the end.
    fn poll_arrival(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_given_up(cx) {
            return Poll::Ready(Err(error));
        }
        self.with_wire(|wire| wire.reader = Some(cx.waker().clone()));
        let most = self.scratch.len().min(most);
        let mut part = ReadBuf::new(&mut self.scratch[..most]);
        let arrived = self.wires.with(|inner| {
            let stream = inner.wires.get_mut(&self.addr).and_then(|wire| wire.stream.as_mut());
            Pin::new(stream.expect("an open connection has its stream")).poll_read(cx, &mut part)
        });
        let arrived = ready!(arrived).map(|()| part.filled().len());
        match arrived {
            Ok(0) => self.note_end(true),
            Ok(_) => {}
            Err(_) => self.note_end(false),
        }
        Poll::Ready(arrived)
    }

    fn note_end(&mut self, is_fin: bool) {
        if !std::mem::replace(&mut self.noted[usize::from(is_fin)], true) {
            self.log.note(Event::ReadEnd { addr: self.addr, is_fin });
        }
    }

    fn with_wire<R>(&self, act: impl FnOnce(&mut Wire) -> R) -> R {
        self.wires
            .with(|inner| act(inner.wires.get_mut(&self.addr).expect("an open connection has its wire")))
    }

    fn with_stream<R>(&self, act: impl FnOnce(Pin<&mut TcpStream>) -> R) -> R {
        self.with_wire(|wire| act(Pin::new(wire.stream.as_mut().expect("an open connection has its stream"))))
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let most = this.scratch.len().min(buffer.remaining());
        let bytes = if this.ahead.is_empty() {
            let bytes = ready!(this.poll_arrival(cx, most))?;
            buffer.put_slice(&this.scratch[..bytes]);
            bytes
        } else {
            let bytes = most.min(this.ahead.len());
            this.ahead.drain(..bytes).for_each(|byte| buffer.put_slice(&[byte]));
            bytes
        };
        if bytes > 0 {
            this.log.note(Event::ReadBytes { addr: this.addr, bytes });
        }
        Poll::Ready(Ok(()))
    }
}

/// A kernel knows of an end behind input that was not read. So what has arrived is kept here.
impl Stream for SimStream {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        loop {
            match ready!(self.poll_arrival(cx, usize::MAX)) {
                Ok(0) => return Poll::Ready(Gone::Fin),
                Ok(bytes) => self.ahead.extend(&self.scratch[..bytes]),
                Err(_) => return Poll::Ready(Gone::Error),
            }
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_given_up(cx) {
            return Poll::Ready(Err(error));
        }
        let now_ms = self.log.time_ms();
        let room = self.with_wire(|wire| {
            if wire.room == 0 {
                wire.blocked_since_ms.get_or_insert(now_ms);
                wire.writer = Some(cx.waker().clone());
            }
            wire.room
        });
        if room == 0 {
            ready!(self.poll_reset(cx));
            self.note_end(false);
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let most = room.min(bytes.len());
        let taken = match ready!(self.with_stream(|stream| stream.poll_write(cx, &bytes[..most]))) {
            Ok(taken) => taken,
            Err(error) => {
                self.note_end(false);
                return Poll::Ready(Err(error));
            }
        };
        self.with_wire(|wire| {
            wire.room -= taken;
            wire.blocked_since_ms = None;
        });
        self.log.note(Event::WroteBytes { addr: self.addr, bytes: taken });
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_shutdown(cx))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let dropped = self.wires.with(|inner| {
            if inner.is_killed {
                // The first failure ends all others with it.
                std::mem::take(&mut inner.wires)
            } else {
                inner.wires.remove_entry(&self.addr).into_iter().collect()
            }
        });
        for (addr, wire) in dropped {
            self.log.note(Event::Dropped { addr, blocked_since_ms: wire.blocked_since_ms });
        }
    }
}
