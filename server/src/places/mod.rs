//! Places for sockets: a bound on the file descriptors that peers can take. Every socket has a place, from when it is
//! accepted until it is closed.
//!
//! A socket whose connection has ended, or was refused, is *closing*: it stays open for a moment, so that its peer gets
//! the last replies. A socket whose handshake is not over is *unready*: it has no connection yet. Both have bounds of
//! their own, and make room for others. Refused ones go first, then unready ones, then those of ended connections, and
//! among equals the oldest. That is done by their own tasks, a moment later. So tasks that accept must wait for
//! [room](Places::room) before they accept again.

mod queue;
#[cfg(test)]
mod tests;

use queue::{Order, Queue, Rank};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The most operators at a time. One more is refused. The limit of open files leaves room for these.
pub const MOST_OPERATORS: usize = 16;

/// The places of one kind of peers.
#[derive(Debug)]
pub(crate) struct Places {
    /// Sockets allowed at a time.
    most: usize,
    /// Closing sockets allowed among them.
    most_closing: usize,
    /// Unready sockets allowed among them.
    most_unready: usize,
    state: Mutex<Sockets>,
}

#[derive(Debug, Default)]
struct Sockets {
    /// Sockets that have a place.
    open: usize,
    /// Those of them that are closing.
    closing: Queue,
    /// Those of them that are unready.
    unready: Queue,
    /// Sockets that began to close, or were unready, since the start.
    begun: u64,
    /// Whether no closing socket is dropped any more.
    keeps_all: bool,
    /// Tasks that wait for room.
    waiting: Vec<Waker>,
}

impl Places {
    /// Places for `most` sockets, of which `most_closing` may be closing and `most_unready` unready.
    pub(crate) fn new(most: usize, most_closing: usize, most_unready: usize) -> Self {
        Self { most, most_closing, most_unready, state: Mutex::default() }
    }

    /// Takes a place for a connection, if one is free or can be freed. Returns whether it did.
    pub(crate) fn enter(&self) -> bool {
        self.with(|state| {
            let mut dropped = None;
            if state.taken() >= self.most {
                let Some(first) = state.drop_first() else { return (false, None) };
                dropped = Some(first);
            }
            state.open += 1;
            (true, dropped)
        })
    }

    /// The same for a connection that somebody else has admitted. If no place can be freed, another socket is about to
    /// close, and there is one socket too many until then.
    pub(crate) fn enter_admitted(&self) {
        self.with(|state| {
            state.open += 1;
            ((), state.drop_excess(self))
        });
    }

    /// The same for a connection that is refused. Only other refused connections make room for it.
    pub(crate) fn enter_refused(self: &Arc<Self>) -> Option<Closing> {
        self.with(|state| state.enter_refused(self))
    }

    /// The same for a socket that needs a handshake. At their bound, the oldest unready socket makes room for it: who
    /// means it is done in a moment. If there are too many sockets, refused ones make room for it too.
    pub(crate) fn enter_unready(self: &Arc<Self>) -> Option<Unready> {
        self.with(|state| {
            let mut dropped = None;
            if state.unready.len() >= self.most_unready || state.taken() >= self.most {
                let first = if state.unready.len() < self.most_unready { state.drop_refused() } else { None };
                let Some(first) = first.or_else(|| state.unready.drop_first()) else { return (None, None) };
                dropped = Some(first);
            }
            state.open += 1;
            let order = state.next_order(Rank::Other);
            state.unready.begin(order);
            (Some(Unready(Some((Arc::clone(self), order)))), dropped)
        })
    }

    /// Gives a place back. The socket must be closed by now.
    pub(crate) fn leave(&self) {
        let waiting = self.with(|state| {
            state.open = state.open.checked_sub(1).expect("who leaves was there");
            let has_room = state.open <= self.most;
            (if has_room { std::mem::take(&mut state.waiting) } else { Vec::new() }, None)
        });
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Notes that the connection of a socket with a place has ended.
    pub(crate) fn begin_closing(self: &Arc<Self>) -> Closing {
        self.with(|state| {
            let closing = Closing::begin(self, state, Rank::Other);
            (closing, state.drop_excess(self))
        })
    }

    /// Waits until not more sockets are open than allowed.
    pub(crate) async fn room(&self) {
        poll_fn(|cx| {
            self.with(|state| {
                if state.open <= self.most {
                    return (Poll::Ready(()), None);
                }
                if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.waiting.push(cx.waker().clone());
                }
                (Poll::Pending, None)
            })
        })
        .await;
    }

    /// From now on closing sockets are never dropped, and all unready ones are told to go. For a time in which no
    /// sockets come.
    pub(crate) fn keep_all(&self) {
        let told = self.with(|state| {
            state.keeps_all = true;
            (std::iter::from_fn(|| state.unready.drop_first()).collect::<Vec<_>>(), None)
        });
        told.into_iter().for_each(Waker::wake);
    }

