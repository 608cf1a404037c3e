//! A connection's task: one poll function that drives a session from state to state. The session itself is the future,
//! so an idle connection needs no more memory than that.

use super::alarm::Alarm;
use super::state::State;
use super::{Session, Step};
use crate::gate::Gate;
use crate::listen::Stream;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::task::yield_now;

/// A session's whole life, to be spawned.
///
/// Not an `async` block: that would keep room for every state, as long as the connection lives. tokio puts a task into
/// a block of a multiple of 128 bytes. If a session has up to 136 bytes, the block has 256.
impl<S: Stream, G: Gate> Future for Session<S, G> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let session = self.get_mut();
        loop {
            session.state = ready!(match &mut session.state {
                State::New | State::Running | State::Waiting => session.poll_turn(cx),
                State::Listing(_) => session.poll_listing(cx),
                State::Braking(_) => session.poll_brake(cx),
                State::Logging(end) => {
                    let end = *end;
                    session.poll_log(end, cx)
                }
                State::Flushing(_) => session.poll_flush(cx),
                State::Lingering(linger) => linger.poll(&mut session.stream, cx).map(|()| State::Over),
                State::Over => return Poll::Ready(()),
            });
        }
    }
}

impl<S: Stream, G: Gate> Session<S, G> {
    /// Reads, runs and writes until the session gets into another state. It changes between running and waiting by
    /// itself.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        match ready!(self.poll_step(cx)) {
            Step::List(scan) => Poll::Ready(State::Listing(Box::new(self.begin_listing(scan)))),
            Step::Brake(time) => Poll::Ready(State::Braking(Box::new(Alarm::after(time)))),
            Step::End(end) => Poll::Ready(self.finish(end)),
        }
    }
}

/// Lets other tasks have their turn. Always pending: the task is woken when they had it.
pub(super) fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    // Polled once, so that the task is woken, and then dropped. Whatever wakes the task, it goes on.
    let is_pending = pin!(yield_now()).poll(cx).is_pending();
    assert!(is_pending, "giving way takes a turn");
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::super::Placed;
    use super::*;
    use tokio::net::{TcpStream, UnixStream};

    #[test]
    fn it_takes_104_bytes_beside_its_stream() {
        let why = "docs/architecture.md counts with this; with a byte more every connection takes 128 more";
        // A stream takes 32 bytes, and 8 more with debug assertions.
        assert_eq!(size_of::<Session<TcpStream>>() - size_of::<TcpStream>(), 104, "{why}");
        assert_eq!(size_of::<Session<UnixStream>>() - size_of::<UnixStream>(), 104, "{why}");
        assert_eq!(size_of::<Placed<UnixStream>>(), size_of::<Session<UnixStream>>(), "a task has no more");
    }
}
