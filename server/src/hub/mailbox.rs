//! A connection's mailbox: news that others cause. It has one slot for a reply and one for an ending, and neither can
//! overflow.

use super::{Flow, Lock, Locks};
use elockd_core::{Reason, Scan};
use std::task::{Poll, Waker};

/// News for a connection that it did not cause itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// What it waits for has come: the replies, as they go over the wire, and what it must do after them. Of a wait
    /// alone that is always to go on.
    Reply(Vec<u8>, Flow),
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
///
/// Every connection has one, so it is packed: the listing that seldom follows a reply is boxed, and all else that may
/// follow takes a byte.
#[derive(Default)]
struct Contents {
    reply: Option<Letter>,
    /// What follows the reply, unless that is a listing.
    after: After,
    ending: Option<Ending>,
    /// Set while the owner sleeps and waits for mail.
    waker: Option<Waker>,
}

/// A reply. If a listing follows it, that is beside it.
enum Letter {
    Text(Vec<u8>),
    Listing(Box<(Vec<u8>, Scan)>),
}

/// What follows a reply, as in [`Flow`].
#[derive(Clone, Copy, Default)]
enum After {
    #[default]
    Go,
    Wait,
    Close(Reason),
}

impl Contents {
    fn put_reply(&mut self, bytes: Vec<u8>, flow: Flow) {
        (self.reply, self.after) = match flow {
            Flow::Go => (Some(Letter::Text(bytes)), After::Go),
            Flow::Wait => (Some(Letter::Text(bytes)), After::Wait),
            Flow::Close(reason) => (Some(Letter::Text(bytes)), After::Close(reason)),
            Flow::List(scan) => (Some(Letter::Listing(Box::new((bytes, scan)))), After::Go),
        };
    }

    fn take_reply(&mut self) -> Option<(Vec<u8>, Flow)> {
        self.reply.take().map(|letter| match (letter, self.after) {
            (Letter::Text(bytes), After::Go) => (bytes, Flow::Go),
            (Letter::Text(bytes), After::Wait) => (bytes, Flow::Wait),
            (Letter::Text(bytes), After::Close(reason)) => (bytes, Flow::Close(reason)),
            (Letter::Listing(listing), _) => (listing.0, Flow::List(listing.1)),
        })
    }

    fn take(&mut self) -> Option<Mail> {
        let reply = self.take_reply().map(|(bytes, flow)| Mail::Reply(bytes, flow));
        reply.or(self.ending.map(Mail::Ending))
    }

    fn sleep(&mut self, waker: &Waker) -> Poll<Mail> {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
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
                Mail::Reply(bytes, flow) => {
                    assert!(contents.reply.is_none(), "a wait is answered twice");
                    contents.put_reply(bytes, flow);
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

    /// Puts what a connection's inputs have come to into the slot for a reply. A wait that began in the reply before
    /// may have ended before that was taken: then this is behind it. Nobody takes a reply whose connection was closed.
    pub(super) fn answer(&self, mut bytes: Vec<u8>, flow: Flow) {
        let waker = self.contents.with(|contents| {
            if matches!(contents.ending, Some(Ending::Machine(_))) {
                return None;
            }
            if let Some((mut before, flow)) = contents.take_reply() {
                assert!(flow == Flow::Wait, "{flow:?}: a connection asks before it has its replies");
                before.append(&mut bytes);
                bytes = before;
            }
            contents.put_reply(bytes, flow);
            contents.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tells the owner that its node may not serve any more. No reply that is still here may be told, and no other
    /// ending but the machine's is.
    pub(super) fn lapse(&self) {
        let waker = self.contents.with(|contents| {
            contents.reply = None;
            if !matches!(contents.ending, Some(Ending::Machine(_))) {
                contents.ending = Some(Ending::Machine(Reason::NoQuorum));
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

    /// Takes the reply of a wait. Empty if it is not there.
    pub(super) fn take_reply(&self) -> Vec<u8> {
        self.contents.with(|contents| contents.take_reply().map(|(bytes, _)| bytes).unwrap_or_default())
    }

    /// Looks for mail. If there is none, registers the waker in the same locked step.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<Mail> {
        self.contents.with(|contents| match contents.take() {
            Some(mail) => Poll::Ready(mail),
            None => contents.sleep(waker),
        })
    }

    /// The same for an owner that is owed a reply: it is told of a shutdown behind that.
    pub(super) fn poll_owed(&self, waker: &Waker) -> Poll<Mail> {
        self.contents.with(|contents| match contents.take() {
            None | Some(Mail::Ending(Ending::Drained)) => contents.sleep(waker),
            Some(mail) => Poll::Ready(mail),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::StdLocks;

    #[test]
    fn a_mailbox_takes_56_bytes() {
        assert_eq!(
            size_of::<Mailbox<StdLocks>>(),
            56,
            "docs/architecture.md counts with this, and a count of 16"
        );
    }
}
