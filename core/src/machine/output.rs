//! What comes out of the machine: replies, and connections to be closed. Replies borrow from the
//! command and from the machine; the codec turns them into bytes.

use crate::wire::Reply;

/// Something for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// The answer to the connection's command.
    Reply(Reply<'a>),
    /// The connection waits. Its reply comes with a later input. Until then its commands are ignored.
    Wait,
    /// The connection has ended, and its locks are released already. The driver must send what it is still owed and
    /// close it.
    Disconnect(Reason),
}

/// Why the machine closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It would have exceeded a limit of connections, when it opened or when it logged in. It must be told `0 Too Many
    /// Connections`.
    TooManyConnections,
    /// It said `quit`.
    Quit,
    /// It said nothing for longer than the idle limit.
    Idle,
    /// An operator closed it.
    Kicked,
    /// Another connection said its key, and has its holds now.
    Resumed,
    /// Its node cannot reach the others. It must be told `0 No Quorum`. Only drivers say so: a machine knows nothing of
    /// quorums.
    NoQuorum,
}
