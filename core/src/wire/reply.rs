//! Replies: what they are. They borrow from the command and from the machine. Their bytes, both ways, are in
//! `one_line.rs` and `text.rs`.

use super::verb::{Verb, VerbSet};
use crate::inspect::{Figures, OwnFigures};
use crate::types::{Addr, Kind};

/// The answer to one command. It is small, because every reply is moved. What would make it large is borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `1 Lock Get Success: NAME`, `N Shared Lock Get Success: NAME`. Of readers and writers, here and below: `Read
    /// Lock`, `Write Lock`.
    Got {
        /// The kind of lock.
        kind: Kind,
        /// Holders, the asker included.
        holders: u32,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Failure: NAME`: another connection holds it. `0 Shared Lock Get Failure: NAME`: it has as many
    /// holders as allowed, or somebody waits for it.
    GetFailure {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Timeout: NAME`, `0 Shared Lock Get Timeout: NAME`: the wait ended without the lock.
    GetTimeout {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Deadlock: NAME`, `0 Shared Lock Get Deadlock: NAME`: the wait would be for ever.
    GetDeadlock {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Get Queue Full: NAME`, `0 Shared Lock Get Queue Full: NAME`: too many wait already.
    QueueFull {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `1 Lock Ended: NAME`, `1 Shared Lock Ended: NAME`: every hold is over that the lock had.
    Ended {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Wait Timeout: NAME`, `0 Shared Lock Wait Timeout: NAME`: they are not over yet.
    EndTimeout {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Wait Deadlock: NAME`, `0 Shared Lock Wait Deadlock: NAME`: the wait would be for ever.
    EndDeadlock {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Wait Queue Full: NAME`, `0 Shared Lock Wait Queue Full: NAME`: too many wait already.
    EndQueueFull {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `1 Lock Release Success: NAME`, `1 Shared Lock Release Success: NAME`.
    Released {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Release Failure: NAME`, `0 Shared Lock Release Failure: NAME`: the asker does not hold it.
    ReleaseFailure {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `N Locks Released`: everything that the asker held, of all kinds.
    ReleasedAll {
        /// The number of holds released.
        holds: u32,
    },
    /// `TOKEN Lock Fence: NAME`, `TOKEN Shared Lock Fence: NAME`.
    Fenced {
        /// The kind of lock.
        kind: Kind,
        /// The hold's fencing token.
        token: u64,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Lock Not Held: NAME`: the asker does not hold it, or not so.
    NotHeld {
        /// The kind of lock.
        kind: Kind,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 No Tokens`: none of the tokens that the driver reserved is left.
    NoTokens,
    /// `1 Lock Is Locked: NAME`, `N Shared Lock Is Locked: NAME`; `0 … Not Locked: NAME` if nobody holds it.
    Inspected {
        /// The kind of lock.
        kind: Kind,
        /// Holders.
        holders: u32,
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Too Many Locks: NAME`: the get would exceed a limit.
    TooManyLocks {
        /// The lock.
        name: &'a [u8],
    },
    /// `0 Out Of Memory: NAME`: the get, the wait or the registration would take more memory than is allowed.
    OutOfMemory {
        /// The lock, or the name to be registered.
        name: &'a [u8],
    },
    /// `0 Shutting Down`: nothing is granted any more.
    ShuttingDown,
    /// A listing. The driver must collect its text with [`Machine::scan`](crate::Machine::scan).
    Listing(Listing<'a>),
    /// `N Kick Success: ADDR`; `0 Kick Failure: ADDR` if no connection comes from there.
    Kicked {
        /// The number of connections closed.
        connections: u32,
        /// The address, as the request had it.
        addr: &'a [u8],
    },
    /// `1 Lock Steal Success: NAME`; `0 Lock Steal Failure: NAME`: nobody holds it so.
    Stolen {
        /// The kind of lock: exclusive or write.
        kind: Kind,
        /// Whether somebody held it.
        was_held: bool,
        /// The lock.
        name: &'a [u8],
    },
    /// `1 Linger Success: KEY MS`, `1 Linger Success: - 0`.
    Lingers {
        /// What `resume` must say. `None` if the grace was taken back.
        key: Option<&'a [u8]>,
        /// For how long holds outlive their connection, in milliseconds.
        ms: u32,
    },
    /// `0 Linger Failure`: it is over the limit.
    LingerFailure,
    /// `1 Resume Success: HOLDS`.
    Resumed {
        /// What the asker holds now.
        holds: u32,
    },
    /// `0 Resume Failure`: the key opens nothing for this connection, or it holds something.
    ResumeFailure,
    /// `1 Auth Success: ACCOUNT`.
    LoggedIn {
        /// The name of the account.
        account: &'a [u8],
    },
    /// `0 Auth Failure`: there is no such token, or the asker holds something of another account.
    AuthFailure,
    /// `0 Auth Required`: the asker must log in first.
    AuthRequired {
        /// Whether an empty line ends the reply.
        framed: bool,
    },
    /// `0 Not Allowed: VERB`: the verb is for operators only, or a rule forbids it or the name. An empty line ends the
    /// reply if one ends the verb's own.
    NotAllowed {
        /// The verb that was refused.
        verb: Verb,
    },
    /// `1 ADDR NAME`.
    Me {
        /// The connection's address.
        addr: &'a Addr,
        /// Its registered name, if it has one.
        name: Option<&'a [u8]>,
    },
    /// `1 ok`.
    Registered,
    /// The statistics.
    Figures {
        /// The statistics now.
        figures: &'a Figures<'a>,
        /// Whether all of them are to be shown.
        full: bool,
    },
    /// The statistics of the asker's account alone.
    OwnFigures(&'a OwnFigures<'a>),
    /// `1 pong`.
    Pong,
    /// One line for each of these verbs.
    Help {
        /// The verbs.
        verbs: VerbSet,
    },
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
    /// `0 Too Large`, instead of a listing: the driver has no more bytes for listings.
    TooLarge {
        /// Whether an empty line ends the reply.
        framed: bool,
    },
    /// `0 Bad Argument: VERB`.
    BadArgument {
        /// The verb whose argument is not a number, or is too high.
        verb: Verb,
    },
    /// `0 Unknown Command: VERB`.
    UnknownCommand {
        /// The word at the place of the verb. In the line, bytes that are not printable ASCII are escaped, and the end
        /// of a long one is cut off. It is read as it is shown there.
        verb: &'a [u8],
    },
    /// `0 Line Too Long`.
    LineTooLong,
}

impl Reply<'_> {
    /// Whether it is a failure: its line begins with `0 `. So an inspection that finds no holder is a failure.
    #[must_use]
    #[inline]
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::GetFailure { .. }
            | Self::GetTimeout { .. }
            | Self::GetDeadlock { .. }
            | Self::QueueFull { .. }
            | Self::EndTimeout { .. }
            | Self::EndDeadlock { .. }
            | Self::EndQueueFull { .. }
            | Self::ReleaseFailure { .. }
            | Self::ReleasedAll { holds: 0 }
            | Self::NotHeld { .. }
            | Self::NoTokens
            | Self::Kicked { connections: 0, .. }
            | Self::Stolen { was_held: false, .. }
            | Self::LingerFailure
            | Self::ResumeFailure
            | Self::AuthFailure
            | Self::AuthRequired { .. }
            | Self::NotAllowed { .. }
            | Self::BadArgument { .. }
            | Self::Inspected { holders: 0, .. }
            | Self::TooManyLocks { .. }
            | Self::OutOfMemory { .. }
            | Self::ShuttingDown
            | Self::Disabled { .. }
            | Self::NameTooLong { .. }
            | Self::TooLarge { .. }
            | Self::UnknownCommand { .. }
            | Self::LineTooLong => true,
            Self::Got { .. }
            | Self::Ended { .. }
            | Self::Released { .. }
            | Self::ReleasedAll { .. }
            | Self::Fenced { .. }
            | Self::Kicked { .. }
            | Self::Stolen { .. }
            | Self::Lingers { .. }
            | Self::Resumed { .. }
            | Self::Inspected { .. }
            | Self::Listing(_)
            | Self::Me { .. }
            | Self::Registered
            | Self::LoggedIn { .. }
            | Self::Figures { .. }
            | Self::OwnFigures(_)
            | Self::Pong
            | Self::Help { .. } => false,
        }
    }
}

impl Reply<'_> {
    /// Whether an empty line ends it. Not for a listing, whose text has its own end.
    pub(super) const fn is_framed(&self) -> bool {
        match self {
            Self::Figures { .. } | Self::OwnFigures(_) | Self::Help { .. } => true,
            Self::NotAllowed { verb } => verb.is_framed(),
            Self::AuthRequired { framed }
            | Self::Disabled { framed }
            | Self::NameTooLong { framed }
            | Self::TooLarge { framed } => *framed,
            _ => false,
        }
    }
}

/// What a listing shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Which listing.
    pub subject: Subject,
    /// The only name to show, or the start of the names. Empty for everything.
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
