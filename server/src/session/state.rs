//! A session's state, as plain data. It has no future in it, so it can be inspected, and passed to another process. Its
//! only timers are made from deadlines, and can be made again.

use super::alarm::Alarm;
use super::finishing::Flush;
use super::lingering::Linger;
use super::listing::Listing;
use elockd_core::wire::Foreign;
use elockd_core::{Cause, Reason};

/// What a session is doing. One poll function (`serving.rs`) drives it from state to state.
///
/// ```text
///                              New
///                               |  its first bytes are ours
///                               v
///               a wait begins              a listing is asked for
///   Waiting <------------------- Running -------------------------> Listing
///    |  |                        ^  | ^                              |  |
///    |  +---- its reply came ----+  | +---- all of it is sent -------+  |
///    |                              |                                   |
///    +------------------------------+--- the connection ends -----------+
///                                   |
///   (Braking is beside Waiting: a login fails, and its time is over)
///                                   |                                   v
///                                Logging    its locks are released by now
///                                 |   |
///                                 |   +--- the socket failed, or the peer stalled ---+
///                                 v                                                  |
///                             Flushing ------ all is sent, and the peer has ---------+
///                                 |           closed; or that fails                  |
///                                 v                                                  v
///                            Lingering -------------------------------------------> Over
/// ```
pub(super) enum State {
    /// Like [`Running`](Self::Running). What came so far may still be another protocol, and nothing of it has run.
    New,
    /// It reads, runs and writes, as nearly always.
    Running,
    /// The machine owes it the reply of a wait. Nothing runs until the reply has come.
    Waiting,
    /// It answers with a listing. Nothing is read or run until all of it is sent.
    Listing(Box<Listing>),
    /// A login failed, and is answered at this time. Nothing is read or run until then.
    Braking(Box<Alarm>),
    /// The connection is over in the machine. What it held is logged.
    Logging(End),
    /// It sends what is left. Then it lingers if the server closes first.
    Flushing(Box<Flush>),
    /// It has sent FIN, and drops what comes.
    Lingering(Box<Linger>),
    /// Nothing is left to do.
    Over,
}

/// How a connection ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// The peer sent FIN, and all it said has run.
    Eof,
    /// The socket failed.
    Error,
    /// The peer takes no replies.
    Stalled,
    /// The machine closed it.
    Closed(Reason),
    /// The peer speaks another protocol.
    Foreign(Foreign),
    /// It must say whose it is, and did not.
    Stranger,
    /// The daemon is shutting down.
    Drained,
}

impl End {
    /// The cause to tell the machine.
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Error | Self::Foreign(_) => Cause::Error,
            Self::Stalled => Cause::Stalled,
            Self::Eof => Cause::Eof,
            Self::Closed(Reason::Idle) => Cause::Idle,
            Self::Closed(Reason::Kicked) => Cause::Kicked,
            Self::Closed(Reason::Resumed) => Cause::Resumed,
            Self::Closed(Reason::Quit) => Cause::Quit,
            Self::Closed(Reason::TooManyConnections) | Self::Stranger => Cause::Refused,
            Self::Closed(Reason::NoQuorum) => Cause::NodeLost,
            Self::Drained => Cause::Shutdown,
        }
    }
}
