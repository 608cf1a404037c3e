//! What is left over when a session's turn ends: input that has not run, and replies that were not sent. Few
//! connections have either at any time. So both are in one box, which exists only while it is needed.

use super::Session;
use super::unsent::Unsent;
use crate::gate::Gate;
use tokio::time::Instant;

/// What is left over.
#[derive(Default)]
pub(super) struct Backlog {
    /// Input that was read and has not run, because replies before it must be sent first, or have not come yet.
    pub(super) unrun: Option<Unrun>,
    /// Whether the peer sent FIN behind that input.
    pub(super) is_at_end: bool,
    /// Whether the stream may have input that only `poll_read_unseen` finds.
    pub(super) has_unseen: bool,
    /// Commands whose replies come by mail, and are to be timed.
    pub(super) asked: Option<Asked>,
    /// Replies that were not sent at once.
    pub(super) unsent: Unsent,
}

/// Commands that are under way, how many there are and when they were read.
pub(super) struct Asked {
    pub(super) commands: u64,
    pub(super) read_at: Instant,
}

/// Input that waits, and when it was read.
pub(super) struct Unrun {
    pub(super) input: Vec<u8>,
    /// When it was read off the socket.
    pub(super) read_at: Instant,
}

impl<S, G: Gate> Session<S, G> {
    /// The backlog, to add to it. Makes it if there is none.
    pub(super) fn backlog(&mut self) -> &mut Backlog {
        self.backlog.get_or_insert_default()
    }

    /// Takes the input that has not run.
    pub(super) fn take_unrun(&mut self) -> Option<Unrun> {
        let unrun = self.backlog.as_mut()?.unrun.take()?;
        self.tidy();
        Some(unrun)
    }

    /// How many bytes of input have not run.
    pub(super) fn unrun_len(&self) -> usize {
        let unrun = self.backlog.as_ref().and_then(|backlog| backlog.unrun.as_ref());
        unrun.map_or(0, |unrun| unrun.input.len())
    }

    /// Whether a whole line of input has not run.
    pub(super) fn has_unrun_line(&self) -> bool {
        let unrun = self.backlog.as_ref().and_then(|backlog| backlog.unrun.as_ref());
        unrun.is_some_and(|unrun| unrun.input.contains(&b'\n'))
    }

    /// Whether the peer sent FIN. Then nothing more is read.
    pub(super) fn is_at_end(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.is_at_end)
    }

    /// Whether the stream may have input that only `poll_read_unseen` finds.
    pub(super) fn has_unseen(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.has_unseen)
    }

    /// The replies that are not sent yet, to add to them.
    pub(super) fn unsent(&mut self) -> &mut Vec<u8> {
        self.backlog().unsent.tail()
    }

    /// How many bytes of replies are not sent yet.
    pub(super) fn unsent_len(&self) -> usize {
        self.backlog.as_ref().map_or(0, |backlog| backlog.unsent.rest().len())
    }

    /// Forgets the replies that were not sent. They are sent now, or never will be.
    pub(super) fn clear_unsent(&mut self) {
        if let Some(backlog) = &mut self.backlog {
            backlog.unsent = Unsent::default();
            self.tidy();
        }
    }

    /// Gives the box back if nothing is in it.
    pub(super) fn tidy(&mut self) {
        let is_empty = |backlog: &Backlog| {
            backlog.unrun.is_none()
                && !backlog.is_at_end
                && !backlog.has_unseen
                && backlog.asked.is_none()
                && backlog.unsent.rest().is_empty()
        };
        if self.backlog.as_deref().is_some_and(is_empty) {
            self.backlog = None;
        }
    }
}
