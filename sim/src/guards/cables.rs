//! Connections over the simulated network, of both ends alike, and what a kernel adds to them: a peer that cannot be
//! reached is given up. It is given up as early as a kernel may, because that is the worst for a guard.

use elockd_client::{Server as Address, Transport};
use elockd_server::listen::{Gone, Listener, Peer, Stream};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use turmoil::net::{TcpListener, TcpStream};

/// The daemon's `--peer-timeout`, and the library's.
pub(super) const PEER_TIMEOUT: Duration = elockd_client::PEER_TIMEOUT;
/// A kernel probes a peer that says nothing. So the last sign of an idle peer is at most this old.
const PROBES: Duration = Duration::from_secs(5);

/// A connection's end: its own address, and the peer's.
type CableEnd = (SocketAddr, SocketAddr);

/// A link that drops messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// In both directions.
    Off,
    /// What the client sends.
    Mute,
    /// What the daemon sends.
    Unheard,
}

/// All open connections.
#[derive(Clone, Default)]
pub(super) struct Cables(Arc<Mutex<CablesInner>>);

#[derive(Default)]
struct CablesInner {
    ends: BTreeMap<CableEnd, Cable>,
    /// Clients' hosts whose links drop messages.
    cut: BTreeMap<IpAddr, (Duration, Cut)>,
    /// The host whose process is being killed.
    dying: Option<IpAddr>,
}

struct Cable {
    stream: TcpStream,
    /// Since when it is broken, and whether this end still hears the peer.
    broken: Option<(Duration, bool)>,
    /// Whether it has ended, by a router that forgot it and says so to both ends.
    is_reset: bool,
    /// Whether the link is whole again. Nothing is sent twice, so what was broken then carries nothing any more.
    is_dead: bool,
    waker: Option<Waker>,
}

impl Cables {
    fn with<R>(&self, act: impl FnOnce(&mut CablesInner) -> R) -> R {
        act(&mut self.0.lock().expect("nobody panics while holding the cables"))
    }

    /// A client's host is cut off from now on.
    pub(super) fn cut(&self, host: IpAddr, now: Duration, how: Cut) {
        self.with(|inner| {
            inner.cut.insert(host, (now, how));
            for (end, cable) in &mut inner.ends {
                if let Some(hears) = hears(*end, host, how) {
                    cable.broken.get_or_insert((now, hears));
                    cable.waker.take().into_iter().for_each(Waker::wake);
                }
            }
        });
    }

    /// Every connection of a host ends now.
    pub(super) fn reset(&self, host: IpAddr) {
        self.with(|inner| {
            for ((here, peer), cable) in &mut inner.ends {
                if here.ip() == host || peer.ip() == host {
                    cable.is_reset = true;
                    cable.waker.take().into_iter().for_each(Waker::wake);
                }
            }
        });
    }

    /// New connections of a host are whole.
    pub(super) fn mend(&self, host: IpAddr) {
        self.with(|inner| {
            inner.cut.remove(&host);
            for ((here, peer), cable) in &mut inner.ends {
                cable.is_dead |= cable.broken.is_some() && (here.ip() == host || peer.ip() == host);
            }
        });
    }

    /// The process on a host is being killed. Its connections end in the order of their addresses. The runtime's own
    /// order depends on other runs of this process.
    pub(super) fn set_dying(&self, host: Option<IpAddr>) {
        self.with(|inner| inner.dying = host);
    }

    fn add(&self, stream: TcpStream) -> io::Result<CableStream> {
        let end = (stream.local_addr()?, stream.peer_addr()?);
        self.with(|inner| {
            let broken =
                inner.cut.iter().find_map(|(host, (since, how))| Some((*since, hears(end, *host, *how)?)));
            inner.ends.insert(end, Cable { stream, broken, is_reset: false, is_dead: false, waker: None });
        });
        Ok(CableStream { end, cables: self.clone(), heard: now(), ahead: VecDeque::new(), giving_up: None })
    }
}

