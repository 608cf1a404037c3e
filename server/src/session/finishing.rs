//! The end of a connection. Its locks are released first, then it gets what it is still owed, then the socket is
//! closed.

use super::Session;
use super::alarm::Alarm;
use super::lingering::{LINGER, Linger};
use super::serving::give_way;
use super::state::{End, State};
use crate::gate::{Gate, GateHandle};
use crate::listen::Stream;
use crate::places::Closing;
use elockd_core::wire::encode_reason;
use elockd_core::{Reason, bug, mark};
use std::task::{Context, Poll, ready};

/// Replies that are still sent although the connection is over in the machine.
pub(super) struct Flush {
    /// `None` at a shutdown: no sockets come any more that need room.
    closing: Option<Closing>,
    /// When it is over, whatever is left. `None` is as long as the peer takes its replies.
    until: Option<Alarm>,
    /// Whether the server closes first.
    lingers: bool,
}

impl Flush {
    /// For a connection that is refused: it has no more time than others have to close.
    pub(super) fn of_refused(closing: Closing) -> Self {
        Self { closing: Some(closing), until: Some(Alarm::after(LINGER)), lingers: true }
    }

    /// Begins to linger, when all is sent.
    pub(super) fn linger(&mut self) -> Linger {
        let until = self.until.take().unwrap_or_else(|| Alarm::after(LINGER));
        Linger::new(self.closing.take(), until)
    }

    /// Ready when the connection is over, whatever is left.
    pub(super) fn poll_cut_off(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.as_ref().is_some_and(|closing| closing.poll_dropped(cx).is_ready()) {
            return Poll::Ready(());
        }
        self.until.as_mut().map_or(Poll::Pending, |until| until.poll(cx))
    }
}

impl<S: Stream, G: Gate> Session<S, G> {
    /// Ends the connection in the machine. Input that has not run never runs. The reply that the machine still owes
    /// will be sent.
    pub(super) fn finish(&mut self, end: End) -> State {
        let is_unanswered = matches!(end, End::Closed(Reason::NoQuorum)) && self.is_unanswered();
        drop(self.take_unrun());
        if matches!(end, End::Stranger) {
            self.note_stranger_closed();
        }
        let cause = end.cause();
        if let End::Closed(Reason::NoQuorum) = end {
            self.handle.closed();
            self.lapse(is_unanswered);
        } else if let End::Closed(reason) = end {
            self.handle.closed();
            encode_reason(reason, self.unsent());
        } else if let End::Foreign(foreign) = end {
            self.handle.close(self.now(), cause);
            foreign.encode(self.unsent());
        } else {
            let owed = self.handle.close(self.now(), cause);
            if !owed.is_empty() {
                self.log_answer(&owed);
                self.unsent().extend(owed);
            }
        }
        if let Some(log) = &mut self.log {
            log.disconnected(cause);
        }
        State::Logging(end)
    }

    /// Whether the peer has asked for something, and has had no part of the answer.
    fn is_unanswered(&self) -> bool {
        match &self.state {
            State::Waiting | State::Braking(_) => true,
            State::Listing(listing) => listing.has_no_text(),
            _ => self.has_unrun_line(),
        }
    }

    /// The node has no lease any more. Nothing that was answered may be told now. Who has asked for something hears
    /// that instead, unless half of a reply is on its way.
    #[cold]
    fn lapse(&mut self, is_unanswered: bool) {
        self.clear_unsent();
        if is_unanswered && self.stream.may_say_last_word() {
            encode_reason(Reason::NoQuorum, self.unsent());
        }
    }

    /// Logs what was held. Ready when that is done.
    pub(super) fn poll_log(&mut self, end: End, cx: &mut Context<'_>) -> Poll<State> {
        if self.log.as_mut().is_some_and(|log| log.log_orphans()) {
            return give_way(cx);
        }
        // That of the administrative socket says whose place the socket has.
        self.log.take_if(|log| !log.is_of_admin_socket());
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
                let is_done = self.unsent_len() == 0 && !self.has_unseen() && !S::HAS_FAREWELL;
                if is_done || bug!(RepliesAreDroppedAtFin) {
                    return Poll::Ready(State::Over);
                }
                mark!(ReplyAfterFin);
                self.flush(end)
            }
            End::Closed(_) | End::Foreign(_) | End::Stranger | End::Drained => self.flush(end),
        })
    }

    /// Begins to send what is left. A client that has said that it ends gets all of it. A client that others end may
    /// not even be there, and somebody wants it gone.
    fn flush(&self, end: End) -> State {
        let is_over_soon = matches!(
            end,
            End::Foreign(_)
                | End::Stranger
                | End::Closed(Reason::Kicked | Reason::Idle | Reason::Resumed | Reason::NoQuorum)
        );
        State::Flushing(Box::new(Flush {
            closing: (!matches!(end, End::Drained)).then(|| self.places().begin_closing()),
            until: is_over_soon.then(|| Alarm::after(LINGER)),
            // If a socket with unread input were closed, the kernel would send a reset.
            lingers: !matches!(end, End::Eof) || self.has_unseen() || S::HAS_FAREWELL,
        }))
    }

    /// Sends what is left. Ready when that is done, or fails, or takes too long.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        let sent = self.poll_send(cx, &mut Vec::new());
        let State::Flushing(flush) = &mut self.state else { panic!("nothing is flushed") };
        if sent.is_pending() {
            ready!(flush.poll_cut_off(cx));
            return Poll::Ready(State::Over);
        }
        if !flush.lingers || matches!(sent, Poll::Ready(Err(_))) {
            return Poll::Ready(State::Over);
        }
        Poll::Ready(State::Lingering(Box::new(flush.linger())))
    }
}
