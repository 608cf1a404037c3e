//! The two halves of a link's connection: one reads frames, the other writes them.

use super::frame::{Frame, FrameCodec};
use bytes::BytesMut;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::codec::{Decoder, Encoder};

/// What a read has room for, at least.
const READ: usize = 16 << 10;
/// What is gathered before a write.
const WRITE: usize = 64 << 10;
/// The most room that a buffer keeps once it is empty.
const KEPT: usize = 256 << 10;

/// Reads frames.
pub(super) struct FrameReader<R> {
    half: R,
    codec: FrameCodec,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames with payloads of at most `most` bytes.
    pub(super) fn new(half: R, most: usize) -> Self {
        Self { half, codec: FrameCodec::new(most), buffer: BytesMut::new() }
    }

    /// The next frame. `None` if the other end closed. The future can be dropped, and no byte is
    /// lost.
    ///
    /// # Errors
    ///
    /// The connection broke, what came is no frame, or nothing came for the time of `silence`.
    pub(super) async fn next(&mut self, silence: Duration) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.buffer)? {
                if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
                    self.buffer = BytesMut::new();
                }
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ);
            let Ok(read) = timeout(silence, self.half.read_buf(&mut self.buffer)).await else {
                let reason = format!("nothing came for {silence:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            };
            if read? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Writes frames, those together that are ready together.
pub(super) struct FrameWriter<W> {
    half: W,
    codec: FrameCodec,
    buffer: BytesMut,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes frames with payloads of at most `most` bytes.
    pub(super) fn new(half: W, most: usize) -> Self {
        Self { half, codec: FrameCodec::new(most), buffer: BytesMut::new() }
    }

    /// Adds a frame, and writes what was gathered if that is much.
    ///
    /// # Errors
    ///
    /// The frame is too long, or the connection broke.
    pub(super) async fn add(&mut self, frame: &Frame) -> io::Result<()> {
        self.codec.encode(frame, &mut self.buffer)?;
        if self.buffer.len() >= WRITE { self.flush().await } else { Ok(()) }
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.half.write_all_buf(&mut self.buffer).await?;
        if self.buffer.capacity() > KEPT {
            self.buffer = BytesMut::new();
        }
        self.half.flush().await
    }
}

/// Runs the two halves of a link until one of them ends.
///
/// They share a task, and with it tokio's budget of a poll. Each is polled first every other time: a half that could
/// always go on would otherwise leave the other nothing, and the other end would take the link for silent.
pub(super) async fn both<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let mut turn = false;
    poll_fn(|cx| {
        turn = !turn;
        if turn && let Poll::Ready(ended) = one.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        if let Poll::Ready(ended) = other.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        if turn { Poll::Pending } else { one.as_mut().poll(cx) }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::task::coop::consume_budget;

    /// Goal: no half starves the other. Method: two halves that can always go on run until one has had a thousand
    /// turns of a budget; by then the other has had its share.
    #[tokio::test]
    async fn halves_share_their_budget() {
        let counts = [Cell::new(0_u32), Cell::new(0)];
        let busy = async |count: &Cell<u32>| {
            while count.get() < 128_000 {
                consume_budget().await;
                count.set(count.get() + 1);
            }
        };
        both(busy(&counts[0]), busy(&counts[1])).await;
        let [one, other] = counts.map(Cell::into_inner);
        assert!(one.min(other) > 60_000, "{one} and {other}");
    }
}