/// Whether an end hears its peer when this host of a client is cut off. `None` if the end has nothing to do with it.
fn hears((here, peer): CableEnd, host: IpAddr, how: Cut) -> Option<bool> {
    if here.ip() == host {
        Some(how == Cut::Mute)
    } else {
        (peer.ip() == host).then_some(how == Cut::Unheard)
    }
}

/// The time of the simulation.
pub(super) fn now() -> Duration {
    turmoil::sim_elapsed().expect("this runs on a simulated host")
}

/// The library's way to the daemon.
#[derive(Clone)]
pub(super) struct Dialer(pub(super) Cables);

impl Transport for Dialer {
    type Stream = CableStream;

    async fn connect(&self, server: &Address) -> io::Result<CableStream> {
        match server {
            Address::Tcp { host, port } => self.0.add(TcpStream::connect((host.as_str(), *port)).await?),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// The daemon's listener.
pub(super) struct CableListener {
    pub(super) listener: TcpListener,
    pub(super) is_for_operators: bool,
    pub(super) cables: Cables,
}

impl fmt::Display for CableListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated network")
    }
}

impl Listener for CableListener {
    type Stream = CableStream;

    async fn accept(&mut self) -> io::Result<(CableStream, Peer)> {
        let (stream, addr) = self.listener.accept().await?;
        let peer = if self.is_for_operators { Peer::Operator(None) } else { Peer::Ip(addr) };
        Ok((self.cables.add(stream)?, peer))
    }
}

/// One end of a connection.
pub(super) struct CableStream {
    end: CableEnd,
    cables: Cables,
    /// When the peer was last heard.
    heard: Duration,
    /// What has arrived and is not read.
    ahead: VecDeque<u8>,
    giving_up: Option<Pin<Box<Sleep>>>,
}

impl CableStream {
    fn with<R>(&self, act: impl FnOnce(&mut Cable) -> R) -> R {
        self.cables
            .with(|inner| act(inner.ends.get_mut(&self.end).expect("an open connection has its cable")))
    }

    /// Ready when the kernel gives up the peer, or was told to.
    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let (is_reset, broken) = self.with(|cable| {
            cable.waker = Some(cx.waker().clone());
            (cable.is_reset, cable.broken)
        });
        if is_reset {
            return Poll::Ready(io::ErrorKind::ConnectionReset.into());
        }
        let Some((since, hears)) = broken else { return Poll::Pending };
        // Who still hears the peer finds that what it sends is not acknowledged.
        let sign = if hears { since } else { self.heard.max(since.saturating_sub(PROBES)) };
        let left = (sign + PEER_TIMEOUT).saturating_sub(now());
        ready!(self.giving_up.get_or_insert_with(|| Box::pin(sleep(left))).as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn poll_arrival(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_given_up(cx) {
            return Poll::Ready(Err(error));
        }
        ready!(self.with(|cable| {
            if cable.is_dead { Poll::Pending } else { Pin::new(&mut cable.stream).poll_read(cx, into) }
        }))?;
        self.heard = now();
        self.giving_up = None;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for CableStream {
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

/// A kernel knows of an end behind input that was not read. So what has arrived is kept here.
impl Stream for CableStream {
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

impl AsyncWrite for CableStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|cable| {
            if cable.is_reset {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            } else if cable.is_dead {
                Poll::Ready(Ok(bytes.len()))
            } else {
                Pin::new(&mut cable.stream).poll_write(cx, bytes)
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|cable| Pin::new(&mut cable.stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|cable| Pin::new(&mut cable.stream).poll_shutdown(cx))
    }
}

impl Drop for CableStream {
    fn drop(&mut self) {
        let here = self.end.0.ip();
        let dropped: Vec<Cable> = self.cables.with(|inner| {
            if inner.dying == Some(here) {
                // The first one ends all others with it.
                inner
                    .ends
                    .extract_if(.., |(local, _), _| local.ip() == here)
                    .map(|(_, cable)| cable)
                    .collect()
            } else {
                inner.ends.remove(&self.end).into_iter().collect()
            }
        });
        dropped.into_iter().for_each(drop);
    }
}
