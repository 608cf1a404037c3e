//! The sockets of one epoch. A node that lapses must know when none of them can be written to any more, and must be
//! able to close those whose tasks do not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::task::JoinHandle;

/// The sockets of an epoch.
///
/// ```text
///   open --end--> ending (none comes any more) --cut--> cut (every task is aborted, also those that come later)
/// ```
#[derive(Debug)]
pub struct Berths {
    epoch: u64,
    state: Mutex<Berthed>,
}

#[derive(Debug, Default)]
struct Berthed {
    /// The sockets that can be written to, and who has them in its care.
    sockets: BTreeMap<u64, Option<JoinHandle<()>>>,
    last: u64,
    phase: Phase,
    /// Wakes who waits for the last socket to go.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Ending,
    Cut,
}

/// The place of one socket. It must be dropped behind the socket.
#[derive(Debug)]
pub struct Berth {
    berths: Arc<Berths>,
    number: u64,
}

impl Berths {
    /// For sockets of this epoch.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self { epoch, state: Mutex::default() }
    }

    /// The number of the epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A place for a socket, unless the epoch is over.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Berth> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return None;
        }
        state.last += 1;
        let number = state.last;
        state.sockets.insert(number, None);
        drop(state);
        Some(Berth { berths: Arc::clone(self), number })
    }

    /// Whether the epoch is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.lock().phase != Phase::Open
    }

    /// How many sockets can be written to.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().sockets.len()
    }

    /// Whether no socket can be written to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the epoch: no socket gets a place any more.
    pub fn end(&self) {
        self.lock().phase = Phase::Ending;
    }

    /// Aborts the tasks of all sockets that are left. Each closes its socket when the runtime comes to it.
    pub fn cut(&self) {
        let mut state = self.lock();
        state.phase = Phase::Cut;
        for task in state.sockets.values().flatten() {
            task.abort();
        }
    }

    /// Notes which task has a socket. `is_ready` is whether the handshake is over. The two may be noted in the wrong
    /// order: each by the task that began the other one.
    pub fn in_care_of(&self, number: u64, is_ready: bool, task: JoinHandle<()>) {
        let mut state = self.lock();
        let is_cut = state.phase == Phase::Cut;
        // A task may be over before this is noted.
        if let Some(keeper) = state.sockets.get_mut(&number) {
            if is_cut {
                task.abort();
            }
            if is_ready || keeper.is_none() {
                *keeper = Some(task);
            }
        }
    }

    /// Ready when no socket can be written to. There is one who waits: a second one replaces the first.
    pub fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.sockets.is_empty() {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Notes that a socket cannot be written to any more.
    fn leave(&self, number: u64) {
        let (task, waker) = {
            let mut state = self.lock();
            let task = state.sockets.remove(&number);
            let waker = if state.sockets.is_empty() { state.waker.take() } else { None };
            (task, waker)
        };
        drop(task);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Berthed> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Berth {
    /// All places of its epoch.
    #[must_use]
    pub fn berths(&self) -> &Arc<Berths> {
        &self.berths
    }

    /// The place's number among those of its epoch.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.berths.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, poll_fn};

    /// Goal: an epoch is over when its last socket has gone, and not before.
    #[tokio::test]
    async fn it_is_empty_when_the_last_socket_has_left() {
        let berths = Arc::new(Berths::new(7));
        let (first, second) = (berths.enter().unwrap(), berths.enter().unwrap());
        assert_eq!((berths.len(), berths.epoch(), berths.is_over()), (2, 7, false));
        berths.end();
        assert!(berths.enter().is_none() && berths.is_over());
        drop(first);
        let is_empty = || poll_fn(|cx| Poll::Ready(berths.poll_empty(cx).is_ready()));
        assert!(!is_empty().await);
        let waiting = tokio::spawn({
            let berths = Arc::clone(&berths);
            async move { poll_fn(|cx| berths.poll_empty(cx)).await }
        });
        tokio::task::yield_now().await;
        drop(second);
        waiting.await.unwrap();
    }

    /// Goal: no task outlives the cut, however late it is noted. Method: tasks that never end. One of them is noted
    /// behind the cut, and one is noted behind the task that came after it.
    #[tokio::test]
    async fn every_task_is_cut_off() {
        let berths = Arc::new(Berths::new(1));
        let stay = |berth: Berth| {
            tokio::spawn(async move {
                let _berth = berth;
                pending::<()>().await;
            })
        };
        let (a, b, c) = (berths.enter().unwrap(), berths.enter().unwrap(), berths.enter().unwrap());
        let numbers = [a.number(), b.number(), c.number()];
        berths.in_care_of(numbers[0], true, stay(a));
        berths.in_care_of(numbers[1], true, stay(b));
        berths.in_care_of(numbers[1], false, tokio::spawn(async {}));
        let late = stay(c);
        berths.end();
        berths.cut();
        berths.in_care_of(numbers[2], true, late);
        poll_fn(|cx| berths.poll_empty(cx)).await;
        berths.in_care_of(numbers[0], true, tokio::spawn(async {}));
        assert!(berths.is_empty(), "who has left is not noted again");
    }
}
