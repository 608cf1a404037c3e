//! What the hub's lock guards: the machine, the post, and the tasks that sleep until the machine needs them.

use super::post::Post;
use super::sleepers::{KeeperAsleep, TickerAsleep, is_before};
use super::{Locks, Witness};
use elockd_core::{Command, Input, Machine, Now, Output};

pub(super) struct HubState<L: Locks> {
    pub(super) machine: Machine,
    pub(super) post: Post<L>,
    pub(super) last_serial: u64,
    pub(super) draining: bool,
    pub(super) ticker: TickerAsleep,
    pub(super) keeper: KeeperAsleep,
    /// Set only by simulations.
    pub(super) witness: Option<Box<dyn Witness>>,
}

impl<L: Locks> HubState<L> {
    /// Applies an input. Outputs for other connections go into their boxes. Outputs for the connection that sent the
    /// input go to `own`.
    #[inline]
    pub(super) fn apply<N: AsRef<[u8]>>(
        &mut self,
        now: Now,
        input: Input<&Command<N>>,
        own: &mut impl FnMut(Output<'_>),
    ) {
        let causer = input.conn();
        let Self { machine, post, witness, .. } = self;
        if let Some(witness) = witness {
            witness.input(now, input.as_ref().map(|command| command.borrowed()));
        }
        let seq = machine.apply(now, input, &mut |to, output| {
            if let Some(witness) = witness {
                witness.output(to, &output);
            }
            if Some(to) == causer { own(output) } else { post.deliver(to, output) }
        });
        if let Some(witness) = witness {
            witness.applied(seq, machine);
        }
    }

    pub(super) fn wake_keeper(&mut self) {
        if self.machine.tokens_left() < self.keeper.few
            && let Some(waker) = self.keeper.waker.take()
        {
            waker.wake();
        }
    }

    pub(super) fn wake_ticker(&mut self) {
        if is_before(self.machine.deadline(), self.ticker.until)
            && let Some(waker) = self.ticker.waker.take()
        {
            waker.wake();
        }
    }
}
