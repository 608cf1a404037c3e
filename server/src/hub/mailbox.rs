//! A connection's mailbox: news that others cause. It has one slot for a reply and one for an ending, and neither can
//! overflow.

use super::{Lock, Locks};
use elockd_core::Reason;
use std::task::{Poll, Waker};

/// News for a connection that it did not cause itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// Its wait is over: the reply, as it goes over the wire.
    Reply(Vec<u8>),
    /// It must end.
    Ending(Ending),
}

/// Why a connection must end that did not ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The machine closed it; its locks are released already.
    Machine(Reason),
    /// The daemon is shutting down.
    Drained,
}

/// A box with two slots. No more are needed:
///
/// - One **reply**: a connection that is owed a reply runs nothing until it has taken it. So it waits for one reply at
///   a time. A second one would be a bug, and [`put`](Self::put) panics. One reply is one line.
/// - One **ending**: the first one is final. Later ones are dropped.
///
/// ```text
///   empty, nobody waits --poll--> empty, waker kept --put--> mail (waker called)
///     ^     |                                                  |  ^
///     |     +---------------------------put--------------------|--+
///     +-------------------poll: a reply is taken out-----------+
/// ```
///
/// A reply is taken before an ending. An ending stays in its slot: it is final.
pub(super) struct Mailbox<L: Locks> {
    contents: L::Around<Contents>,
}

/// The two slots, and the waker of the owner.
#[derive(Default)]
struct Contents {
    reply: Option<Vec<u8>>,
    ending: Option<Ending>,
    /// Set while the owner sleeps and waits for mail.
    waker: Option<Waker>,
}

impl Contents {
    fn take(&mut self) -> Option<Mail> {
        self.reply.take().map(Mail::Reply).or(self.ending.map(Mail::Ending))
    }
}

impl<L: Locks> Mailbox<L> {
    pub(super) fn new() -> Self {
        Self { contents: L::Around::new(Contents::default()) }
    }

    /// Puts mail into its slot and wakes the owner.
    ///
    /// # Panics
    ///
    /// If `mail` is a reply, and the reply before it was not taken.
    pub(super) fn put(&self, mail: Mail) {
        let waker = self.contents.with(|contents| {
            match mail {
                Mail::Reply(reply) => {
                    assert!(contents.reply.is_none(), "a wait is answered twice");
                    contents.reply = Some(reply);
                }
                Mail::Ending(ending) => {
                    contents.ending.get_or_insert(ending);
                }
            }
            contents.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contents.with(|contents| contents.reply.is_none() && contents.ending.is_none())
    }

    /// Takes the reply of a wait, if it is there.
    pub(super) fn take_reply(&self) -> Option<Vec<u8>> {
        self.contents.with(|contents| contents.reply.take())
    }

    /// Looks for mail. If there is none, registers the waker in the same locked step.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<Mail> {
        self.contents.with(|contents| {
            if let Some(mail) = contents.take() {
                return Poll::Ready(mail);
            }
            match &mut contents.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            Poll::Pending
        })
    }
}
