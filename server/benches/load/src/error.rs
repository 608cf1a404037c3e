//! Why a run failed. A figure of a run that failed is no figure: there is none.

use super::{Protocol, Scenario};
use thiserror::Error;

/// Why a run failed.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A reply is not what it has to be.
    #[error("expected {expected:?}, heard {heard:?}")]
    Wrong {
        /// What had to come.
        expected: String,
        /// What came, from where it differs in its line.
        heard: String,
    },
    /// The turns came in another order than before.
    #[error("the turn was connection {expected}'s, and connection {got} got it")]
    OutOfTurn {
        /// Whose turn it was.
        expected: usize,
        /// Who had it.
        got: usize,
    },
    /// Nothing came for ten seconds.
    #[error("no reply for ten seconds, {owed} connections are owed one")]
    Silence {
        /// How many connections wait for a reply.
        owed: usize,
    },
    /// The other side closed a connection.
    #[error("the server closed a connection")]
    Closed,
    /// A run measured nothing.
    #[error("no operation was finished in the time measured")]
    Nothing,
    /// The protocol cannot say that.
    #[error("{protocol:?} has no scenario {scenario:?}")]
    NoSuchScenario {
        /// What was asked for.
        scenario: Scenario,
        /// Of whom.
        protocol: Protocol,
    },
    /// No port was left for a new connection.
    #[error("no free port for a new connection: widen net.ipv4.ip_local_port_range")]
    NoPort,
    /// A socket failed.
    #[error("{0}")]
    Socket(#[from] std::io::Error),
}

impl From<rustix::io::Errno> for LoadError {
    fn from(errno: rustix::io::Errno) -> Self {
        match errno {
            rustix::io::Errno::ADDRNOTAVAIL => Self::NoPort,
            other => Self::Socket(other.into()),
        }
    }
}
