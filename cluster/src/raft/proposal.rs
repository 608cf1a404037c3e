//! What becomes of an entry that was proposed.

use crate::raft::runtime::Pace;
use crate::raft::types::{Types, node};
use openraft::errors::{ClientWriteError, ForwardToLeader};
use openraft::raft::ClientWriteResult;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// Why an entry was not applied, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead, or does not know whether it still does. The entry is not applied.
    #[error("this node does not lead; node {leader:?} may")]
    NotLeader {
        /// Who leads, if it is known and another.
        leader: Option<u16>,
    },
    /// The leader changed meanwhile. The entry may be applied, now or later, or never.
    #[error("the leader changed; the entry may be applied or not")]
    Unknown,
    /// The engine has stopped. The entry may be applied by other nodes.
    #[error("the engine has stopped")]
    Stopped,
}

/// An entry on its way. It goes on when this is dropped. The future ends when the entry is applied here.
#[derive(Debug)]
pub struct Proposal<P: Pace>(pub(crate) oneshot::Receiver<ClientWriteResult<Types<P>>>);

impl<P: Pace> Future for Proposal<P> {
    /// The entry's index.
    type Output = Result<u64, ProposeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let written = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(match written {
            Ok(Ok(written)) => Ok(written.log_id.index),
            Ok(Err(ClientWriteError::ForwardToLeader(ForwardToLeader { leader_id, .. }))) => {
                Err(ProposeError::NotLeader { leader: leader_id.map(node) })
            }
            Ok(Err(_)) => Err(ProposeError::Unknown),
            Err(_) => Err(ProposeError::Stopped),
        })
    }
}
