//! The gate of a single daemon. Every input is applied in the hub of this process. A reply that waits for nobody is
//! there when the call returns. It adds nothing to the hub's own calls.

use super::{Gate, GateHandle};
use crate::clock::Clock;
use crate::hub::{Flow, Handle, Hub, Mail};
use crate::listen::Stream;
use elockd_core::{Account, Accounts, Addr, Cause, Command, Conn, Kind, Machine, Now, Origin, Reason};
use std::sync::Arc;
use std::task::{Poll, Waker};
use tokio::task::JoinHandle;

/// A gate with a hub of its own.
pub struct Local {
    hub: Arc<Hub>,
}

impl Local {
    /// A gate to a machine of its own. For `on_panic` see [`Hub::new`].
    pub(crate) fn new(machine: Machine, on_panic: Option<fn()>) -> Self {
        Self { hub: Arc::new(Hub::new(machine, on_panic)) }
    }
}

impl Gate for Local {
    type Handle = Handle;
    type Pass = ();
    type Guarded<S: Stream> = S;

    const NEEDS_TOKENS: bool = true;
    const ANSWERS_BY_MAIL: bool = false;

    #[inline]
    fn hub(&self) -> &Hub {
        &self.hub
    }

    fn node(&self) -> u16 {
        0
    }

    fn is_serving(&self) -> bool {
        true
    }

    fn time(&self, now: Now) -> Now {
        now
    }

    fn take_in<S: Stream>(&self, stream: S) -> (S, ()) {
        (stream, ())
    }

    fn in_care_of(&self, (): &(), _is_ready: bool, _task: JoinHandle<()>) {}

    fn open(&self, (): &(), now: Now, origin: impl FnOnce(Conn) -> Origin) -> Result<Handle, Reason> {
        self.hub.open(now, origin)
    }

    fn set_accounts(&self, now: Now, accounts: &Arc<Accounts>) {
        self.hub.set_accounts(now, accounts);
    }

    fn close_without_account(&self, now: Now, after: Option<Conn>, most: usize) -> (usize, Option<Conn>) {
        self.hub.close_without_account(now, after, most)
    }

    fn drain(&self, now: Now) {
        self.hub.drain(now);
    }

    fn tend(&self, clock: Clock, idle_ms: u64) -> impl Future<Output = ()> + Send {
        crate::ticker::run(&self.hub, clock, idle_ms)
    }
}

impl GateHandle for Handle {
    #[inline]
    fn batch<N: AsRef<[u8]>>(&self, now: Now, commands: &[Command<N>], out: &mut Vec<u8>) -> Flow {
        Self::batch(self, now, commands, out)
    }

    #[inline]
    fn command<N: AsRef<[u8]>>(
        &self,
        now: Now,
        command: &Command<N>,
        out: &mut Vec<u8>,
    ) -> (Flow, Option<bool>) {
        Self::command(self, now, command, out)
    }

    fn account(&self) -> Account {
        Self::account(self)
    }

    fn addr(&self) -> Option<Addr> {
        Self::addr(self)
    }

    fn is_holder(&self, kind: Kind, name: &[u8]) -> bool {
        Self::is_holder(self, kind, name)
    }

    #[inline]
    fn close(&mut self, now: Now, cause: Cause) -> Vec<u8> {
        Self::close(self, now, cause)
    }

    #[inline]
    fn close_waiting(&mut self, now: Now) -> Option<Vec<u8>> {
        Self::close_waiting(self, now)
    }

    #[inline]
    fn closed(&mut self) {
        Self::closed(self);
    }

    #[inline]
    fn poll_mail(&self, waker: &Waker) -> Poll<Mail> {
        Self::poll_mail(self, waker)
    }
}
