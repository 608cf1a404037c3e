//! Sending replies. What a peer does not take at once stays with the connection. A peer that takes nothing for the
//! write timeout has stalled.

use super::Session;

use super::stalling::Stalling;
use super::state::End;
use crate::gate::Gate;
use crate::hub::Ending;
use crate::listen::Stream;
use elockd_core::{bug, mark};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

impl<S: Stream, G: Gate> Session<S, G> {
    /// Sends what is unsent, then `fresh`, as far as the peer takes it. Ready when all is sent.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, fresh: &mut Vec<u8>) -> Poll<Result<(), End>> {
        let mut sent = 0;
        match &mut self.backlog {
            Some(backlog) if !backlog.unsent.rest().is_empty() => {
                let unsent = &mut backlog.unsent;
                unsent.tail().append(fresh);
                let result = poll_write(&mut self.stream, cx, unsent.rest(), &mut sent);
                unsent.advance(sent);
                if sent > 0 && !bug!(SlowPeerIsStalled) {
                    unsent.stalling = None;
                }
                if result.is_ready() {
                    self.clear_unsent();
                    return result;
                }
            }
            _ => {
                let result = poll_write(&mut self.stream, cx, fresh, &mut sent);
                if result.is_pending() {
                    self.unsent().extend_from_slice(&fresh[sent..]);
                }
                fresh.clear();
                if result.is_ready() {
                    // What was written may have stayed in the stream until now.
                    if self.backlog.is_some() {
                        self.clear_unsent();
                    }
                    return result;
                }
            }
        }
        mark!(RepliesHadToWait);
        self.poll_stall(cx).map(|()| Err(End::Stalled))
    }

    /// Ready when the peer has taken no byte of what is unsent for the write timeout.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(backlog) = &mut self.backlog else { return Poll::Pending };
        let stalling = &mut backlog.unsent.stalling;
        if stalling.is_none() {
            let timeout = self.shared.tunables().write_timeout;
            *stalling = timeout.map(|timeout| Stalling::new(timeout, &self.stream));
        }
        stalling.as_mut().map_or(Poll::Pending, |stalling| stalling.poll(cx, &self.stream))
    }

    /// Sends everything. Ends early if the socket fails, the peer stalls, or the machine closes the connection. A
    /// shutdown lets a reply be completed.
    pub(super) fn poll_send_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if let Poll::Ready(sent) = self.poll_send(cx, &mut Vec::new()) {
            return Poll::Ready(sent);
        }
        match ready!(self.poll_ending(cx)) {
            Ending::Machine(reason) => Poll::Ready(Err(End::Closed(reason))),
            Ending::Drained => Poll::Pending,
        }
    }
}

/// Writes `bytes` from `sent` on, and moves `sent`, even if it cannot write them all. Ready when the stream has nothing
/// left of what was written, either.
fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
    sent: &mut usize,
) -> Poll<Result<(), End>> {
    while *sent < bytes.len() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, &bytes[*sent..])) {
            Ok(0) | Err(_) => return Poll::Ready(Err(End::Error)),
            Ok(taken) => *sent += taken,
        }
    }
    // A socket has nothing to flush. So this costs nothing there.
    Pin::new(stream).poll_flush(cx).map_err(|_| End::Error)
}
