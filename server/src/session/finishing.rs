//! The end of a connection. Its locks are released first, then it gets what it is still owed, then the socket is
//! closed.

use super::Session;
use super::lingering::Linger;
use super::serving::give_way;
use super::state::{End, State};
use crate::gate::{Gate, GateHandle};
use crate::listen::Stream;
use elockd_core::wire::encode_reason;
use elockd_core::{bug, mark};
use std::task::{Context, Poll, ready};

impl<S: Stream, G: Gate> Session<S, G> {
    /// Ends the connection in the machine. Input that has not run never runs. The reply that the machine still owes
    /// will be sent.
    pub(super) fn finish(&mut self, end: End) -> State {
        drop(self.take_unrun());
        let cause = end.cause();
        if let End::Closed(reason) = end {
            self.handle.closed();
            encode_reason(reason, self.unsent());
        } else {
            let owed = self.handle.close(self.now(), cause);
            if !owed.is_empty() {
                self.log_answer(&owed);
                self.unsent().extend(owed);
            }
        }
        if let Some(log) = &self.log {
            log.disconnected(cause);
        }
        State::Logging(end)
    }

    /// Logs what was held. Ready when that is done.
    pub(super) fn poll_log(&mut self, end: End, cx: &mut Context<'_>) -> Poll<State> {
        if self.log.as_mut().is_some_and(|log| log.log_orphans()) {
            return give_way(cx);
        }
        self.log = None;
        Poll::Ready(match end {
            End::Error => {
                mark!(ConnectionFailed);
                State::Over
            }
            End::Stalled => {
                mark!(PeerStalled);
                State::Over
            }
            End::Eof => {
                if self.unsent_len() > 0 {
                    mark!(ReplyAfterFin);
                }
                // If a socket with unread input were closed, the kernel would send a reset.
                let lingers = self.backlog.as_ref().is_some_and(|backlog| backlog.has_unseen);
                if bug!(RepliesAreDroppedAtFin) { State::Over } else { State::Flushing { lingers } }
            }
            End::Closed(_) | End::Drained => State::Flushing { lingers: true },
        })
    }

    /// Sends what is left. Ready when that is done, or fails.
    pub(super) fn poll_flush(&mut self, lingers: bool, cx: &mut Context<'_>) -> Poll<State> {
        let is_sent = ready!(self.poll_send(cx, &mut Vec::new())).is_ok();
        let linger = is_sent && lingers;
        Poll::Ready(if linger { State::Lingering(Box::new(Linger::new())) } else { State::Over })
    }
}
