//! The end of a connection that the server closes first. It sends FIN, and then drops all input until the peer closes
//! too. If a socket with unread input were closed, the kernel would send a reset, and the peer could lose the last
//! reply.

use super::alarm::Alarm;
use crate::listen::Stream;
use crate::places::Closing;
use elockd_core::bug;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;

/// How long the server waits for the peer to close too. A peer that others end has no more time than this for its last
/// replies too.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// How far the closing has come.
pub(super) struct Linger {
    /// `None` at a shutdown.
    closing: Option<Closing>,
    /// When the connection is over, whatever the peer does.
    until: Alarm,
    /// Whether FIN was sent.
    is_shut: bool,
}

impl Linger {
    /// Begins to linger now.
    pub(super) fn new(closing: Option<Closing>, until: Alarm) -> Self {
        Self { closing, until, is_shut: false }
    }

    /// Ready when the connection is over: the peer closed, the socket failed, the time is up, or others need the room.
    pub(super) fn poll<S: Stream>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        if bug!(NoLinger) || self.poll_closed(stream, cx).is_ready() {
            return Poll::Ready(());
        }
        if self.closing.as_ref().is_some_and(|closing| closing.poll_dropped(cx).is_ready()) {
            return Poll::Ready(());
        }
        self.until.poll(cx)
    }

    /// Ready when the peer closed, or the socket failed.
    fn poll_closed<S: Stream>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        let mut dropped = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            ready!(stream.poll_read_unseen(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
