//! The first bytes of a connection. If they are another protocol's, none of it runs.

use super::backlog::Unrun;
use super::state::{End, State};
use super::turn::Turn;
use super::{Session, Step};
use crate::gate::{Gate, GateHandle};
use crate::listen::Stream;
use elockd_core::wire::{Beginning, Foreign};
use tokio::time::Instant;
use tracing::info;

impl<S: Stream, G: Gate> Session<S, G> {
    /// Judges the first input, and runs it if it is ours. If it may still be another protocol, it waits for more.
    pub(super) fn begin(&mut self, input: &[u8], turn: &mut Turn, replies: &mut Vec<u8>) -> Option<Step> {
        let kept = self.take_unrun().map(|mut unrun| {
            unrun.input.extend_from_slice(input);
            unrun
        });
        let all = kept.as_ref().map_or(input, |unrun| &unrun.input);
        match Beginning::of(all, self.shared.config.max_line_bytes) {
            Beginning::Ours => {
                self.state = State::Running;
                self.run(all, kept.as_ref().map(|unrun| unrun.read_at), turn, replies)
            }
            Beginning::Open => {
                let unrun = kept.unwrap_or_else(|| Unrun { input: input.to_vec(), read_at: Instant::now() });
                self.backlog().unrun = Some(unrun);
                None
            }
            Beginning::Foreign(foreign) => Some(self.end_foreign(foreign)),
        }
    }

    #[cold]
    fn end_foreign(&self, foreign: Foreign) -> Step {
        let peer = self.handle.addr().map_or_else(|| "a peer".to_owned(), |addr| addr.to_string());
        self.shared.foreign.note(|others| {
            let protocol = foreign.word();
            info!(addr = peer, protocol, "{peer} was closed, for it speaks {protocol}{others}");
        });
        Step::End(End::Foreign(foreign))
    }
}
