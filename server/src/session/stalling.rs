//! Whether a peer takes its replies. A write tells that late: while a send buffer is nearly full, the kernel takes no
//! more bytes from the daemon, even if the peer takes some from the kernel. So the kernel is asked what is untaken.

use super::alarm::Alarm;
use crate::listen::Stream;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How often the kernel is asked within the write timeout. The last look that finds nothing taken is the end. So a
/// peer that has stalled is found after the write timeout, and at most one part of it later.
const LOOKS: u32 = 4;

/// Waits for the write timeout to pass without a byte taken. It begins anew whenever bytes could be written.
///
/// It counts looks, and does not compare times. So a pause of the daemon is one look, however long it is.
pub(super) struct Stalling {
    next_look: Alarm,
    /// The time between two looks.
    part: Duration,
    /// Looks in a row that found nothing taken.
    in_vain: u32,
    /// What was untaken at the last look.
    untaken: Option<usize>,
}

impl Stalling {
    /// Begins to wait now.
    pub(super) fn new(timeout: Duration, stream: &impl Stream) -> Self {
        let part = timeout / LOOKS;
        Self { next_look: Alarm::after(part), part, in_vain: 0, untaken: stream.untaken() }
    }

    /// Ready when the peer has taken nothing for the write timeout.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, stream: &impl Stream) -> Poll<()> {
        while self.in_vain < LOOKS {
            ready!(self.next_look.poll(cx));
            let untaken = stream.untaken();
            let has_taken = untaken.zip(self.untaken).is_some_and(|(now, before)| now < before);
            self.in_vain = if has_taken { 0 } else { self.in_vain + 1 };
            self.untaken = untaken;
            self.next_look.set_again(self.part);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::io;
    use std::pin::Pin;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::time::{Instant, advance, timeout};

    const TIMEOUT: Duration = Duration::from_secs(15);

    /// A stream of which only this is known.
    struct Known(Cell<Option<usize>>);

    impl Stream for Known {
        fn untaken(&self) -> Option<usize> {
            self.0.get()
        }
    }

    impl AsyncRead for Known {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Known {
        fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, _bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    /// Whether it stalls within a time.
    async fn stalls_within(stalling: &mut Stalling, stream: &Known, time: Duration) -> bool {
        timeout(time, poll_fn(|cx| stalling.poll(cx, stream))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_nothing_has_stalled_after_the_write_timeout() {
        for untaken in [None, Some(0), Some(1000)] {
            let stream = Known(Cell::new(untaken));
            let begin = Instant::now();
            let mut stalling = Stalling::new(TIMEOUT, &stream);
            poll_fn(|cx| stalling.poll(cx, &stream)).await;
            assert_eq!(begin.elapsed(), TIMEOUT, "{untaken:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_a_byte_now_and_then_has_not_stalled() {
        let stream = Known(Cell::new(Some(1000)));
        let mut stalling = Stalling::new(TIMEOUT, &stream);
        for untaken in (900..1000).rev() {
            let is_over = stalls_within(&mut stalling, &stream, Duration::from_millis(14_999)).await;
            assert!(!is_over, "with {untaken} untaken");
            stream.0.set(Some(untaken));
        }
        let begin = Instant::now();
        poll_fn(|cx| stalling.poll(cx, &stream)).await;
        let elapsed = begin.elapsed();
        assert!(
            elapsed >= TIMEOUT && elapsed <= TIMEOUT + TIMEOUT / LOOKS,
            "{elapsed:?} after the last byte"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_daemon_is_one_look() {
        let stream = Known(Cell::new(Some(1000)));
        let mut stalling = Stalling::new(TIMEOUT, &stream);
        assert!(!stalls_within(&mut stalling, &stream, Duration::from_secs(1)).await);
        advance(10 * TIMEOUT).await;
        assert!(!stalls_within(&mut stalling, &stream, TIMEOUT / 2).await, "three looks are left");
        assert!(stalls_within(&mut stalling, &stream, TIMEOUT / 2).await);
    }
}
