//! Why a lock cannot be counted on any more.

use crate::error::{Error, Refusal};
use std::io;

/// Why a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The daemon closed the connection: it was shut down, an operator kicked the connection, or it was idle too long.
    #[error("the daemon closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke ({0})")]
    Broken(io::ErrorKind),
    /// The connection led to a node of a cluster that has lost touch with the others, so that it cannot keep locks.
    #[error("the node has no quorum: it cannot reach enough of the other nodes")]
    NoQuorum,
    /// The daemon has not answered for so long that it may soon give the lock to somebody else. It also happens to a
    /// process that was stopped for as long.
    #[error("the daemon has not answered for too long")]
    Silent,
    /// The daemon answers that this connection does not hold the lock: an operator took it away.
    #[error("an operator took it away")]
    Stolen,
    /// The daemon answered a question with something that is no answer.
    #[error("the daemon's answer made no sense")]
    Protocol,
    /// The connection was lost, and the daemon did not give the lock to a new one: the grace was over, or the daemon
    /// has restarted.
    #[error("it could not be resumed")]
    NotResumed,
    /// The runtime that the guard's task ran on is gone. So is the connection.
    #[error("the runtime of its task is gone")]
    RuntimeGone,
    /// The session was closed while its lock was still held.
    #[error("its session was closed")]
    SessionClosed,
}

impl Lost {
    /// The reason of locks whose connection ended with this error.
    pub(crate) fn by(error: &Error) -> Self {
        match error {
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::Silent,
            Error::Io(error) => Self::Broken(error.kind()),
            Error::Lost(lost) => *lost,
            Error::Refused(Refusal::NoQuorum) => Self::NoQuorum,
            Error::Refused(_) => Self::Closed,
            _ => Self::Protocol,
        }
    }
}
