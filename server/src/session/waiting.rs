//! A connection that waits for a lock, or for replies that come by mail: what happens until it need not wait any more.
//! None of its commands run meanwhile.

use super::backlog::Unrun;
use super::scratch::Scratch;
use super::serving::give_way;
use super::state::{End, State};
use super::turn::Turn;
use super::{Session, Step};
use crate::gate::{Gate, GateHandle};
use crate::hub::{Ending, Flow, Mail};
use crate::listen::{Gone, Stream};
use elockd_core::{bug, mark};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;
use tokio::time::Instant;

/// The most bytes that are read ahead while a connection waits.
const MAX_AHEAD: usize = 64 << 10;

impl<S: Stream, G: Gate> Session<S, G> {
    /// Looks for the end of the wait. Also reads ahead, to notice the end of the connection. Ready when replies have
    /// come, and the wait mostly is over then. Returns what the session must do next, if it does not go on.
    pub(super) fn poll_wait(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        turn: &mut Turn,
    ) -> Poll<Option<Step>> {
        loop {
            match self.handle.poll_mail(cx.waker()) {
                Poll::Ready(Mail::Reply(reply, flow)) => {
                    if G::ANSWERS_BY_MAIL {
                        self.note_latency();
                    }
                    scratch.replies.extend_from_slice(&reply);
                    if matches!(flow, Flow::Wait) {
                        return Poll::Ready(None);
                    }
                    self.state = State::Running;
                    self.log_answer(&reply);
                    if let Some(unrun) = self.backlog.as_mut().and_then(|backlog| backlog.unrun.as_mut()) {
                        mark!(InputWaitedForAGrant);
                        // Latency measures the daemon, not the holders of the lock.
                        unrun.read_at = Instant::now();
                    }
                    return Poll::Ready(match flow {
                        Flow::Go | Flow::Wait => None,
                        Flow::List(scan) => Some(Step::List(scan)),
                        Flow::Close(reason) => Some(Step::End(End::Closed(reason))),
                    });
                }
                Poll::Ready(Mail::Ending(Ending::Machine(reason))) => {
                    return Poll::Ready(Some(Step::End(End::Closed(reason))));
                }
                // A shutdown answers a wait before it ends the connection. So the wait is over.
                Poll::Ready(Mail::Ending(Ending::Drained)) => {
                    return Poll::Ready(Some(Step::End(End::Drained)));
                }
                Poll::Pending => {}
            }
            if self.is_at_end() && !bug!(FinDoesNotEndTheWait) {
                return self.poll_end_wait(scratch);
            }
            let ahead = self.unrun_len();
            if ahead >= MAX_AHEAD {
                mark!(ReadAheadWasFull);
                // Nothing more is read, so the stream is asked.
                self.backlog().has_unseen = true;
                return match ready!(self.stream.poll_gone(cx)) {
                    Gone::Fin => self.poll_end_wait(scratch),
                    Gone::Error => Poll::Ready(Some(Step::End(End::Error))),
                };
            }
            if bug!(WaitEndsTheReading) || self.is_at_end() {
                return Poll::Pending;
            }
            if !turn.may_read() {
                return give_way(cx);
            }
            turn.read();
            let room = scratch.input.len().min(MAX_AHEAD - ahead);
            let mut buffer = ReadBuf::new(&mut scratch.input[..room]);
            match ready!(self.poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => self.backlog().is_at_end = true,
                Ok(()) => {
                    turn.took(buffer.filled().len(), 0);
                    let read_at = Instant::now();
                    let unrun =
                        self.backlog().unrun.get_or_insert_with(|| Unrun { input: Vec::new(), read_at });
                    unrun.input.extend_from_slice(buffer.filled());
                }
                Err(_) => return Poll::Ready(Some(Step::End(End::Error))),
            }
        }
    }

    /// Takes the time of the commands that were under way.
    fn note_latency(&mut self) {
        let asked = self.backlog.as_mut().and_then(|backlog| backlog.asked.take());
        if let (Some(asked), Some(latency)) = (asked, &self.shared.latency) {
            latency.note(asked.commands, asked.read_at.elapsed());
            self.tidy();
        }
    }

    /// Ends the connection and its wait, because the peer sent FIN. Pending if the wait is over already: then its reply
    /// comes by mail, and that wakes this task. The end is met again where the input ends.
    fn poll_end_wait(&mut self, scratch: &mut Scratch) -> Poll<Option<Step>> {
        let Some(reply) = self.handle.close_waiting(self.now()) else { return Poll::Pending };
        self.log_answer(&reply);
        scratch.replies.extend(reply);
        Poll::Ready(Some(Step::End(End::Eof)))
    }

    /// Reads, also what the stream has not told of since it was asked for the peer's end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.has_unseen() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let read = self.stream.poll_read_unseen(cx, buffer);
        if read.is_pending() {
            self.backlog().has_unseen = false;
            self.tidy();
        }
        read
    }

    /// Logs how a wait ended, by its reply. It is empty if the connection was over before.
    pub(super) fn log_answer(&mut self, reply: &[u8]) {
        if let Some(log) = &mut self.log {
            log.answered((!reply.is_empty()).then(|| !reply.starts_with(b"0 ")));
        }
    }
}
