//! Replies that a peer has not taken yet. Bytes that it has taken must not stay in memory, even if a peer takes replies
//! steadily but never all of them.

use super::stalling::Stalling;

/// Bytes to be sent, behind some that are sent already.
///
/// ```text
///   bytes:  [ sent | rest ]      sent < rest, or both are empty
/// ```
///
/// So the buffer takes less than twice the room of what waits. To drop sent bytes takes a copy of at most as many bytes
/// as were sent since the last drop. So it stays cheap, even if a peer takes bytes one by one.
#[derive(Default)]
pub(super) struct Unsent {
    bytes: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    /// Goes off if the peer takes no byte before.
    pub(super) stalling: Option<Stalling>,
}

impl Unsent {
    /// What is not sent yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The buffer, only to append to it.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Notes that the first `count` bytes of the rest are sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        assert!(self.sent <= self.bytes.len(), "more was sent than there was");
        if self.sent >= self.rest().len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Session, Step};
    use super::*;
    use crate::config::Config;
    use crate::gate::{Gate, Local};
    use crate::shared::Shared;
    use elockd_core::{Account, Addr, Machine, Origin};
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::Poll;
    use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
    use tokio::task::yield_now;

    #[test]
    fn bytes_come_out_in_the_order_in_which_they_went_in() {
        let (mut unsent, mut came_out) = (Unsent::default(), Vec::new());
        let went_in: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for (turn, piece) in went_in.chunks(100).enumerate() {
            unsent.tail().extend_from_slice(piece);
            let count = (turn * 37 % 200).min(unsent.rest().len());
            came_out.extend_from_slice(&unsent.rest()[..count]);
            unsent.advance(count);
        }
        came_out.extend_from_slice(unsent.rest());
        assert_eq!(came_out, went_in);
    }

    #[test]
    fn what_is_sent_takes_less_room_than_what_waits() {
        const WAIT: usize = 1000;
        for step in [1, 7, WAIT / 2, WAIT - 1] {
            let mut unsent = Unsent::default();
            unsent.tail().resize(WAIT, 0);
            for _ in 0..10 * WAIT {
                unsent.advance(step);
                assert!(unsent.sent < unsent.rest().len(), "{step} bytes at a time");
                unsent.tail().extend_from_slice(&[0; WAIT][..step]);
                assert_eq!(unsent.rest().len(), WAIT);
            }
        }
    }

    #[test]
    fn nothing_is_kept_when_all_is_sent() {
        let mut unsent = Unsent::default();
        unsent.tail().extend_from_slice(b"1 pong\n");
        unsent.advance(7);
        assert!(unsent.bytes.is_empty());
    }

    /// Goal: a peer that pipelines and reads slowly, without a pause, does not make its session grow. Method: a session
    /// is polled by hand. In each turn its peer asks for more than it takes.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_takes_all_makes_no_session_grow() {
        /// What `docs/operations.md` says.
        const MOST: usize = 550 << 10;
        let (mut peer, stream) = duplex(4096);
        let mut session = session(stream);
        let requests = b"help\n".repeat(4096 / 5);
        let (mut asked, mut taken) = (0, 0);
        for turn in 0..4096 {
            asked += write(&mut peer, &requests[asked % 5..]).await;
            let step = poll_fn(|cx| Poll::Ready(session.poll_step(cx))).await;
            assert!(matches!(step, Poll::<Step>::Pending), "it goes on");
            taken += read(&mut peer).await;
            let backlog = session.backlog.as_ref().expect("replies wait at the end of each turn");
            let room = backlog.unsent.bytes.capacity();
            assert!(room <= MOST, "{room} bytes in turn {turn}, when {taken} had been taken");
            yield_now().await;
        }
        assert!(taken > 8 * MOST, "{taken} bytes show nothing");
    }

    fn session(stream: DuplexStream) -> Session<DuplexStream> {
        let config = Config::default();
        let gate = Local::new(Machine::new(config.machine.clone()), None);
        let shared = Arc::new(Shared::new(config, gate));
        let origin = |_| Origin { addr: Addr::Unix(1), account: Account::default() };
        let handle = shared.gate.open(shared.clock.now(), origin).expect("the first connection is welcome");
        Session::new(shared, stream, handle, None)
    }

    /// Writes as much as there is room for. Returns the number of bytes.
    async fn write(stream: &mut DuplexStream, bytes: &[u8]) -> usize {
        let written = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, bytes))).await;
        if let Poll::Ready(written) = written { written.unwrap() } else { 0 }
    }

    /// Reads what is there, up to the size of a buffer. Returns the number of bytes.
    async fn read(stream: &mut DuplexStream) -> usize {
        let mut bytes = [0; 4096];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
        assert!(read.is_pending() || matches!(read, Poll::Ready(Ok(()))), "the session left");
        buffer.filled().len()
    }
}
