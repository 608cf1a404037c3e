//! A connection's mailbox: what others cause it to be told. There is at most one thing to tell, the
//! connection's end, so a box cannot overflow.

use super::{Lock, Locks};
use elockd_core::Reason;
use elockd_core::canary::{Canary, is_planted};
use std::task::{Poll, Waker};

/// Why a connection is to end that did not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The machine closed it; its locks are released already.
    Machine(Reason),
    /// The daemon is shutting down.
    Drained,
}

/// ```text
///   empty, nobody waits --poll--> empty, waker kept --put--> an ending (waker called), for good
///           |                                                       ^
///           +---------------------------put-------------------------+
/// ```
/// The first ending stays: what the machine or the shutdown decided is not taken back.
pub(super) struct Mailbox<L: Locks> {
    state: L::Lock<State>,
}

#[derive(Default)]
struct State {
    ending: Option<Ending>,
    waker: Option<Waker>,
}

impl<L: Locks> Mailbox<L> {
    pub(super) fn new() -> Self {
        Self { state: L::Lock::new(State::default()) }
    }

    pub(super) fn put(&self, ending: Ending) {
        let waker = self.state.with(|state| {
            state.ending.get_or_insert(ending);
            state.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Looks for an ending and, in the same locked step, registers the waker.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<Ending> {
        if is_planted(Canary::WakerRegisteredLate) {
            if let Some(ending) = self.state.with(|state| state.ending) {
                return Poll::Ready(ending);
            }
            self.state.with(|state| state.waker = Some(waker.clone()));
            return Poll::Pending;
        }
        self.state.with(|state| {
            if let Some(ending) = state.ending {
                return Poll::Ready(ending);
            }
            match &mut state.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            Poll::Pending
        })
    }
}
