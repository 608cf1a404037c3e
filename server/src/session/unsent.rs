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

    /// Bytes that the buffer takes.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity()
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
    use super::*;

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
}
