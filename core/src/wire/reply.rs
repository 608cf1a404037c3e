//! Replies: what they are. They borrow from the command and from the machine. Their bytes, both ways, are in `one_line.rs`
//! and `text.rs`.

use super::verb::Verb;
use crate::inspect::Figures;
use crate::types::{Addr, Kind};

/// The answer to one command. Small, because every reply is handed on: what would make it large is borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// `0 Lock Get Failure: NAME`: another connection holds it. `0 Shared Lock Get Failure: NAME`: as many
    /// hold it as may, or somebody waits for it.
    GetFailure {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Timeout: NAME`, `0 Shared Lock Get Timeout: NAME`: the wait came to its end without the lock.
    GetTimeout {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Deadlock: NAME`, `0 Shared Lock Get Deadlock: NAME`: the wait would be for ever.
    GetDeadlock {
        /// Whose name space.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Queue Full: NAME`, `0 Shared Lock Get Queue Full: NAME`: too many wait already.
    QueueFull {
        /// Whose name space.
        kind: Kind,
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
    /// `N Locks Released`: everything the asker held, exclusive and shared.
    ReleasedAll {
        /// How many holds those were.
        holds: u32,
    },
    /// `TOKEN Lock Fence: NAME`.
    Fenced {
        /// The hold's fencing token.
        token: u64,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Not Held: NAME`: the asker does not hold it.
    NotHeld {
        /// The lock.
        name: &'a [u8],
    },
    /// `0 No Tokens`: none is left of those that the driver reserved.
    NoTokens,
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
    /// `N Kick Success: ADDR`; `0 Kick Failure: ADDR` when there is none.
    Kicked {
        /// How many connections were closed that come from there.
        connections: u32,
        /// The address, as it was asked for.
        addr: &'a [u8],
    },
    /// `1 Lock Steal Success: NAME`; `0 Lock Steal Failure: NAME`: nobody holds it.
    Stolen {
        /// Whether somebody did hold it.
        was_held: bool,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Not Allowed: VERB`: only on an administrative listener.
    NotAllowed {
        /// What it is that is not.
        verb: Verb,
    },
    /// `1 ADDR NAME`.
    Me {
        /// Where the connection comes from.
        addr: &'a Addr,
        /// Its registered name, if it has one.
        name: Option<&'a [u8]>,
    },
    /// `1 ok`.
    Registered,
    /// The statistics.
    Figures {
        /// What they are now.
        figures: &'a Figures<'a>,
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
    /// `0 Too Large`, in a listing's place: the driver takes no more bytes for listings.
    TooLarge {
        /// Whether an empty line ends the reply.
        framed: bool,
    },
    /// `0 Bad Argument: VERB`.
    BadArgument {
        /// Whose argument is no number, or too high.
        verb: Verb,
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
    #[inline]
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::GetFailure { .. }
            | Self::GetTimeout { .. }
            | Self::GetDeadlock { .. }
            | Self::QueueFull { .. }
            | Self::ReleaseFailure { .. }
            | Self::ReleasedAll { holds: 0 }
            | Self::NotHeld { .. }
            | Self::NoTokens
            | Self::Kicked { connections: 0, .. }
            | Self::Stolen { was_held: false, .. }
            | Self::NotAllowed { .. }
            | Self::BadArgument { .. }
            | Self::Inspected { holders: 0, .. }
            | Self::TooManyLocks { .. }
            | Self::ShuttingDown
            | Self::Disabled { .. }
            | Self::NameTooLong { .. }
            | Self::TooLarge { .. }
            | Self::UnknownCommand { .. }
            | Self::LineTooLong => true,
            Self::Got { .. }
            | Self::Released { .. }
            | Self::ReleasedAll { .. }
            | Self::Fenced { .. }
            | Self::Kicked { .. }
            | Self::Stolen { .. }
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

impl Reply<'_> {
    /// Whether an empty line ends it. (A listing's text has its own ends.)
    pub(super) const fn is_framed(&self) -> bool {
        match self {
            Self::Figures { .. } | Self::Help => true,
            Self::Disabled { framed } | Self::NameTooLong { framed } | Self::TooLarge { framed } => *framed,
            _ => false,
        }
    }
}

/// What a listing is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Which listing.
    pub subject: Subject,
    /// Only this name, or what starts with it; everything when empty.
    pub name: &'a [u8],
}

/// The listings there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `d`, `sd`.
    Locks(Kind),
    /// `dump`, `dump shared`.
    Dump(Kind),
    /// `ls`: `name` is the start of the names.
    All,
    /// `who`.
    Who,
}
