//! What a log may say next: the acts that count, and those that must not.

use super::{LogSpace, LogState};
use crate::generate::origin;
use elockd_core::replica::{Act, LEVEL, NodeInput};
use elockd_core::{Cause, Conn, Input};

impl LogSpace {
    /// Every act that counts in a state.
    pub(super) fn acts(&self, state: &LogState) -> Vec<Act> {
        let mut acts = Vec::new();
        for (node, epochs) in [1, 2].into_iter().zip(self.epochs) {
            let Some(epoch) = state.ledger.present(node) else {
                if (state.ledger.of(node).count() as u64) < epochs {
                    acts.push(up(node));
                }
                continue;
            };
            acts.push(Act::Gone { node, epoch });
            let number = state.ledger.run(epoch) + 1;
            if number <= self.batches {
                let batch = |inputs| Act::Batch { node, epoch, number, inputs };
                acts.extend(self.contents(state, node).into_iter().map(batch));
            }
        }
        if self.ms > 0 && state.reference.due().is_some() {
            acts.push(Act::Tick);
        }
        acts
    }

    /// What a node may send.
    fn contents(&self, state: &LogState, node: u16) -> Vec<Vec<NodeInput>> {
        let mut contents = Vec::new();
        let open = state.reference.open().iter().map(|client| client.conn);
        let mut own: Vec<Conn> = open.filter(|conn| conn.node() == node).collect();
        own.sort();
        if own.len() < self.connections[usize::from(node) - 1] {
            contents.extend(self.says.iter().map(|say| {
                let conn = next_conn(state, node);
                vec![opened(conn), Input::Command(conn, say.clone())]
            }));
        }
        for conn in own {
            // Who waits is not heard.
            let says = if state.reference.is_waiting(conn) { &self.says[..1] } else { &self.says[..] };
            contents.extend(says.iter().map(|say| vec![Input::Command(conn, say.clone())]));
            if self.closes {
                contents.push(vec![Input::Closed(conn, Cause::Eof)]);
            }
        }
        if self.drains {
            contents.push(vec![Input::Drain(node)]);
        }
        contents
    }

    /// Acts that must not count in a state: what was sent before, comes too early, or is another's.
    pub(super) fn strays(&self, state: &LogState) -> Vec<Act> {
        let mut strays = Vec::new();
        let begun = state.ledger.begun();
        for node in [1, 2] {
            let conn = next_conn(state, node);
            let harm = vec![opened(conn), Input::Command(conn, self.says[0].clone()), Input::Drain(node)];
            let present = state.ledger.present(node);
            let next = state.replica.roll.last_batch(node) + 1;
            for epoch in 0..=begun + 1 {
                let is_present = present == Some(epoch);
                if !is_present {
                    strays.push(Act::Gone { node, epoch });
                }
                for number in [0, 1, next - 1, next, next + 1, next + 2] {
                    if !is_present || number != next && number != 1 || number == 1 && next > 1 {
                        strays.push(Act::Batch { node, epoch, number, inputs: harm.clone() });
                    }
                }
            }
            if let Some(epoch) = present {
                strays.push(up(node));
                let other = next_conn(state, 3 - node);
                for foreign in [opened(other), Input::Drain(3 - node), Input::Gone(3 - node), Input::Tick] {
                    let inputs = [&harm[..], &[foreign]].concat();
                    strays.push(Act::Batch { node, epoch, number: next, inputs });
                }
            }
        }
        strays
    }
}

const fn up(node: u16) -> Act {
    Act::Up { node, nonce: 0, levels: (LEVEL, LEVEL) }
}

/// The connection that a node would open next: its replica says how far its serials have come.
fn next_conn(state: &LogState, node: u16) -> Conn {
    Conn::new(node, state.replica.machine.highest(node) + 1)
}

fn opened(conn: Conn) -> NodeInput {
    Input::Opened(conn, origin(conn.serial(), 0))
}
