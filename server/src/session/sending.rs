//! Replies on their way out: what a peer does not take at once waits with the connection, and a peer that takes nothing
//! for the write timeout has stalled.

use super::{End, Session};
use crate::gate::Gate;
use crate::hub::Ending;
use elockd_core::{bug, mark};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

impl<S: AsyncRead + AsyncWrite + Unpin, G: Gate> Session<S, G> {
    /// Sends what is unsent, then `fresh`, as far as the peer takes it. Ready when all is sent.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, fresh: &mut Vec<u8>) -> Poll<Result<(), End>> {
        let mut sent = 0;
        let result = match &mut self.unsent {
            None => {
                let result = poll_write(&mut self.stream, cx, fresh, &mut sent);
                if result.is_pending() {
                    self.unsent().extend_from_slice(&fresh[sent..]);
                }
                fresh.clear();
                result
            }
            Some(unsent) => {
                unsent.tail().append(fresh);
                let result = poll_write(&mut self.stream, cx, unsent.rest(), &mut sent);
                unsent.advance(sent);
                if sent > 0 && !bug!(SlowPeerIsStalled) {
                    unsent.stalling = None;
                }
                result
            }
        };
        if result.is_ready() {
            self.unsent = None;
            return result;
        }
        mark!(RepliesHadToWait);
        self.poll_stall(cx).map(|()| Err(End::Stalled))
    }

    /// Ready when the peer has taken no byte of what is unsent for the write timeout.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if bug!(StalledPeerIsKept) {
            return Poll::Pending;
        }
        let Some(unsent) = &mut self.unsent else { return Poll::Pending };
        if unsent.stalling.is_none() {
            let Some(limit) = self.shared.tunables().write_timeout else { return Poll::Pending };
            unsent.stalling = Some(Box::pin(sleep(limit)));
        }
        unsent.stalling.as_mut().map_or(Poll::Pending, |stalling| stalling.as_mut().poll(cx))
    }

    /// The replies that are not sent yet, to add to them.
    pub(super) fn unsent(&mut self) -> &mut Vec<u8> {
        self.unsent.get_or_insert_default().tail()
    }

    /// How many bytes of replies are not sent yet.
    pub(super) fn unsent_len(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.rest().len())
    }

    /// Sends everything; ends early when the socket fails, the peer stalls, or the machine closes the
    /// connection. A shutdown lets a reply be completed.
    pub(super) async fn send_all(&mut self) -> Result<(), End> {
        poll_fn(|cx| {
            if let Poll::Ready(sent) = self.poll_send(cx, &mut Vec::new()) {
                return Poll::Ready(sent);
            }
            match ready!(self.poll_ending(cx)) {
                Ending::Machine(reason) => Poll::Ready(Err(End::Closed(reason))),
                Ending::Drained => Poll::Pending,
            }
        })
        .await
    }

    /// Sends what is left, to a connection that is closed already in the machine.
    pub(super) async fn send_rest(&mut self) -> bool {
        poll_fn(|cx| self.poll_send(cx, &mut Vec::new())).await.is_ok()
    }
}

/// Writes `bytes` from `sent` on, and moves `sent`, also when it could not write them all.
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
        if bug!(ShortWriteLosesTheRest) {
            *sent = bytes.len();
        }
    }
    Poll::Ready(Ok(()))
}
