//! The stream below a WebSocket, and what the WebSocket must know of it: how much of what was written it has taken, and
//! whether it must be read in the other way after a look for the peer's end.

use crate::listen::{Gone, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that carries frames.
#[derive(Debug)]
pub(super) struct Below<S> {
    stream: S,
    /// Bytes that it has taken.
    written: u64,
    /// Whether it must be read by `poll_read_unseen`.
    is_unseen: bool,
}

impl<S: Stream> Below<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, written: 0, is_unseen: false }
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn untaken(&self) -> Option<usize> {
        self.stream.untaken()
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.stream.poll_gone(cx)
    }

    /// Whether reads find all input from here on, also what a look for the end has passed.
    pub(super) fn read_unseen(&mut self, is_unseen: bool) {
        self.is_unseen = is_unseen;
    }
}

impl<S: Stream> AsyncRead for Below<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_unseen {
            this.stream.poll_read_unseen(cx, buffer)
        } else {
            Pin::new(&mut this.stream).poll_read(cx, buffer)
        }
    }
}

impl<S: Stream> AsyncWrite for Below<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            this.written += count as u64;
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
