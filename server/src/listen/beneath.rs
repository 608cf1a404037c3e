//! The stream beneath TLS or a WebSocket. The layer above keeps bytes back while the stream has no room, and reads the
//! stream by itself. So this counts what the stream has taken, and knows in which way it must be read.

use super::{Gone, Stream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that carries another one.
#[derive(Debug)]
pub(super) struct Beneath<S> {
    stream: S,
    /// Bytes that the stream has taken.
    written: usize,
    /// Whether the stream may have input that only `poll_read_unseen` finds.
    has_unseen: bool,
}

impl<S: Stream> Beneath<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, written: 0, has_unseen: false }
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.has_unseen = true;
        self.stream.poll_gone(cx)
    }

    /// A number that gets less by each byte that the peer takes, and changes by nothing else: neither by what is
    /// written nor by what the layer above keeps back.
    pub(super) fn untaken(&self) -> Option<usize> {
        let untaken = self.stream.untaken()?;
        Some(usize::MAX - self.written.saturating_sub(untaken))
    }

    pub(super) fn may_say_last_word(&mut self) -> bool {
        self.stream.may_say_last_word()
    }
}

impl<S: Stream> AsyncRead for Beneath<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let beneath = self.get_mut();
        if !beneath.has_unseen {
            return Pin::new(&mut beneath.stream).poll_read(cx, buffer);
        }
        let read = beneath.stream.poll_read_unseen(cx, buffer);
        beneath.has_unseen = read.is_ready();
        read
    }
}

impl<S: Stream> AsyncWrite for Beneath<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let beneath = self.get_mut();
        let written = ready!(Pin::new(&mut beneath.stream).poll_write(cx, bytes))?;
        beneath.written += written;
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let beneath = self.get_mut();
        let written = ready!(Pin::new(&mut beneath.stream).poll_write_vectored(cx, pieces))?;
        beneath.written += written;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;

    /// A stream that takes a few bytes at a time, and says how many of them its peer has not taken.
    struct Slow {
        untaken: Cell<usize>,
    }

    impl Stream for Slow {
        fn untaken(&self) -> Option<usize> {
            Some(self.untaken.get())
        }
    }

    impl AsyncRead for Slow {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(10);
            self.untaken.update(|untaken| untaken + count);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Goal: a session sees that a peer takes bytes, however many are handed on meanwhile, and sees nothing if it takes
    /// none. Method: writes and takings in turn, of which only the second may change the number.
    #[tokio::test]
    async fn what_is_untaken_gets_less_by_what_the_peer_takes_and_by_nothing_else() {
        let mut beneath = Beneath::new(Slow { untaken: Cell::new(0) });
        let mut last = beneath.untaken();
        for round in 0..20 {
            let count = poll_fn(|cx| {
                if round % 2 == 0 {
                    Pin::new(&mut beneath).poll_write(cx, &[0; 30])
                } else {
                    Pin::new(&mut beneath).poll_write_vectored(cx, &[IoSlice::new(&[0; 30])])
                }
            });
            assert_eq!(count.await.unwrap(), 10);
            assert_eq!(beneath.untaken(), last, "round {round}: nothing was taken");
            beneath.stream.untaken.update(|untaken| untaken - 1 - round % 3);
            assert!(beneath.untaken() < last, "round {round}: a byte was taken");
            last = beneath.untaken();
        }
    }
}
