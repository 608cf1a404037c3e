//! Places for sockets: a bound on the file descriptors that peers can take. Every socket has a place, from when it is
//! accepted until it is closed.
//!
//! A socket whose connection has ended, or was refused, is *closing*: it stays open for a moment, so that its peer gets
//! the last replies. Closing sockets have a bound of their own, and make room for others. Refused ones go first, then
//! those of ended connections, and among equals the oldest. That is done by their own tasks, a moment later. So tasks
//! that accept must wait for [room](Places::room) before they accept again.

use std::collections::BTreeMap;
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
    state: Mutex<Sockets>,
}

#[derive(Debug, Default)]
struct Sockets {
    /// Sockets that have a place.
    open: usize,
    /// Those of them that are closing. The first one is the next to be dropped. The waker is that of its task.
    closing: BTreeMap<Order, Waker>,
    /// Sockets that began to close since the start.
    begun: u64,
    /// Closing sockets that were told to go since the start.
    dropped: u64,
    /// Those of them that are still open.
    going: usize,
    /// Whether no closing socket is dropped any more.
    keeps_all: bool,
    /// Tasks that wait for room.
    waiting: Vec<Waker>,
}

/// The place of a closing socket in the order in which they are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    /// A refused connection has nothing to lose but one line.
    rank: Rank,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Refused,
    Ended,
}

