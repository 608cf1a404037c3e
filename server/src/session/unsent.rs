//! Replies that a peer has not taken yet. What it has taken must not stay in memory, also when there is always more to
//! come: a peer can take replies steadily and never all of them.

use super::alarm::Alarm;

/// Bytes that wait to be sent, behind some that are sent already.
///
/// ```text
///   bytes:  [ sent | rest ]      sent < rest, or both are empty
/// ```
///
/// So they take less than twice the room of what waits, and to drop those that are sent costs a copy of at most as many
/// bytes as have been sent since the last time: a peer that takes one by one does not make it dear.
#[derive(Default)]
pub(super) struct Unsent {
    bytes: Vec<u8>,
    /// How many of them are sent by now.
    sent: usize,
    /// Goes off unless the peer takes a byte before.
    pub(super) stalling: Option<Alarm>,
}

impl Unsent {
    /// What is not sent yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// To add to the rest, at its end; nothing else may be done with it.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes the first `count` bytes of the rest for sent.
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

    /// Goal: a peer that pipelines and reads, slowly and without a pause, does not make its session grow. Method: a
    /// session that is polled by hand, whose peer asks for more than it takes in each turn.
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

    /// Writes what there is room for, and says how many bytes that was.
    async fn write(stream: &mut DuplexStream, bytes: &[u8]) -> usize {
        let written = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, bytes))).await;
        if let Poll::Ready(written) = written { written.unwrap() } else { 0 }
    }

    /// Reads what is there, up to a buffer, and says how many bytes that was.
    async fn read(stream: &mut DuplexStream) -> usize {
        let mut bytes = [0; 4096];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer))).await;
        assert!(read.is_pending() || matches!(read, Poll::Ready(Ok(()))), "the session left");
        buffer.filled().len()
    }
}
