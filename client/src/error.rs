//! What can go wrong, for programs and for people.

use crate::holder::Holder;
use crate::lost::Lost;
use crate::server::{ParseServerError, Server};
use elockd_core::{Reason, Reply, Verb};
use std::fmt::{self, Write};
use std::io;
use std::time::Duration;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else has the lock, and no wait was asked for.
    #[error("the lock is held{}", held(by.as_deref(), *since))]
    Held {
        /// One of those who have it. `None` if it could not be found out: the lock is free again already, or the
        /// daemon shows no listings.
        by: Option<Box<Holder>>,
        /// For how long it has been held.
        since: Option<Duration>,
    },
    /// The wait is over, and the lock was not to be had.
    #[error("the lock was not to be had in time")]
    Timeout,
    /// The wait could never have ended: whoever has the lock waits, in the end, for what this session holds.
    #[error("waiting for the lock would be a deadlock")]
    Deadlock,
    /// The lock was held and is not any more.
    #[error("the lock was lost: {0}")]
    Lost(Lost),
    /// The daemon refuses.
    #[error("the daemon refuses: {0}")]
    Refused(Refusal),
    /// No daemon could be reached, or no node of a cluster serves. Each address with its error, in the order in which
    /// they were tried last.
    #[error("no daemon can be reached{}", reasons(.0))]
    Unreachable(Vec<(Server, io::Error)>),
    /// A name of a lock or of a client has a line end in it.
    #[error("a name must not have a line end in it")]
    BadName,
    /// A text is no address of a daemon.
    #[error(transparent)]
    BadServer(#[from] ParseServerError),
    /// A setting of the client makes no sense.
    #[error("a setting of the client makes no sense: {0}")]
    BadSetting(&'static str),
    /// The daemon said something that is no answer to the request. Maybe it is another kind of server.
    #[error("the daemon said \"{answer}\" instead of {expected}; is it elockd?")]
    Protocol {
        /// What was expected.
        expected: &'static str,
        /// The start of what came, escaped.
        answer: String,
    },
    /// The connection broke: it was reset, it ended, or no answer came in time.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

fn held(by: Option<&Holder>, since: Option<Duration>) -> String {
    let mut text = String::new();
    if let Some(holder) = by {
        write!(text, " by {holder}").expect("writing to memory does not fail");
    }
    if let Some(since) = since {
        write!(text, " for {} s", since.as_secs()).expect("writing to memory does not fail");
    }
    text
}

fn reasons(tried: &[(Server, io::Error)]) -> String {
    let mut text = String::new();
    for (server, error) in tried {
        write!(text, "; {server}: {error}").expect("writing to memory does not fail");
    }
    text
}

impl Error {
    /// What came instead of what was expected.
    pub(crate) fn protocol(expected: &'static str, answer: &[u8]) -> Self {
        const SHOWN: usize = 200;
        let end = answer.len().min(SHOWN);
        let answer = answer[..end].trim_ascii_end().escape_ascii().to_string();
        Self::Protocol { expected, answer }
    }

    /// No answer came in time.
    pub(crate) fn silent() -> Self {
        Self::Io(io::Error::new(io::ErrorKind::TimedOut, "the daemon does not answer"))
    }

    /// The connection ended.
    pub(crate) fn ended() -> Self {
        Self::Io(io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon closed it"))
    }

    /// Whether the connection must not be used any more.
    pub(crate) fn breaks(&self) -> bool {
        let is_closing = [Refusal::ShuttingDown, Refusal::TooManyConnections, Refusal::NoQuorum];
        match self {
            Self::Io(_) | Self::Protocol { .. } => true,
            Self::Refused(refusal) => is_closing.contains(refusal),
            _ => false,
        }
    }

    /// Whether the connection has ended. If it only does not answer, the daemon may still believe in it.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() != io::ErrorKind::TimedOut)
    }

    /// Whether the same request may succeed later: the daemon is away or shutting down, or there is no room now.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Held { .. }
            | Self::Timeout
            | Self::Deadlock
            | Self::Lost(_)
            | Self::Unreachable(_)
            | Self::Io(_) => true,
            Self::Refused(refusal) => refusal.is_transient(),
            Self::BadName | Self::BadServer(_) | Self::BadSetting(_) | Self::Protocol { .. } => false,
        }
    }
}

