//! One connection's way into the hub. Its commands go in, and its replies and its mail come out.

use super::mailbox::Mailbox;
use super::state::HubState;
use super::{Hub, Locks, Mail, StdLocks};
use elockd_core::bug;
use elockd_core::wire::encode;
use elockd_core::{
    Account, Addr, Cause, Command, Conn, DriverInput, Input, Kind, Now, Output, Reason, Reply, Scan,
};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// One connection's way to the machine. If it is dropped, the connection ends there. So its locks are released,
/// whatever happens to its task.
pub struct Handle<L: Locks = StdLocks> {
    pub(super) hub: Arc<Hub<L>>,
    pub(super) conn: Conn,
    /// `None` once the connection is closed in the machine.
    pub(super) mailbox: Option<Arc<Mailbox<L>>>,
}

impl<L: Locks> Handle<L> {
    /// Runs commands in one go and appends their replies to `out`. The hub's lock is held for all of them, so the
    /// caller must bound their number. A command that [`ends_batch`](Command::ends_batch) must be the last.
    pub fn batch<N: AsRef<[u8]>>(&self, now: Now, commands: &[Command<N>], out: &mut Vec<u8>) -> Flow {
        self.run(now, commands, out, |_| {})
    }

    /// Like `batch` with one command. Returns too whether it succeeded, if there is a reply at all.
    pub fn command<N: AsRef<[u8]>>(
        &self,
        now: Now,
        command: &Command<N>,
        out: &mut Vec<u8>,
    ) -> (Flow, Option<bool>) {
        let mut is_success = None;
        let commands = std::slice::from_ref(command);
        let flow = self.run(now, commands, out, |reply| is_success = Some(!reply.is_failure()));
        (flow, is_success)
    }

    #[inline]
    fn run<N: AsRef<[u8]>>(
        &self,
        now: Now,
        commands: &[Command<N>],
        out: &mut Vec<u8>,
        mut heard: impl FnMut(&Reply<'_>),
    ) -> Flow {
        self.hub.with(|state| {
            let mut flow = Flow::Go;
            for command in commands {
                assert!(matches!(flow, Flow::Go | Flow::Close(Reason::Idle)), "a command after the last");
                // By reference, because moving a reply takes as long as encoding it.
                state.apply(now, Input::Command(self.conn, command), &mut |output| match &output {
                    Output::Reply(reply) => {
                        heard(reply);
                        match reply {
                            Reply::Listing(listing) => flow = Flow::List(Scan::new(*listing)),
                            reply => encode(reply, out),
                        }
                    }
                    Output::Wait => flow = Flow::Wait,
                    Output::Disconnect(reason) => flow = Flow::Close(*reason),
                });
            }
            flow
        })
    }

    /// The account that its locks are counted for, while it is open. Later it is the default.
    #[must_use]
    pub fn account(&self) -> Account {
        self.hub.account_of(self.conn).unwrap_or_default()
    }

    /// Its address, while it is open.
    #[must_use]
    pub fn addr(&self) -> Option<Addr> {
        self.hub.addr_of(self.conn)
    }

    /// Whether the connection holds this lock.
    #[must_use]
    pub fn is_holder(&self, kind: Kind, name: &[u8]) -> bool {
        self.hub.is_holder(self.conn, kind, name)
    }

    /// Ends the connection. All it holds is released and its wait is over before anything else happens. Returns the
    /// reply of its wait, if it has not had that yet. Only the first end counts.
    pub fn close(&mut self, now: Now, cause: Cause) -> Vec<u8> {
        let Some(mailbox) = self.mailbox.take() else { return Vec::new() };
        self.hub.with(|state| self.close_with(state, &mailbox, now, cause))
    }

    /// Ends a connection that waits, because its peer sent FIN. Returns the reply of the wait. Returns `None` if the
    /// wait is over already. Then there is mail, and the connection goes on.
    pub fn close_waiting(&mut self, now: Now) -> Option<Vec<u8>> {
        let mailbox = self.mailbox.as_ref()?;
        let owed = self.hub.with(|state| {
            // Mail is only put within this lock. So if there is none, the machine has not ended the wait.
            mailbox.is_empty().then(|| self.close_with(state, mailbox, now, Cause::Eof))
        })?;
        self.mailbox = None;
        Some(owed)
    }

    fn close_with(&self, state: &mut HubState<L>, mailbox: &Mailbox<L>, now: Now, cause: Cause) -> Vec<u8> {
        state.post.boxes.remove(&self.conn);
        let mut owed = mailbox.take_reply();
        let input = DriverInput::Closed(self.conn, cause);
        state.apply(now, input, &mut |output| match output {
            Output::Reply(reply) => encode(&reply, &mut owed),
            // At this moment the connection may also have reached the idle limit.
            Output::Disconnect(_) => {}
            Output::Wait => panic!("{:?} began to wait as it closed", self.conn),
        });
        owed
    }

    /// Notes that the machine has closed the connection, as its [`Flow`] or [`Ending`](super::Ending) said.
    pub fn closed(&mut self) {
        if self.mailbox.take().is_some() {
            self.hub.with(|state| state.post.boxes.remove(&self.conn));
        }
    }

    /// Ready if there is mail: somebody else ended this connection's wait, or the connection itself must end. Otherwise
    /// the waker is called when there is. A closed connection gets no mail.
    pub fn poll_mail(&self, waker: &Waker) -> Poll<Mail> {
        self.mailbox.as_ref().map_or(Poll::Pending, |mailbox| mailbox.poll(waker))
    }
}

impl<L: Locks> Drop for Handle<L> {
    fn drop(&mut self) {
        if self.hub.is_broken() || bug!(DroppedHandleStaysOpen) {
            return;
        }
        // No clock is at hand. The machine takes a time in the past as the latest time it has seen.
        self.close(Now::default(), Cause::Error);
    }
}

/// What the connection must do after a batch, or after a reply that came by mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Send the replies and go on.
    Go,
    /// Send the replies, then collect this listing and send it, then go on.
    List(Scan),
    /// Send the replies. The last command's reply comes by mail. Run nothing more until then.
    Wait,
    /// Send the replies and close.
    Close(Reason),
}
