//! A daemon in this process, and cables to it that can be cut and silenced. The clock is paused, so every moment is
//! exact.

use elockd_client::{Builder, Client, Server as Address, Transport};
use elockd_server::listen::{Listener, Peer};
use elockd_server::{Config, Server};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

/// Accepts what it is handed.
struct Handed(UnboundedReceiver<(DuplexStream, Peer)>);

impl fmt::Display for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Listener for Handed {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some(handed) => Ok(handed),
            None => std::future::pending().await,
        }
    }
}

/// A daemon and the cables to it.
#[derive(Clone)]
pub(crate) struct World {
    connect: UnboundedSender<(DuplexStream, Peer)>,
    cables: Arc<Mutex<Cables>>,
}

/// The condition of all cables of one transport.
#[derive(Default)]
struct Cables {
    opened: usize,
    /// Cables up to this one are reset.
    cut: usize,
    /// Whether the daemon notices that a cable was cut.
    is_cut_everywhere: bool,
    /// Whether nothing passes.
    is_silent: bool,
    /// Whether nobody listens.
    is_away: bool,
    wakers: Vec<Waker>,
    /// The ends of all cables that the daemon believes in.
    ends: Vec<End>,
}

/// A cable's end. The cable has it too, as long as the client has the cable.
type End = Arc<Mutex<Option<DuplexStream>>>;

impl World {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let (connect, handed) = unbounded_channel();
        let server = Server::new(config);
        server.listen(Handed(handed));
        tokio::spawn(server.run(std::future::pending()));
        Self { connect, cables: Arc::default() }
    }

    /// Other cables to the same daemon: another machine.
    pub(crate) fn elsewhere(&self) -> Self {
        Self { connect: self.connect.clone(), cables: Arc::default() }
    }

    pub(crate) fn builder(&self) -> Builder<Self> {
        Client::builder().seed(7).transport(self.clone())
    }

    pub(crate) fn client(&self) -> Client<Self> {
        self.builder().build().unwrap()
    }

    /// Somebody who speaks the protocol by hand.
    pub(crate) fn observer(&self) -> Observer {
        self.dial(Peer::Unix)
    }

    /// The same, on the administrative listener.
    pub(crate) fn operator(&self) -> Observer {
        self.dial(Peer::Operator(None))
    }

    fn dial(&self, peer: Peer) -> Observer {
        let (near, far) = duplex(4096);
        self.connect.send((far, peer)).unwrap();
        Observer { stream: near }
    }

    /// How many connections there have been.
    pub(crate) fn opened(&self) -> usize {
        self.cables.lock().unwrap().opened
    }

    /// Cuts all cables. The daemon notices it too, also of those that were given up while they were silent.
    pub(crate) fn cut(&self) {
        self.change(|cables| {
            // Those that the client has ended are ended by that.
            cables.ends.retain(|end| Arc::strong_count(end) > 1);
            cables.cut = cables.opened;
            cables.is_cut_everywhere = true;
        });
    }

    /// Cuts all cables. The daemon notices nothing.
    pub(crate) fn cut_here(&self) {
        self.change(|cables| {
            cables.cut = cables.opened;
            cables.is_cut_everywhere = false;
        });
    }

    /// Whether bytes and ends are held up on all cables.
    pub(crate) fn silence(&self, is_silent: bool) {
        self.change(|cables| cables.is_silent = is_silent);
    }

    /// Whether new connections are refused.
    pub(crate) fn away(&self, is_away: bool) {
        self.change(|cables| cables.is_away = is_away);
    }

    /// What the daemon's kernel does about peers that have been silent for 15 s.
    pub(crate) fn expire(&self, only_given_up: bool) {
        self.change(|cables| {
            for end in cables.ends.iter().filter(|end| !only_given_up || Arc::strong_count(end) == 1) {
                drop(end.lock().unwrap().take());
            }
            cables.ends.retain(|end| end.lock().unwrap().is_some());
        });
    }

    fn change(&self, change: impl FnOnce(&mut Cables)) {
        let mut cables = self.cables.lock().unwrap();
        change(&mut cables);
        cables.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Transport for World {
    type Stream = Cable;

    async fn connect(&self, _: &Address) -> io::Result<Cable> {
        let (near, far) = duplex(4096);
        let mut cables = self.cables.lock().unwrap();
        if cables.is_away {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        cables.opened += 1;
        self.connect.send((far, Peer::Unix)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        let end = Arc::new(Mutex::new(Some(near)));
        cables.ends.push(Arc::clone(&end));
        Ok(Cable { end, number: cables.opened, cables: Arc::clone(&self.cables) })
    }
}

/// A stream that can be cut and silenced.
pub(crate) struct Cable {
    end: End,
    number: usize,
    cables: Arc<Mutex<Cables>>,
}

impl Cable {
    /// Does something with the stream, if something passes.
    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        what: impl FnOnce(Pin<&mut DuplexStream>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let mut cables = self.cables.lock().unwrap();
        if self.number <= cables.cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        cables.wakers.push(cx.waker().clone());
        if cables.is_silent {
            return Poll::Pending;
        }
        match self.end.lock().unwrap().as_mut() {
            Some(stream) => what(Pin::new(stream), cx),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let mut cables = self.cables.lock().unwrap();
        let is_unnoticed = cables.is_silent || self.number <= cables.cut && !cables.is_cut_everywhere;
        if !is_unnoticed {
            drop(self.end.lock().unwrap().take());
            cables.ends.retain(|end| !Arc::ptr_eq(end, &self.end));
        }
    }
}

impl AsyncRead for Cable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |stream, cx| stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Cable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, AsyncWrite::poll_shutdown)
    }
}

/// Somebody who speaks the protocol by hand.
pub(crate) struct Observer {
    stream: DuplexStream,
}

impl Observer {
    /// The answer of one line.
    pub(crate) async fn ask(&mut self, request: &str) -> String {
        self.send(request).await;
        self.line().await
    }

    pub(crate) async fn send(&mut self, request: &str) {
        self.stream.write_all(format!("{request}\n").as_bytes()).await.unwrap();
    }

    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            match self.stream.read_u8().await.expect("a whole line") {
                b'\n' => return String::from_utf8(line).unwrap(),
                byte => line.push(byte),
            }
        }
    }

    /// The lines of an answer that an empty line ends.
    pub(crate) async fn lines(&mut self, request: &str) -> Vec<String> {
        self.send(request).await;
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                line if line.is_empty() => return lines,
                line => lines.push(line),
            }
        }
    }

    /// A figure of `q full`.
    pub(crate) async fn figure(&mut self, key: &str) -> u64 {
        let start = format!("{key}: ");
        let lines = self.lines("q full").await;
        lines.iter().find_map(|line| line.strip_prefix(&start)).expect("the figure").parse().unwrap()
    }

    /// Waits until a figure has this value.
    pub(crate) async fn until(&mut self, key: &str, value: u64) {
        timeout(Duration::from_mins(1), async {
            while self.figure(key).await != value {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{key} is never {value}"));
    }

    /// Asks again until the answer is this.
    pub(crate) async fn until_answer(&mut self, request: &str, answer: &str) {
        timeout(Duration::from_mins(1), async {
            while self.ask(request).await != answer {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{request} is never answered {answer}"));
    }
}
