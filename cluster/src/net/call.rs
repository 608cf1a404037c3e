//! One request to an address, by who has no links: an operator's command, or a node that is about to join.

use super::asked::Asked;
use super::hello::Hello;
use super::link::{connect, flow};
use super::{Bounds, LinkEnd, LinkError, Net, Purpose};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Who answered. A node that joins learns the cluster's id from it.
    pub by: LinkEnd,
    /// The answer.
    pub answer: Vec<u8>,
}

/// Asks the node at `address` (`HOST:PORT`) one request of [`Purpose::Control`], over a connection of its own.
///
/// # Errors
///
/// There is no answer within the time of `within`. Errors name node 0, for nobody knows who is there.
pub async fn call<N: Net>(
    net: &N,
    address: &str,
    kind: u8,
    payload: Vec<u8>,
    within: Duration,
    bounds: &Bounds,
) -> Result<Called, LinkError> {
    let down = |reason| LinkError::Down { to: 0, reason };
    let called = async {
        let hello = Hello::new(LinkEnd::default(), 0, Purpose::Control);
        let (stream, by) = connect(net, address, &hello, bounds).await.map_err(down)?;
        let asked = Arc::new(Asked::default());
        let ticket = asked.ask(kind, payload, bounds).map_err(down)?;
        tokio::select! {
            biased;
            answer = ticket.answer() => Ok(Called { by, answer: answer.map_err(down)? }),
            (reason, _) = flow(stream, &asked, bounds) => Err(down(reason)),
        }
    };
    timeout(within, called).await.unwrap_or(Err(LinkError::Late(0)))
}
