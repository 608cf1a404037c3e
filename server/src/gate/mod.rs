//! The gate: a session's only way to the lock machine. The gate decides how an input comes to be applied. A session
//! does not know.
//!
//! A gate hands out one [handle](GateHandle) for each connection. What a connection asks for is answered in one of two
//! ways:
//!
//! - **At once**: the reply is in the buffer when the call returns.
//! - **Later**: the call returns [`Flow::Wait`], and the reply comes by [mail](GateHandle::poll_mail).
//!
//! There is one gate, [`Local`]. It applies inputs here and now. A server is generic over its gate, so a second gate is
//! another file, and costs the first one nothing.

mod local;
#[cfg(test)]
mod tests;

pub use local::Local;

use crate::hub::{Flow, Hub, Mail};
use elockd_core::{Account, Accounts, Addr, Cause, Command, Conn, Kind, Now, Origin, Reason};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// The way of all connections of a server to the machine.
pub trait Gate: Send + Sync + 'static {
    /// One connection's way to the machine.
    type Handle: GateHandle;

    /// The hub behind this gate, to look at: figures, slices of listings.
    fn hub(&self) -> &Hub;

    /// Opens a connection. `origin` gets its number, for peers that have no address.
    ///
    /// # Errors
    ///
    /// The machine's reason to refuse it.
    fn open(&self, now: Now, origin: impl FnOnce(Conn) -> Origin) -> Result<Self::Handle, Reason>;

    /// Replaces the table of accounts.
    fn set_accounts(&self, now: Now, accounts: &Arc<Accounts>);

    /// Closes connections of accounts that are not in the table. For the rest see [`Hub::close_without_account`].
    fn close_without_account(&self, now: Now, after: Option<Conn>, most: usize) -> (usize, Option<Conn>);

    /// Begins the shutdown: nothing is granted from here on, every wait is answered, and every connection is told to
    /// end.
    fn drain(&self, now: Now);
}

/// One connection's way to the machine. If it is dropped, the connection ends there and its locks are released.
pub trait GateHandle: Send + Unpin + 'static {
    /// Hands in commands, to be run in one go. Replies that come at once are appended to `out`. The caller bounds the
    /// number of commands. A command that [`ends_batch`](Command::ends_batch) must be the last one.
    ///
    /// After [`Flow::Wait`] the caller must hand in nothing more until the reply has come by mail.
    fn batch<N: AsRef<[u8]>>(&self, now: Now, commands: &[Command<N>], out: &mut Vec<u8>) -> Flow;

    /// Like [`batch`](Self::batch) with one command. Returns too whether it succeeded, if there is a reply at all.
    fn command<N: AsRef<[u8]>>(
        &self,
        now: Now,
        command: &Command<N>,
        out: &mut Vec<u8>,
    ) -> (Flow, Option<bool>);

    /// The account that the connection's locks are counted for, while the connection is open. Later it is the default.
    fn account(&self) -> Account;

    /// The connection's address, while it is open.
    fn addr(&self) -> Option<Addr>;

    /// Whether the connection holds this lock.
    fn is_holder(&self, kind: Kind, name: &[u8]) -> bool;

    /// Ends the connection: its locks are released and its wait is over before anything else happens. Returns the
    /// reply that it is still owed, or nothing. Only the first end counts.
    fn close(&mut self, now: Now, cause: Cause) -> Vec<u8>;

    /// Ends a connection that waits, because its peer sent FIN. Returns the reply of the wait. Returns `None` if that
    /// reply comes by mail; then the connection goes on until the mail is taken.
    fn close_waiting(&mut self, now: Now) -> Option<Vec<u8>>;

    /// Notes that the machine has closed the connection, as a [`Flow`] or a [`Mail`] said.
    fn closed(&mut self);

    /// Ready if there is mail: the reply that the connection waits for, or its end. Otherwise `waker` is called when
    /// there is. A closed connection gets no mail.
    fn poll_mail(&self, waker: &Waker) -> Poll<Mail>;
}
