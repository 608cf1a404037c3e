//! Why a run failed. A run that failed has no figures.

use super::{Protocol, Scenario};
use thiserror::Error;

/// Why a run failed.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A reply is not the expected one.
    #[error("expected {expected:?}, heard {heard:?}")]
    Wrong {
        /// The expected bytes.
        expected: String,
        /// The bytes that came, from the line that differs.
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
    /// The protocol has no such scenario.
    #[error("{protocol:?} has no scenario {scenario:?}")]
    NoSuchScenario {
        /// The scenario that was asked for.
        scenario: Scenario,
        /// The server's protocol.
        protocol: Protocol,
    },
    /// etcd refused a request.
    #[error("etcd refused, status {status}: {message}")]
    Refused {
        /// The status of gRPC.
        status: String,
        /// What etcd says about it.
        message: String,
    },
    /// A connection to etcd failed.
    #[error("{0}")]
    Http2(#[from] h2::Error),
    /// etcd's answer cannot be read.
    #[error("{0}")]
    Message(#[from] prost::DecodeError),
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
