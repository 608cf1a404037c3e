//! Sockets that go if others need room, in the order in which they go.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

/// A queue of sockets.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The first one is the next to be dropped. The waker is that of its task.
    sockets: BTreeMap<Order, Waker>,
    /// Sockets that were told to go since the start.
    dropped: u64,
    /// Those of them that are still open.
    going: usize,
}

/// The place of a socket in the order in which they are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) rank: Rank,
    pub(super) number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A refused connection has nothing to lose but one line.
    Refused,
    Other,
}

impl Queue {
    /// Sockets that were not told to go.
    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Sockets that were told to go and are still open.
    pub(super) fn going(&self) -> usize {
        self.going
    }

    /// Sockets that were told to go since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The rank of the next to be dropped.
    pub(super) fn first(&self) -> Option<Rank> {
        self.sockets.first_key_value().map(|(order, _)| order.rank)
    }

    /// Adds a socket.
    pub(super) fn begin(&mut self, order: Order) {
        self.sockets.insert(order, Waker::noop().clone());
    }

    /// Takes a socket out. It is closed, or is no longer one of these.
    pub(super) fn end(&mut self, order: Order) {
        if self.sockets.remove(&order).is_none() {
            self.going -= 1;
        }
    }

    /// Tells the first socket to go. Returns the waker of its task.
    pub(super) fn drop_first(&mut self) -> Option<Waker> {
        let (_, waker) = self.sockets.pop_first()?;
        self.dropped += 1;
        self.going += 1;
        Some(waker)
    }

    /// Ready when the socket was told to go. Otherwise its task is woken when it is.
    pub(super) fn poll_dropped(&mut self, order: Order, cx: &Context<'_>) -> Poll<()> {
        match self.sockets.get_mut(&order) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}
