//! Streams that keep written bytes back until they are flushed, as TLS does: nothing may stay there, and a peer that
//! takes none of it has stalled.

use super::{Handed, ask, line};
use elockd_server::listen::{Handshake, HandshakeError, Peer, Stream};
use elockd_server::{Config, Server};
use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

/// Takes all that is written, and hands it on when it is flushed or written to again.
struct Keeping {
    stream: DuplexStream,
    kept: Vec<u8>,
}

impl Stream for Keeping {}

impl AsyncRead for Keeping {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Keeping {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, kept } = self.get_mut();
        while !kept.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, kept))?;
            kept.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Keeps;

impl Handshake<DuplexStream> for Keeps {
    type Stream = Keeping;

    async fn run(&self, stream: DuplexStream, peer: Peer) -> Result<(Keeping, Peer), HandshakeError> {
        Ok((Keeping { stream, kept: Vec::new() }, peer))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" (keeping)")
    }
}

fn start() -> UnboundedSender<DuplexStream> {
    let (connect, handed) = unbounded_channel();
    let server = Server::new(Config { write_timeout: Some(Duration::from_secs(15)), ..Config::default() });
    server.listen_through(Handed(handed), Keeps);
    tokio::spawn(server.run(pending()));
    connect
}

/// A connection with so much room in each direction.
fn connect(server: &UnboundedSender<DuplexStream>, room: usize) -> DuplexStream {
    let (near, far) = duplex(room);
    server.send(far).unwrap();
    near
}

async fn take_figures(client: &mut DuplexStream) {
    let all = async { while line(client).await != "\n" {} };
    timeout(Duration::from_hours(1), all).await.expect("all of it comes");
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_keeps_back_comes_without_another_request() {
    let server = start();
    let mut client = connect(&server, 64);
    for _ in 0..3 {
        client.write_all(b"q\n").await.unwrap();
        take_figures(&mut client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_of_it_has_stalled_and_one_that_takes_it_all_begins_anew() {
    let server = start();
    let (mut client, mut other) = (connect(&server, 64), connect(&server, 4096));
    assert_eq!(ask(&mut client, "g x\n").await, "1 Lock Get Success: x\n");
    // Each time it takes all of it just in time. Twice 14 seconds are more than the timeout.
    for _ in 0..4 {
        client.write_all(b"q\n").await.unwrap();
        sleep(Duration::from_secs(14)).await;
        take_figures(&mut client).await;
    }
    client.write_all(b"q\n").await.unwrap();
    sleep(Duration::from_millis(14_900)).await;
    assert_eq!(ask(&mut other, "i x\n").await, "1 Lock Is Locked: x\n");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(ask(&mut other, "i x\n").await, "0 Lock Not Locked: x\n");
}
