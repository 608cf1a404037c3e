//! What comes out of the machine: replies, and connections to be closed. Replies borrow from the
//! command and from the machine; the codec turns them into bytes.

use crate::wire::Reply;

/// Something for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// The answer to the connection's command.
    Reply(Reply<'a>),
    /// The connection waits: its reply comes with a later input. Until then it is owed one, and its
    /// commands are ignored.
    Wait,
    /// The machine is done with the connection, and its locks are released already: send what it is
    /// still owed and close it.
    Disconnect(Reason),
}

/// Why the machine closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// One connection over the limit: `0 Too Many Connections`, and it never was one.
    TooManyConnections,
    /// It said `quit`.
    Quit,
    /// It said nothing for longer than the idle limit.
    Idle,
    /// An operator closed it.
    Kicked,
}
