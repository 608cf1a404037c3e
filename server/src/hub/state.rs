//! What the hub's lock guards: the machine, the post, and the tasks that sleep until the machine needs them.

use super::post::Post;
use super::sleepers::{KeeperAsleep, TickerAsleep, is_before};
use super::{Locks, Witness};
use elockd_core::{BorrowedInput, Conn, DriverInput, Machine, Now, Output};

pub(super) struct HubState<L: Locks> {
    /// The number of this node. 0 for a single daemon.
    pub(super) node: u16,
    pub(super) machine: Machine,
    pub(super) post: Post<L>,
    pub(super) last_serial: u64,
    pub(super) draining: bool,
    /// The latest time at which somebody was served, or the ticker looked.
    pub(super) served: Now,
    /// If nobody was served for longer than this, in milliseconds, that was a lapse.
    pub(super) longest_rest_ms: u64,
    pub(super) ticker: TickerAsleep,
    pub(super) keeper: KeeperAsleep,
    /// Set only by simulations.
    pub(super) witness: Option<Box<dyn Witness>>,
}

impl<L: Locks> HubState<L> {
    /// Applies an input, behind a lapse if there was one. Outputs for other connections go into their boxes. Outputs
    /// for the connection that sent the input go to `own`.
    #[inline]
    pub(super) fn apply<N: AsRef<[u8]>>(
        &mut self,
        now: Now,
        input: BorrowedInput<'_, N>,
        own: &mut impl FnMut(Output<'_>),
    ) {
        self.serve(now, input.conn(), own);
        self.apply_now(now, input.conn(), input, own);
    }

    /// Notes that somebody is served. If nobody was for too long, the machine is told first, before it judges who was
    /// silent for too long. `causer` is whose outputs go to `own`.
    #[inline]
    pub(super) fn serve(&mut self, now: Now, causer: Option<Conn>, own: &mut impl FnMut(Output<'_>)) {
        let ms = now.0.saturating_sub(self.served.0);
        // If nothing will ever be due, there is nobody who could be idle.
        if ms > self.longest_rest_ms && self.machine.deadline().is_some() {
            self.apply_now(now, causer, DriverInput::Lapse { ms }, own);
        }
        self.served = self.served.max(now);
    }

    #[inline]
    fn apply_now<N: AsRef<[u8]>>(
        &mut self,
        now: Now,
        causer: Option<Conn>,
        input: BorrowedInput<'_, N>,
        own: &mut impl FnMut(Output<'_>),
    ) {
        self.apply_and_tell(now, input, &mut |post, to, output| {
            if Some(to) == causer { own(output) } else { post.deliver(to, output) }
        });
    }

    /// Applies an input, and calls `tell` with each of its outputs.
    #[inline]
    pub(super) fn apply_and_tell<N: AsRef<[u8]>>(
        &mut self,
        now: Now,
        input: BorrowedInput<'_, N>,
        tell: &mut impl FnMut(&mut Post<L>, Conn, Output<'_>),
    ) {
        let Self { machine, post, witness, .. } = self;
        if let Some(witness) = witness {
            witness.input(now, input.map(|command| command.borrowed()).shared());
        }
        let seq = machine.apply(now, input, &mut |to, output| {
            if let Some(witness) = witness {
                witness.output(to, &output);
            }
            tell(post, to, output);
        });
        if let Some(witness) = witness {
            witness.applied(seq, machine);
        }
    }

    /// When the ticker has work next: what is due, or, at once, what is dead and to be swept.
    pub(super) fn next_work(&self) -> Option<Now> {
        if self.machine.is_swept() { self.machine.deadline() } else { Some(self.machine.now()) }
    }

    pub(super) fn wake_keeper(&mut self) {
        if self.machine.tokens_left() < self.keeper.few
            && let Some(waker) = self.keeper.waker.take()
        {
            waker.wake();
        }
    }

    pub(super) fn wake_ticker(&mut self) {
        if is_before(self.next_work(), self.ticker.until)
            && let Some(waker) = self.ticker.waker.take()
        {
            waker.wake();
        }
    }
}
