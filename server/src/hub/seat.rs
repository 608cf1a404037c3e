//! A connection's place in the hub of a node in a cluster: its number, its mailbox, and what it is owed. What it says
//! goes into a log, by another way than this.

use super::mailbox::Mailbox;
use super::{Flow, Hub, Locks, Mail, StdLocks};
use elockd_core::Conn;
use std::cell::Cell;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// A connection's place in the hub. Whoever drops it must have [left](Self::leave) it.
pub struct Seat<L: Locks = StdLocks> {
    hub: Arc<Hub<L>>,
    conn: Conn,
    /// `None` once the connection has left.
    mailbox: Option<Arc<Mailbox<L>>>,
    debt: Cell<Debt>,
}

/// What a connection is owed.
///
/// ```text
///              ask               reply: wait            peer_ends
///   Nothing <=======> Replies ----------------> Wait --------------> LastReply
///      ^      reply: go, a listing, or close      |                      | reply
///      +------------------------------------------+                      v
///                   reply: go, or close                                Over
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debt {
    /// Nothing.
    Nothing,
    /// The replies to what it has handed in.
    Replies,
    /// The reply of a wait that the machine has begun.
    Wait,
    /// The same, and the peer will say nothing more: that was handed in. Whichever reply comes is the last one.
    LastReply,
    /// It had its last reply. Nothing that its peer said before runs any more.
    Over,
}

impl<L: Locks> Seat<L> {
    pub(super) fn new(hub: Arc<Hub<L>>, conn: Conn, mailbox: Arc<Mailbox<L>>) -> Self {
        Self { hub, conn, mailbox: Some(mailbox), debt: Cell::new(Debt::Nothing) }
    }

    /// The connection's number.
    #[must_use]
    pub fn conn(&self) -> Conn {
        self.conn
    }

    /// The hub.
    #[must_use]
    pub fn hub(&self) -> &Hub<L> {
        &self.hub
    }

    /// Notes that commands are about to be handed in. Returns whether they may be: not when the connection is over.
    pub fn ask(&self) -> bool {
        if self.mailbox.is_none() || self.debt.get() == Debt::Over {
            return false;
        }
        assert!(self.debt.get() == Debt::Nothing, "{:?} asks before it has its replies", self.conn);
        self.debt.set(Debt::Replies);
        true
    }

    /// Notes that the peer has sent FIN while the connection waits. Returns whether its end must be handed in: not
    /// while replies are under way that are no wait, nor a second time.
    pub fn peer_ends(&self) -> bool {
        let is_waiting =
            self.debt.get() == Debt::Wait && self.mailbox.as_ref().is_some_and(|own| own.is_empty());
        if is_waiting {
            self.debt.set(Debt::LastReply);
        }
        is_waiting
    }

    /// Ready if there is mail. Otherwise the waker is called when there is.
    pub fn poll_mail(&self, waker: &Waker) -> Poll<Mail> {
        let Some(mailbox) = &self.mailbox else { return Poll::Pending };
        let mail = match self.debt.get() {
            Debt::Nothing | Debt::Over => mailbox.poll(waker),
            Debt::Replies | Debt::Wait | Debt::LastReply => mailbox.poll_owed(waker),
        };
        if let Poll::Ready(Mail::Reply(_, flow)) = &mail {
            self.debt.set(match (self.debt.get(), flow) {
                (Debt::LastReply, _) => Debt::Over,
                (_, Flow::Wait) => Debt::Wait,
                _ => Debt::Nothing,
            });
        }
        mail
    }

    /// Leaves it: nothing is told any more. Returns whether the connection's end must be handed in: not if it was, nor
    /// a second time.
    pub fn leave(&mut self) -> bool {
        if self.mailbox.take().is_none() {
            return false;
        }
        self.hub.with(|state| state.post.boxes.remove(&self.conn));
        !matches!(self.debt.get(), Debt::LastReply | Debt::Over)
    }
}
