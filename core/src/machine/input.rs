//! What goes into the machine: connections that open, say things and close, and the passing of time.

use crate::types::{Conn, Origin};
use crate::wire::Command;

/// One event. Every input is legal in every state: what makes no sense (a command of a connection
/// that is not open, a second `Closed`) changes nothing but a counter.
///
/// `C` is how the caller keeps commands. The machine takes them borrowed (`&Command<N>`); logs and traces keep them
/// owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<C> {
    /// A connection was accepted. Numbers go up: one at or below the highest seen is ignored.
    Opened(Conn, Origin),
    /// A connection sent a line.
    Command(Conn, C),
    /// A connection ended. All it holds is released before the next input.
    Closed(Conn, Cause),
    /// Time passed: frees a slice of what dead tenures left behind. What is due at a time is done
    /// first at every input; `Tick` is the one that does nothing else.
    Tick,
    /// The daemon is going to stop: every wait ends, and from now on nothing is granted.
    Drain,
    /// Fencing tokens from `first` to `last` may be given out: the driver has made sure that none of them,
    /// and none above, ever was before. What of them is not above every earlier `last` is ignored.
    Tokens {
        /// The lowest.
        first: u64,
        /// The highest.
        last: u64,
    },
}

/// An input that is no command.
pub type DriverInput = Input<&'static Command<&'static [u8]>>;

impl<C> Input<C> {
    /// The connection it comes from; none, for what comes from the driver itself.
    pub const fn conn(&self) -> Option<Conn> {
        match self {
            Self::Opened(conn, _) | Self::Command(conn, _) | Self::Closed(conn, _) => Some(*conn),
            Self::Tick | Self::Drain | Self::Tokens { .. } => None,
        }
    }

    /// The same input with its command borrowed.
    pub const fn as_ref(&self) -> Input<&C> {
        match self {
            Self::Opened(conn, origin) => Input::Opened(*conn, *origin),
            Self::Command(conn, command) => Input::Command(*conn, command),
            Self::Closed(conn, cause) => Input::Closed(*conn, *cause),
            Self::Tick => Input::Tick,
            Self::Drain => Input::Drain,
            Self::Tokens { first, last } => Input::Tokens { first: *first, last: *last },
        }
    }

    /// The same input with its command kept another way.
    pub fn map<D>(self, command: impl FnOnce(C) -> D) -> Input<D> {
        match self {
            Self::Opened(conn, origin) => Input::Opened(conn, origin),
            Self::Command(conn, said) => Input::Command(conn, command(said)),
            Self::Closed(conn, cause) => Input::Closed(conn, cause),
            Self::Tick => Input::Tick,
            Self::Drain => Input::Drain,
            Self::Tokens { first, last } => Input::Tokens { first, last },
        }
    }
}

/// Why a connection ended. It decides nothing; it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The peer sent FIN, and all whole lines before it have run.
    Eof,
    /// A reset, a dead peer found by keepalive, or another error of the socket.
    Error,
    /// The peer took none of its replies for the write timeout.
    Stalled,
    /// The daemon is stopping.
    Shutdown,
    /// The peer said `quit`. Only the machine itself reports this one.
    Quit,
    /// The idle limit. Only the machine itself reports this one.
    Idle,
    /// An operator's `kick`. Only the machine itself reports this one.
    Kicked,
}

impl Cause {
    /// Every cause, in the order in which figures show them.
    pub const ALL: [Self; 7] =
        [Self::Eof, Self::Error, Self::Stalled, Self::Shutdown, Self::Quit, Self::Idle, Self::Kicked];

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
