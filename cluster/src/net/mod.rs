//! Links between nodes. They carry frames: a kind, a number, and bytes that this module does not read.

use std::future::Future;
use std::time::Duration;

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
    /// Several requests are answered at a time, but each begins in the order in which they came.
    fn answer(
        &self,
        from: u16,
        purpose: Purpose,
        kind: u8,
        payload: Vec<u8>,
    ) -> impl Future<Output = Option<Vec<u8>>> + Send;
}