/// Why a daemon refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// `--max-locks` or `--max-locks-per-connection` is reached.
    #[error("too many locks")]
    TooManyLocks,
    /// Too many wait already, or the look for deadlocks would take too long.
    #[error("too many wait already")]
    QueueFull,
    /// `--max-memory` is reached.
    #[error("out of memory")]
    OutOfMemory,
    /// `--max-connections` or `--max-connections-per-address` is reached.
    #[error("too many connections")]
    TooManyConnections,
    /// It is shutting down.
    #[error("it is shutting down")]
    ShuttingDown,
    /// It is a node of a cluster that cannot reach enough of the others. The request has or has not run; nothing of it
    /// stays held but what lingers.
    #[error("it has no quorum: it cannot reach enough of the other nodes")]
    NoQuorum,
    /// The name is longer than `--max-name-bytes`.
    #[error("the name is too long")]
    NameTooLong,
    /// The request is longer than `--max-line-bytes`.
    #[error("the request is too long")]
    LineTooLong,
    /// A listing would take more than `--max-listing-bytes`.
    #[error("the listing is too large")]
    TooLarge,
    /// A setting of the daemon switches this request off.
    #[error("this request is switched off")]
    Disabled,
    /// The account may not say this, or not of this name. `kick` and `steal` need the administrative listener, or an
    /// account that may say them.
    #[error("{}", not_allowed(*.0))]
    NotAllowed(Verb),
    /// The daemon wants to know which account it is, and no token was given.
    #[error("it requires authentication: give a token")]
    AuthRequired,
    /// The daemon does not know the token.
    #[error("it does not know the token")]
    AuthFailure,
    /// The daemon allows no grace of this length (`--max-linger`).
    #[error("it does not keep locks for so long after a connection (--max-linger)")]
    LingerTooLong,
    /// The daemon does not know the request. It may be an older lockd.
    #[error("it does not know this request; is it an older lockd?")]
    UnknownCommand,
    /// A number is missing or too high.
    #[error("`{}` is without its number, or the number is too high", .0.word())]
    BadArgument(Verb),
}

impl Refusal {
    pub(crate) fn of(reply: &Reply<'_>) -> Option<Self> {
        Some(match reply {
            Reply::TooManyLocks { .. } => Self::TooManyLocks,
            Reply::QueueFull { .. } | Reply::EndQueueFull { .. } => Self::QueueFull,
            Reply::OutOfMemory { .. } => Self::OutOfMemory,
            Reply::ShuttingDown => Self::ShuttingDown,
            Reply::NameTooLong { .. } => Self::NameTooLong,
            Reply::LineTooLong => Self::LineTooLong,
            Reply::TooLarge { .. } => Self::TooLarge,
            Reply::Disabled { .. } => Self::Disabled,
            Reply::NotAllowed { verb } => Self::NotAllowed(*verb),
            Reply::AuthRequired { .. } => Self::AuthRequired,
            Reply::AuthFailure => Self::AuthFailure,
            Reply::LingerFailure => Self::LingerTooLong,
            Reply::UnknownCommand { .. } => Self::UnknownCommand,
            Reply::BadArgument { verb } => Self::BadArgument(*verb),
            _ => return None,
        })
    }

    /// The refusal that is told in a last line, which may stand in the place of any answer.
    pub(crate) fn of_reason(reason: Reason) -> Option<Self> {
        match reason {
            Reason::TooManyConnections => Some(Self::TooManyConnections),
            Reason::NoQuorum => Some(Self::NoQuorum),
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::TooManyLocks
                | Self::QueueFull
                | Self::OutOfMemory
                | Self::TooManyConnections
                | Self::ShuttingDown
                | Self::NoQuorum
                | Self::TooLarge
        )
    }
}

fn not_allowed(verb: Verb) -> String {
    let word = verb.word();
    if verb.needs_operator() {
        format!("`{word}` needs the administrative listener, or an account that may say it")
    } else {
        format!("the account may not say `{word}`, or not of this name")
    }
}

/// Bytes of a name, for people.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in String::from_utf8_lossy(self.0).chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}
