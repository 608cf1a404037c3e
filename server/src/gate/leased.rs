//! A stream that may be written to only while the node has a lease. It is beneath everything else, TLS and WebSockets
//! too, so that no layer can send what is late.
//!
//! There is one exception, `0 No Quorum`, which grants nothing. A stream of no epoch says nothing else. A stream whose
//! epoch has lapsed may say it, unless a part of something else is still on its way.

use super::berths::Berth;
use crate::listen::{Gone, Stream};
use elockd_cluster::Door;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream under a lease.
#[derive(Debug)]
pub struct Leased<S> {
    /// Dropped before its berth.
    stream: S,
    door: Door,
    /// `None` if the stream belongs to no epoch, or cannot be written to any more.
    berth: Option<Berth>,
    /// Whether it may be written to, whatever the lease.
    may_say: bool,
    /// Whether the layer above has more to write of what it has begun.
    has_rest: bool,
    /// Whether it is shut for writing.
    is_shut: bool,
}

impl<S> Leased<S> {
    /// A stream of the epoch that has this berth. Without one it is of no epoch, and may only be told so.
    pub(super) fn new(stream: S, door: Door, berth: Option<Berth>) -> Self {
        let may_say = berth.is_none();
        Self { stream, door, berth, may_say, has_rest: false, is_shut: false }
    }

    /// Looks whether it may be written to now.
    fn admit(&mut self) -> io::Result<()> {
        if self.is_shut || !(self.may_say || self.door.may_write()) {
            // What is refused here stays in the layer above.
            self.has_rest = true;
            return Err(io::Error::new(ErrorKind::TimedOut, "the node has no lease"));
        }
        Ok(())
    }

    /// Notes how much of `bytes` was written.
    fn note(&mut self, written: &Poll<io::Result<usize>>, bytes: usize) {
        self.has_rest = !matches!(written, Poll::Ready(Ok(count)) if *count == bytes);
    }
}

impl<S: Stream> Stream for Leased<S> {
    const HAS_FAREWELL: bool = S::HAS_FAREWELL;

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.stream.poll_gone(cx)
    }

    fn poll_read_unseen(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_unseen(cx, buffer)
    }

    fn untaken(&self) -> Option<usize> {
        self.stream.untaken()
    }

    fn may_say_last_word(&mut self) -> bool {
        self.may_say |= !self.has_rest && !self.is_shut;
        self.may_say
    }
}

impl<S: Stream> AsyncRead for Leased<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: Stream> AsyncWrite for Leased<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let leased = self.get_mut();
        leased.admit()?;
        let written = Pin::new(&mut leased.stream).poll_write(cx, bytes);
        leased.note(&written, bytes.len());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let leased = self.get_mut();
        leased.admit()?;
        let written = Pin::new(&mut leased.stream).poll_write_vectored(cx, pieces);
        leased.note(&written, pieces.iter().map(|piece| piece.len()).sum());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let leased = self.get_mut();
        ready!(Pin::new(&mut leased.stream).poll_shutdown(cx))?;
        // What only drains can be written to no more.
        leased.is_shut = true;
        leased.berth = None;
        Poll::Ready(Ok(()))
    }
}
