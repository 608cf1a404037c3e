//! A connection's task: a session that takes turns, and now and then does something else. It exists to keep an idle
//! connection small, and knows nothing of what the session does.

use super::{Session, Step};
use crate::gate::{Gate, Local};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;

/// A session's whole life, to be spawned.
///
/// Not an `async` block: that would keep room beside the session for all it may come to, for as long as the connection
/// lives. tokio puts a task into a block of a multiple of 128 bytes, and with up to 136 bytes of this that is 256.
///
/// ```text
///                 a step is due
///   Turns(Some) -----------------> Aside --the connection is over--> Turns(None)
///        ^                           |
///        +-------it is done----------+
/// ```
pub(super) enum Serving<S, G: Gate = Local> {
    /// It reads, runs and writes, as nearly always; `None` when the connection is over.
    Turns(Option<Session<S, G>>),
    /// It does what is rare, in room of its own, and gives the session back unless the connection is over.
    Aside(Aside<Session<S, G>>),
}

type Aside<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, G: Gate> Future for Serving<S, G> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match &mut *self {
                Self::Turns(turns) => {
                    let Some(session) = turns else { return Poll::Ready(()) };
                    let step = ready!(session.poll_step(cx));
                    let Some(session) = turns.take() else { return Poll::Ready(()) };
                    Self::Aside(Box::pin(session.step_aside(step)))
                }
                Self::Aside(aside) => Self::Turns(ready!(aside.as_mut().poll(cx))),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, G: Gate> Session<S, G> {
    /// Does what is rare. Gives the session back unless the connection is over.
    async fn step_aside(mut self, step: Step) -> Option<Self> {
        let end = match step {
            Step::Turn => {
                yield_now().await;
                return Some(self);
            }
            Step::List(scan) => match self.list(scan).await {
                Ok(()) => return Some(self),
                Err(end) => end,
            },
            Step::End(end) => end,
        };
        self.finish(end).await;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpStream, UnixStream};

    #[test]
    fn it_takes_104_bytes_beside_its_stream() {
        let why = "docs/architecture.md counts with this; with a byte more every connection takes 128 more";
        // A stream takes 32, and 8 more where debug assertions are on.
        assert_eq!(size_of::<Serving<TcpStream>>() - size_of::<TcpStream>(), 104, "{why}");
        assert_eq!(size_of::<Serving<UnixStream>>() - size_of::<UnixStream>(), 104, "{why}");
    }
}
