//! One connection's way into the hub: its commands go in, its replies and its mail come out.

use super::mailbox::Mailbox;
use super::state::HubState;
use super::{Hub, Locks, Mail, StdLocks};
use elockd_core::bug;
use elockd_core::wire::encode;
use elockd_core::{Cause, Command, Conn, DriverInput, Input, Now, Output, Reason, Reply, Scan};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// One connection's way to the machine. Dropping it ends the connection there, so that whatever becomes
/// of its task, its locks are released.
pub struct Handle<L: Locks = StdLocks> {
    pub(super) hub: Arc<Hub<L>>,
    pub(super) conn: Conn,
    /// `None` once the connection is closed in the machine.
    pub(super) mailbox: Option<Arc<Mailbox<L>>>,
}

impl<L: Locks> Handle<L> {
    /// Runs commands in one go and appends their replies to `out`. The caller bounds their number: the
    /// lock is held for all of them. A command that [`ends_batch`](Command::ends_batch) must be the last.
    pub fn batch<N: AsRef<[u8]>>(&self, now: Now, commands: &[Command<N>], out: &mut Vec<u8>) -> Flow {
        self.run(now, commands, out, |_| {})
    }

    /// The same with one command. Says too whether it succeeded, when there is a reply at all.
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
                // By reference: to move a reply would take as long as to encode it.
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

    /// Ends the connection: all it holds is released, and its wait over, before anything else happens. Gives the
    /// reply of its wait that it has not had yet, if there is one. Only the first end counts.
    pub fn close(&mut self, now: Now, cause: Cause) -> Vec<u8> {
        let Some(mailbox) = self.mailbox.take() else { return Vec::new() };
        self.hub.with(|state| self.close_with(state, &mailbox, now, cause))
    }

    /// Ends the connection because its peer, which waits, said that it will say no more; gives the reply of the
    /// wait. `None` when the wait is over already: then there is mail, and the connection goes on.
    pub fn close_waiting(&mut self, now: Now) -> Option<Vec<u8>> {
        let mailbox = self.mailbox.as_ref()?;
        let owed = self.hub.with(|state| {
            // Mail is put within this lock: if there is none, the machine has not ended the wait.
            mailbox.is_empty().then(|| self.close_with(state, mailbox, now, Cause::Eof))
        })?;
        self.mailbox = None;
        Some(owed)
    }

    fn close_with(&self, state: &mut HubState<L>, mailbox: &Mailbox<L>, now: Now, cause: Cause) -> Vec<u8> {
        state.post.boxes.remove(&self.conn);
        let mut owed = mailbox.take_reply().unwrap_or_default();
        let input = DriverInput::Closed(self.conn, cause);
        state.apply(now, input, &mut |output| match output {
            Output::Reply(reply) => encode(&reply, &mut owed),
            // It may have been due to be closed as idle in this very moment.
            Output::Disconnect(_) => {}
            Output::Wait => panic!("{:?} began to wait as it closed", self.conn),
        });
        owed
    }

    /// Takes note that the machine has closed the connection, as its [`Flow`] or [`Ending`](super::Ending) said.
    pub fn closed(&mut self) {
        if self.mailbox.take().is_some() {
            self.hub.with(|state| state.post.boxes.remove(&self.conn));
        }
    }

    /// Ready when somebody else ended this connection's wait, or decided that it ends itself; else the waker is
    /// called when that happens. A closed connection is told nothing any more.
    pub fn poll_mail(&self, waker: &Waker) -> Poll<Mail> {
        self.mailbox.as_ref().map_or(Poll::Pending, |mailbox| mailbox.poll(waker))
    }
}

impl<L: Locks> Drop for Handle<L> {
    fn drop(&mut self) {
        if self.hub.is_broken() || bug!(DroppedHandleStaysOpen) {
            return;
        }
        // No clock at hand: a time that goes back counts as the last one the machine has seen.
        self.close(Now::default(), Cause::Error);
    }
}

/// What the connection has to do after a batch.
#[derive(Debug)]
pub enum Flow {
    /// Send the replies and go on.
    Go,
    /// Send the replies, then collect this listing and send it, then go on.
    List(Scan),
    /// Send the replies. The last command has none yet: it comes by mail, and until then nothing more is run.
    Wait,
    /// Send the replies and close.
    Close(Reason),
}
