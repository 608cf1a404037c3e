//! What comes out of the machine: replies, and connections to be closed. Replies borrow from the
//! command and from the machine; the codec turns them into bytes.

use crate::figures::Figures;
use crate::types::{Addr, Kind};

/// Something for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// The answer to the connection's command.
    Reply(Reply<'a>),
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
}

/// The answer to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `1 Lock Get Success: NAME`, `N Shared Lock Get Success: NAME`.
    Got {
        /// Whose name space.
        kind: Kind,
        /// Holders, the asker included.
        holders: u32,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Failure: NAME`: another connection holds it.
    GetFailure {
        /// The lock.
        name: &'a [u8],
    },
    /// `1 Lock Release Success: NAME`, `1 Shared Lock Release Success: NAME`.
    Released {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Release Failure: NAME`, `0 Shared Lock Release Failure: NAME`: the asker does not hold it.
    ReleaseFailure {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `1 Lock Is Locked: NAME`, `N Shared Lock Is Locked: NAME`; `0 … Not Locked: NAME` for no holders.
    Inspected {
        /// Whose name space.
        kind: Kind,
        /// Holders.
        holders: u32,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Too Many Locks: NAME`: the get would pass a limit.
    TooManyLocks {
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Shutting Down`: nothing is granted any more.
    ShuttingDown,
    /// To be answered with a listing, which the driver collects with [`Machine::scan`](crate::Machine::scan).
    Listing(Listing<'a>),
    /// `1 ADDR NAME`.
    Me {
        /// Where the connection comes from.
        addr: Addr,
        /// Its registered name, if it has one.
        name: Option<&'a [u8]>,
    },
    /// `1 ok`.
    Registered,
    /// The statistics.
    Figures {
        /// What they are now.
        figures: Figures<'a>,
        /// Whether all of them are wanted.
        full: bool,
    },
    /// `1 pong`.
    Pong,
    /// One line for each command.
    Help,
    /// `0 disabled`.
    Disabled {
        /// Whether an empty line ends the reply.
        framed: bool,
    },
    /// `0 Name Too Long`.
    NameTooLong {
        /// Whether an empty line ends the reply.
        framed: bool,
    },
    /// `0 Unknown Command: VERB`.
    UnknownCommand {
        /// What stood where a verb belongs.
        verb: &'a [u8],
    },
    /// `0 Line Too Long`.
    LineTooLong,
}

impl Reply<'_> {
    /// Whether it is a failure: one whose line begins with `0 `. To say that nobody holds a lock is one.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::GetFailure { .. }
            | Self::ReleaseFailure { .. }
            | Self::Inspected { holders: 0, .. }
            | Self::TooManyLocks { .. }
            | Self::ShuttingDown
            | Self::Disabled { .. }
            | Self::NameTooLong { .. }
            | Self::UnknownCommand { .. }
            | Self::LineTooLong => true,
            Self::Got { .. }
            | Self::Released { .. }
            | Self::Inspected { .. }
            | Self::Listing(_)
            | Self::Me { .. }
            | Self::Registered
            | Self::Figures { .. }
            | Self::Pong
            | Self::Help => false,
        }
    }
}

/// What a listing is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Which listing.
    pub subject: Subject,
    /// Only this name; everything when empty.
    pub name: &'a [u8],
}

/// The listings there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `d`, `sd`.
    Locks(Kind),
    /// `dump`, `dump shared`.
    Dump(Kind),
    /// `who`.
    Who,
}