    /// Sockets that are closing now.
    pub(crate) fn closing(&self) -> usize {
        self.with(|state| (state.closing.len() + state.closing.going(), None))
    }

    /// Closing sockets that were dropped, since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.with(|state| (state.closing.dropped(), None))
    }

    /// Sockets that are unready now.
    pub(crate) fn unready(&self) -> usize {
        self.with(|state| (state.unready.len() + state.unready.going(), None))
    }

    /// Unready sockets that were dropped, since the start.
    pub(crate) fn unready_dropped(&self) -> u64 {
        self.with(|state| (state.unready.dropped(), None))
    }

    /// Calls `act` with the state, and then the waker that it returns, without the lock.
    fn with<R>(&self, act: impl FnOnce(&mut Sockets) -> (R, Option<Waker>)) -> R {
        let (result, waker) = act(&mut self.lock());
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Sockets> {
        // A panic leaves counts behind that are at worst too high.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sockets {
    /// Places that are taken, apart from those that are about to be free.
    fn taken(&self) -> usize {
        self.open - self.closing.going() - self.unready.going()
    }

    /// Gives a refused connection a place.
    fn enter_refused(&mut self, places: &Arc<Places>) -> (Option<Closing>, Option<Waker>) {
        let is_full = self.taken() >= places.most || self.closing.len() >= places.most_closing;
        let mut dropped = None;
        if is_full {
            let Some(first) = self.drop_refused() else { return (None, None) };
            dropped = Some(first);
        }
        self.open += 1;
        (Some(Closing::begin(places, self, Rank::Refused)), dropped)
    }

    /// Drops a socket if there are more than allowed. One comes at a time, so one goes at a time.
    fn drop_excess(&mut self, places: &Places) -> Option<Waker> {
        if self.taken() > places.most {
            self.drop_first()
        } else if self.closing.len() > places.most_closing && !self.keeps_all {
            self.closing.drop_first()
        } else {
            None
        }
    }

    /// Tells the socket that is the first to go. Returns the waker of its task.
    fn drop_first(&mut self) -> Option<Waker> {
        if self.keeps_all {
            return None;
        }
        self.drop_refused().or_else(|| self.unready.drop_first()).or_else(|| self.closing.drop_first())
    }

    /// The same if that is a socket of a refused connection.
    fn drop_refused(&mut self) -> Option<Waker> {
        if self.keeps_all || self.closing.first() != Some(Rank::Refused) {
            return None;
        }
        self.closing.drop_first()
    }

    /// The place in its queue of a socket that joins it now.
    fn next_order(&mut self, rank: Rank) -> Order {
        self.begun += 1;
        Order { rank, number: self.begun }
    }
}

/// A closing socket, in the care of its task. It must not be dropped before the socket is closed.
#[derive(Debug)]
pub(crate) struct Closing {
    places: Arc<Places>,
    order: Order,
}

impl Closing {
    fn begin(places: &Arc<Places>, state: &mut Sockets, rank: Rank) -> Self {
        let order = state.next_order(rank);
        state.closing.begin(order);
        Self { places: Arc::clone(places), order }
    }

    /// Ready when the socket must be closed at once, to make room. Otherwise the task is woken when that is so.
    pub(crate) fn poll_dropped(&self, cx: &Context<'_>) -> Poll<()> {
        self.places.with(|state| (state.closing.poll_dropped(self.order, cx), None))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.places.with(|state| (state.closing.end(self.order), None));
    }
}

/// An unready socket with its place, in the care of its task. Dropping it gives the place back, so it must not be
/// dropped before the socket is closed.
#[derive(Debug)]
pub(crate) struct Unready(
    /// `None` when the place is another's.
    Option<(Arc<Places>, Order)>,
);

impl Unready {
    /// Ready when the socket must be closed at once, to make room. Otherwise the task is woken when that is so.
    pub(crate) fn poll_dropped(&self, cx: &Context<'_>) -> Poll<()> {
        let Some((places, order)) = &self.0 else { return Poll::Pending };
        places.with(|state| (state.unready.poll_dropped(*order, cx), None))
    }

    /// The handshake is over, and somebody else has admitted the connection. It keeps the place.
    pub(crate) fn admitted(mut self) {
        let Some((places, order)) = self.0.take() else { return };
        places.with(|state| {
            state.unready.end(order);
            ((), state.drop_excess(&places))
        });
    }

    /// The handshake is over, and somebody else has refused the connection. It gets another place, if it gets one.
    pub(crate) fn refused(mut self) -> Option<Closing> {
        let (places, order) = self.0.take()?;
        places.with(|state| {
            state.unready.end(order);
            state.open -= 1;
            state.enter_refused(&places)
        })
    }
}

impl Drop for Unready {
    fn drop(&mut self) {
        let Some((places, order)) = self.0.take() else { return };
        places.with(|state| (state.unready.end(order), None));
        places.leave();
    }
}