impl Places {
    /// Places for `most` sockets, of which `most_closing` may be closing.
    pub(crate) fn new(most: usize, most_closing: usize) -> Self {
        Self { most, most_closing, state: Mutex::default() }
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
        self.with(|state| {
            let is_full = state.taken() >= self.most || state.closing.len() >= self.most_closing;
            let mut dropped = None;
            if is_full {
                let first = state.closing.first_key_value();
                if first.is_none_or(|(turn, _)| turn.rank != Rank::Refused) {
                    return (None, None);
                }
                dropped = state.drop_first();
            }
            state.open += 1;
            (Some(Closing::begin(self, state, Rank::Refused)), dropped)
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
            let closing = Closing::begin(self, state, Rank::Ended);
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

    /// From now on closing sockets are never dropped. For a time in which no sockets come.
    pub(crate) fn keep_all(&self) {
        self.with(|state| (state.keeps_all = true, None));
    }

    /// Sockets that are closing now.
    pub(crate) fn closing(&self) -> usize {
        self.with(|state| (state.closing.len() + state.going, None))
    }

    /// Closing sockets that were dropped, since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.with(|state| (state.dropped, None))
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
        self.open - self.going
    }

    /// Drops a closing socket if there are more sockets than allowed. One comes at a time, so one goes at a time.
    fn drop_excess(&mut self, places: &Places) -> Option<Waker> {
        let is_over = self.taken() > places.most || self.closing.len() > places.most_closing;
        if is_over { self.drop_first() } else { None }
    }

    /// Tells the closing socket that is the first to go. Returns the waker of its task.
    fn drop_first(&mut self) -> Option<Waker> {
        if self.keeps_all {
            return None;
        }
        let (_, waker) = self.closing.pop_first()?;
        self.dropped += 1;
        self.going += 1;
        Some(waker)
    }
}

/// A closing socket, in the care of its task. It must not be dropped before the socket is closed.
#[derive(Debug)]
pub(crate) struct Closing {
    places: Arc<Places>,
    turn: Order,
}

impl Closing {
    fn begin(places: &Arc<Places>, state: &mut Sockets, rank: Rank) -> Self {
        state.begun += 1;
        let turn = Order { rank, number: state.begun };
        state.closing.insert(turn, Waker::noop().clone());
        Self { places: Arc::clone(places), turn }
    }

    /// Ready when the socket must be closed at once, to make room. Otherwise the task is woken when that is so.
    pub(crate) fn poll_dropped(&self, cx: &Context<'_>) -> Poll<()> {
        self.places.with(|state| match state.closing.get_mut(&self.turn) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                (Poll::Pending, None)
            }
            None => (Poll::Ready(()), None),
        })
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.places.with(|state| {
            if state.closing.remove(&self.turn).is_none() {
                state.going -= 1;
            }
            ((), None)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(most: usize, most_closing: usize) -> Arc<Places> {
        Arc::new(Places::new(most, most_closing))
    }

    /// Fills all places that are free with connections.
    fn fill(places: &Places) -> usize {
        (0..1000).take_while(|_| places.enter()).count()
    }

    fn is_dropped(closing: &Closing) -> bool {
        closing.poll_dropped(&Context::from_waker(Waker::noop())).is_ready()
    }

    fn has_room(places: &Places) -> bool {
        let mut room = std::pin::pin!(places.room());
        room.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Closes the socket, and gives its place back.
    fn close(places: &Places, closing: Closing) {
        drop(closing);
        places.leave();
    }

    #[test]
    fn there_are_as_many_places_as_there_are() {
        let places = places(3, 3);
        assert_eq!(fill(&places), 3);
        assert!(!places.enter() && places.enter_refused().is_none());
        places.leave();
        assert_eq!(fill(&places), 1);
    }

    #[test]
    fn the_oldest_that_closes_makes_room_and_refused_ones_go_first() {
        let places = places(4, 4);
        assert!(places.enter() && places.enter());
        let [older, younger] = [places.begin_closing(), places.begin_closing()];
        let refused = [places.enter_refused().unwrap(), places.enter_refused().unwrap()];
        for (expected, closing) in [&refused[0], &refused[1], &older, &younger].into_iter().enumerate() {
            assert!(!is_dropped(closing));
            assert!(places.enter());
            assert!(is_dropped(closing), "number {expected} goes");
        }
        assert!(!places.enter(), "all four are told to go, and none has gone");
        assert_eq!((places.closing(), places.dropped()), (4, 4));
        for closing in refused.into_iter().chain([older, younger]) {
            close(&places, closing);
        }
        assert_eq!((places.closing(), places.dropped(), fill(&places)), (0, 4, 0));
    }

    #[test]
    fn those_that_close_have_a_bound_of_their_own() {
        let places = places(100, 2);
        (0..3).for_each(|_| assert!(places.enter()));
        let [first, second] = [places.begin_closing(), places.begin_closing()];
        assert!(places.enter_refused().is_none(), "it is at the bound, and no other refused one is there");
        assert!(!is_dropped(&first));
        let third = places.begin_closing();
        assert!(is_dropped(&first) && !is_dropped(&second) && !is_dropped(&third), "one above the bound");
    }

    #[test]
    fn a_refused_one_makes_room_for_the_next_and_for_nothing_else() {
        let places = places(2, 2);
        assert_eq!(fill(&places), 2);
        let ended = places.begin_closing();
        assert!(places.enter_refused().is_none() && !is_dropped(&ended));
        close(&places, ended);
        let refused = places.enter_refused().unwrap();
        let next = places.enter_refused().unwrap();
        assert!(is_dropped(&refused) && !is_dropped(&next));
    }

    #[test]
    fn there_is_room_again_when_what_was_told_to_go_has_gone() {
        let places = places(2, 2);
        assert_eq!(fill(&places), 2);
        let closing = places.begin_closing();
        assert!(has_room(&places));
        places.enter_admitted();
        assert!(is_dropped(&closing) && !has_room(&places), "it is still open");
        close(&places, closing);
        assert!(has_room(&places));
    }

    /// A connection that the machine has ended does not know that yet, and the machine admits another.
    #[test]
    fn one_that_is_admitted_above_the_bound_has_the_next_that_closes_dropped() {
        let places = places(2, 2);
        assert_eq!(fill(&places), 2);
        places.enter_admitted();
        assert!(!has_room(&places));
        let closing = places.begin_closing();
        assert!(is_dropped(&closing));
        close(&places, closing);
        assert!(has_room(&places));
    }

    #[test]
    fn nothing_is_dropped_when_all_are_kept() {
        let places = places(2, 1);
        assert_eq!(fill(&places), 2);
        places.keep_all();
        let closing = [places.begin_closing(), places.begin_closing()];
        assert!(!closing.iter().any(is_dropped));
        assert!(!places.enter());
    }
}
