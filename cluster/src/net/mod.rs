//! Links between nodes. They carry frames: a kind, a number, and bytes that this module does not read.
//!
//! A link is one connection. The node that made it asks, and the node that accepted it answers. So each pair of nodes
//! has two links for each [`Purpose`], one for each direction. A link begins with a hello, and no frame passes before
//! the hello is accepted.
//!
//! [`Links`] asks, [`serve()`] answers, and both work over any [`Net`]: [`Tcp`] on loopback addresses, [`Tls`] on all
//! others. A simulation brings a network of its own. All tasks are spawned on the tokio runtime in which [`Links::new`]
//! and [`serve()`] are called.

mod asked;
mod bounds;
mod call;
mod frame;
mod halves;
mod hello;
mod link;
mod serve;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod told;

pub use bounds::Bounds;
pub use call::{Called, call};
pub use hello::LinkEnd;
pub use link::Links;
pub use serve::{Serving, serve};
pub use tcp::{LinkListener, Tcp};
pub use tls::{Tls, TlsError, TlsFiles};

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What a link is for. Each pair of nodes has one link for each purpose, so that nothing waits behind something large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Heartbeats, votes, beats and last words.
    Beats,
    /// Entries of the log.
    Appends,
    /// Batches of inputs for the leader.
    Batches,
    /// Pieces of snapshots.
    Snapshots,
    /// Operators' commands. A client that is no node may ask these, and nothing else.
    Control,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Beats => "beats",
            Self::Appends => "appends",
            Self::Batches => "batches",
            Self::Snapshots => "snapshots",
            Self::Control => "control",
        })
    }
}

/// A network: how connections are made and accepted.
pub trait Net: Clone + Send + Sync + 'static {
    /// A connection that is ready for the hello.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A connection that was accepted, before a handshake that may take long.
    type Accepted: Send + 'static;
    /// Where connections are accepted.
    type Listener: Send + 'static;

    /// Makes a connection to `HOST:PORT`, handshake included.
    fn connect(&self, address: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The next connection. It is dropped between two connections only: an implementation must lose none.
    fn accept(
        &self,
        listener: &mut Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Accepted, SocketAddr)>> + Send;

    /// The handshake of a connection that was accepted.
    fn begin(&self, accepted: Self::Accepted) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// What went wrong, in an operator's words.
    fn explain(&self, error: &io::Error) -> String {
        error.to_string()
    }
}

/// Why a request got no answer. It may have been handled, or not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No address of that node is known.
    #[error("no address of node {0} is known")]
    Unknown(u16),
    /// It cannot be reached, or the link broke.
    #[error("no link to node {to}: {reason}")]
    Down {
        /// The node.
        to: u16,
        /// What went wrong.
        reason: String,
    },
    /// The answer did not come in time.
    #[error("node {0} did not answer in time")]
    Late(u16),
}

/// Asks other nodes.
pub trait Ask: Clone + Send + Sync + 'static {
    /// Sends a request to a node, and returns its answer. Requests of one purpose arrive in the order in which this
    /// was called, as long as the link holds. Answers may come in any order.
    fn ask(
        &self,
        to: u16,
        purpose: Purpose,
        kind: u8,
        payload: Vec<u8>,
        within: Duration,
    ) -> impl Future<Output = Result<Vec<u8>, LinkError>> + Send;
}

/// Answers what other nodes ask.
pub trait Answer: Send + Sync + 'static {
    /// The answer to a request of a node. `None` closes the link: such a request should not have come.
    ///
    /// Several requests are answered at a time, but each begins in the order in which they came. The future is dropped
    /// when the link breaks, so what must be finished is spawned. A future that never ends blocks its link.
    fn answer(
        &self,
        from: u16,
        purpose: Purpose,
        kind: u8,
        payload: Vec<u8>,
    ) -> impl Future<Output = Option<Vec<u8>>> + Send;
}
