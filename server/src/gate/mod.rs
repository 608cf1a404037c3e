//! The gate: a session's only way to the lock machine. The gate decides how an input comes to be applied. A session
//! does not know.
//!
//! A gate hands out one [handle](GateHandle) for each connection. What a connection asks for is answered in one of two
//! ways:
//!
//! - **At once**: the reply is in the buffer when the call returns.
//! - **Later**: the call returns [`Flow::Wait`], and the reply comes by [mail](GateHandle::poll_mail).
//!
//! There are two gates. [`Local`] applies inputs here and now. [`Replicated`] hands them to a cluster, and what comes
//! of them comes by mail. A server is generic over its gate, so that neither costs the other anything.

mod berths;
mod leased;
mod local;
mod replica;
mod replicated;
#[cfg(test)]
mod tests;

pub use berths::{Berth, Berths};
pub use leased::Leased;
pub use local::Local;
pub use replica::Replica;
pub use replicated::{Replicated, ReplicatedHandle};

use crate::clock::Clock;
use crate::hub::{Flow, Hub, Mail};
use crate::listen::Stream;
use elockd_core::{Account, Accounts, Addr, Cause, Command, Conn, Kind, Now, Origin, Reason};
use std::sync::Arc;
use std::task::{Poll, Waker};
use tokio::task::JoinHandle;

/// The way of all connections of a server to the machine.
pub trait Gate: Send + Sync + 'static {
    /// One connection's way to the machine.
    type Handle: GateHandle;

    /// What an accepted socket may do, as long as it is open. It was decided when it was accepted.
    type Pass: Clone + Send + Sync + 'static;

    /// An accepted stream, as everything above it has it: TLS, WebSockets, lines.
    type Guarded<S: Stream>: Stream;

    /// Whether the server must reserve fencing tokens for the machine.
    const NEEDS_TOKENS: bool;

    /// Whether all replies come by mail. Otherwise only those of waits do.
    const ANSWERS_BY_MAIL: bool;

    /// The hub behind this gate, to look at: figures, slices of listings.
    fn hub(&self) -> &Hub;

    /// The node whose connections come through this gate. 0 for a single daemon.
    fn node(&self) -> u16;

    /// Whether connections are served now.
    fn is_serving(&self) -> bool;

    /// The machine's time. `now` is the server's own.
    fn time(&self, now: Now) -> Now;

    /// Takes in a socket that was just accepted.
    fn take_in<S: Stream>(&self, stream: S) -> (Self::Guarded<S>, Self::Pass);

    /// Notes which task has the socket. `is_ready` is whether its handshake is over.
    fn in_care_of(&self, pass: &Self::Pass, is_ready: bool, task: JoinHandle<()>);

    /// Opens a connection. `origin` gets its number, for peers that have no address. The machine may still refuse it:
    /// then that comes by mail.
    ///
    /// # Errors
    ///
    /// The reason to refuse it, if that is known at once.
    fn open(
        &self,
        pass: &Self::Pass,
        now: Now,
        origin: impl FnOnce(Conn) -> Origin,
    ) -> Result<Self::Handle, Reason>;

    /// Replaces the table of accounts.
    fn set_accounts(&self, now: Now, accounts: &Arc<Accounts>);

    /// Closes connections of accounts that are not in the table. For the rest see [`Hub::close_without_account`].
    fn close_without_account(&self, now: Now, after: Option<Conn>, most: usize) -> (usize, Option<Conn>);

    /// Begins the shutdown: nothing is granted from here on, every wait is answered, and every connection is told to
    /// end.
    fn drain(&self, now: Now);

    /// Does what the machine needs from time to time. Runs beside all connections, until it is dropped. `idle_ms` is
    /// the idle limit, or 0.
    fn tend(&self, clock: Clock, idle_ms: u64) -> impl Future<Output = ()> + Send;
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
