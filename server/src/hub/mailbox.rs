//! A connection's mailbox: what others cause it to be told. There are at most two things to tell, the reply at
//! the end of its wait and its own end, so a box cannot overflow.

use super::{Lock, Locks};
use elockd_core::Reason;
use elockd_core::bug;
use std::task::{Poll, Waker};

/// News for a connection that it did not cause itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// Its wait is over: the reply, as it goes over the wire.
    Reply(Vec<u8>),
    /// It is to end.
    Ending(Ending),
}

/// Why a connection is to end that did not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The machine closed it; its locks are released already.
    Machine(Reason),
    /// The daemon is shutting down.
    Drained,
}

/// ```text
///   empty, nobody waits --poll--> empty, waker kept --put--> mail (waker called)
///     ^     |                                                  |  ^
///     |     +---------------------------put--------------------|--+
///     +-------------------poll: a reply is taken out-----------+
/// ```
/// A reply is told before an ending. The first ending stays, for good: what the machine or the shutdown decided
/// is not taken back.
pub(super) struct Mailbox<L: Locks> {
    state: L::Lock<State>,
}

#[derive(Default)]
struct State {
    reply: Option<Vec<u8>>,
    ending: Option<Ending>,
    waker: Option<Waker>,
}

impl State {
    fn take(&mut self) -> Option<Mail> {
        self.reply.take().map(Mail::Reply).or(self.ending.map(Mail::Ending))
    }
}

impl<L: Locks> Mailbox<L> {
    pub(super) fn new() -> Self {
        Self { state: L::Lock::new(State::default()) }
    }

    /// Panics when a reply is put before another one was taken: a connection has one wait at a time.
    pub(super) fn put(&self, mail: Mail) {
        let waker = self.state.with(|state| {
            match mail {
                Mail::Reply(reply) => {
                    assert!(state.reply.is_none(), "a wait is answered twice");
                    state.reply = Some(reply);
                }
                Mail::Ending(ending) => {
                    state.ending.get_or_insert(ending);
                }
            }
            state.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.with(|state| state.reply.is_none() && state.ending.is_none())
    }

    /// Takes the reply at the end of a wait, if it is there.
    pub(super) fn take_reply(&self) -> Option<Vec<u8>> {
        self.state.with(|state| state.reply.take())
    }

    /// Looks for mail and, in the same locked step, registers the waker when there is none.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<Mail> {
        if bug!(WakerRegisteredLate) {
            if let Some(mail) = self.state.with(State::take) {
                return Poll::Ready(mail);
            }
            self.state.with(|state| state.waker = Some(waker.clone()));
            return Poll::Pending;
        }
        self.state.with(|state| {
            if let Some(mail) = state.take() {
                return Poll::Ready(mail);
            }
            match &mut state.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            Poll::Pending
        })
    }
}
