//! What goes into the machine: connections that open, send commands and close, and the passing of time.

use crate::accounts::Accounts;
use crate::types::{Conn, Origin};
use crate::wire::Command;
use std::sync::Arc;

/// One event. Every input is legal in every state. One that makes no sense, such as a command of a connection that is
/// not open or a second `Closed`, only changes a counter.
///
/// `C` is the form of a command, and `A` that of a table of accounts. The machine takes both borrowed
/// ([`BorrowedInput`]). Logs and traces own them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<C, A = Arc<Accounts>> {
    /// A connection was accepted. Its number must be above all before it on its node. Otherwise the input is ignored.
    Opened(Conn, Origin),
    /// A connection sent a line.
    Command(Conn, C),
    /// A connection ended. All it holds is released before the next input.
    Closed(Conn, Cause),
    /// A node is over. Each of its connections ends as if it were closed, by ascending number. Only then what they held
    /// goes to those who wait, so that nothing is granted to a connection that the same input ends. The node drains no
    /// longer.
    Gone(u16),
    /// Time passed. Every input first does what is due by its time. A `Tick` does nothing more.
    Tick,
    /// For this long before this input's time the driver served nobody, for example because its process was stopped.
    /// That is not silence of any connection. A lapse cannot begin before the last input: what is more is ignored.
    Lapse {
        /// Milliseconds.
        ms: u64,
    },
    /// A node is about to stop; a single daemon is node 0. Every wait of its connections ends, and nothing is granted
    /// to them from now on.
    Drain(u16),
    /// Fencing tokens from `first` to `last` may be given out. The driver must make sure that no token from `first` on
    /// was ever given out. Tokens at or below an earlier `last` are ignored.
    Tokens {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
    },
    /// From now on this is the table of accounts. What accounts have stays, also if it is more than they may have now.
    Accounts(A),
}

/// An input as the machine takes it.
pub type BorrowedInput<'a, N> = Input<&'a Command<N>, &'a Arc<Accounts>>;

/// An input that is no command.
pub type DriverInput<'a> = Input<&'static Command<&'static [u8]>, &'a Arc<Accounts>>;

impl<C, A> Input<C, A> {
    /// The connection that the input is about. `None` for inputs about no connection.
    pub const fn conn(&self) -> Option<Conn> {
        match self {
            Self::Opened(conn, _) | Self::Command(conn, _) | Self::Closed(conn, _) => Some(*conn),
            Self::Gone(_)
            | Self::Tick
            | Self::Lapse { .. }
            | Self::Drain(_)
            | Self::Tokens { .. }
            | Self::Accounts(_) => None,
        }
    }

    /// The same input with what it has borrowed.
    pub const fn as_ref(&self) -> Input<&C, &A> {
        match self {
            Self::Opened(conn, origin) => Input::Opened(*conn, *origin),
            Self::Command(conn, command) => Input::Command(*conn, command),
            Self::Closed(conn, cause) => Input::Closed(*conn, *cause),
            Self::Gone(node) => Input::Gone(*node),
            Self::Tick => Input::Tick,
            Self::Lapse { ms } => Input::Lapse { ms: *ms },
            Self::Drain(node) => Input::Drain(*node),
            Self::Tokens { first, last } => Input::Tokens { first: *first, last: *last },
            Self::Accounts(accounts) => Input::Accounts(accounts),
        }
    }

    /// The same input with its command changed by `command`.
    pub fn map<D>(self, command: impl FnOnce(C) -> D) -> Input<D, A> {
        match self {
            Self::Opened(conn, origin) => Input::Opened(conn, origin),
            Self::Command(conn, said) => Input::Command(conn, command(said)),
            Self::Closed(conn, cause) => Input::Closed(conn, cause),
            Self::Gone(node) => Input::Gone(node),
            Self::Tick => Input::Tick,
            Self::Lapse { ms } => Input::Lapse { ms },
            Self::Drain(node) => Input::Drain(node),
            Self::Tokens { first, last } => Input::Tokens { first, last },
            Self::Accounts(accounts) => Input::Accounts(accounts),
        }
    }
}

impl<C> Input<C, &Arc<Accounts>> {
    /// The same input with a share of its table of accounts.
    pub fn shared(self) -> Input<C> {
        match self {
            Self::Opened(conn, origin) => Input::Opened(conn, origin),
            Self::Command(conn, said) => Input::Command(conn, said),
            Self::Closed(conn, cause) => Input::Closed(conn, cause),
            Self::Gone(node) => Input::Gone(node),
            Self::Tick => Input::Tick,
            Self::Lapse { ms } => Input::Lapse { ms },
            Self::Drain(node) => Input::Drain(node),
            Self::Tokens { first, last } => Input::Tokens { first, last },
            Self::Accounts(accounts) => Input::Accounts(Arc::clone(accounts)),
        }
    }
}

/// Why a connection ended. It is counted. Apart from that it only decides whether a waiting connection gets a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The peer sent FIN, and all whole lines before it have run.
    Eof,
    /// A reset, a dead peer found by keepalive, or another error of the socket.
    Error,
    /// The peer took no byte of its replies for the write timeout.
    Stalled,
    /// The daemon is stopping.
    Shutdown,
    /// The peer said `quit`. Only the machine itself reports this one.
    Quit,
    /// The idle limit was reached. Only the machine itself reports this one.
    Idle,
    /// An operator's `kick`. Only the machine itself reports this one.
    Kicked,
    /// Another connection said its key. Only the machine itself reports this one.
    Resumed,
    /// It logged in to an account that has no connection left. Only the machine itself reports this one.
    Refused,
    /// The node that accepted it is gone. Only [`Input::Gone`] ends a connection so.
    NodeLost,
}

impl Cause {
    /// Every cause, in the order in which figures show them.
    pub const ALL: [Self; 10] = [
        Self::Eof,
        Self::Error,
        Self::Stalled,
        Self::Shutdown,
        Self::Quit,
        Self::Idle,
        Self::Kicked,
        Self::Resumed,
        Self::Refused,
        Self::NodeLost,
    ];

    /// Whether a connection that asked for grace leaves a session. If not, it meant to end or is to lose its locks, or
    /// the session is another connection's already.
    pub(crate) fn leaves_a_session(self) -> bool {
        match self {
            Self::Eof | Self::Error | Self::Stalled | Self::Shutdown | Self::NodeLost => true,
            Self::Quit => bug!(QuitLingers),
            Self::Idle | Self::Kicked | Self::Resumed | Self::Refused => false,
        }
    }

    /// The word in `q full`: `closed_WORD`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Error => "error",
            Self::Stalled => "stalled",
            Self::Shutdown => "shutdown",
            Self::Quit => "quit",
            Self::Idle => "idle",
            Self::Kicked => "kicked",
            Self::Resumed => "resumed",
            Self::Refused => "refused",
            Self::NodeLost => "node_lost",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_at_their_index() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), index);
        }
    }
}
