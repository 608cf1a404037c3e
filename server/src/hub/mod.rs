//! The hub: the one place where connections meet. It is a lock around the machine, and for each connection a mailbox
//! for news that others cause. It uses no tokio and does no I/O, so loom runs the same code as production.
//!
//! Two rules keep it right. First, mail is put into its box inside the hub's lock. If it were delivered after
//! unlocking, two pieces of news for one connection could arrive in the wrong order. Second, a box's owner registers
//! its waker in the same locked step in which it finds the box empty. Otherwise mail could come in between, and nobody
//! would be woken.

mod handle;
mod lock;
mod logged;
mod mailbox;
mod post;
mod seat;
mod sleepers;
mod state;
#[cfg(test)]
mod tests;
mod witness;

pub use handle::{Flow, Handle};
pub use lock::{Lock, Locks, StdLocks};
pub use mailbox::{Ending, Mail};
pub use seat::{Debt, Seat};
pub use witness::Witness;

use elockd_core::bug;
use elockd_core::wire::listing::Slice;
use elockd_core::{
    Account, Accounts, Addr, Cause, Conn, DriverInput, Entry, Figures, Kind, Machine, Now, Origin, Output,
    OwnFigures, Reason, Scan,
};
use mailbox::Mailbox;
use post::Post;
use sleepers::{KeeperAsleep, TickerAsleep, is_before};
use state::HubState;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

/// The machine, shared by all connections.
pub struct Hub<L: Locks = StdLocks> {
    state: L::Around<HubState<L>>,
    /// Called when a panic unwinds through the hub's lock.
    on_panic: Option<fn()>,
    /// Set by such a panic. The machine may be half changed then, and is not touched again.
    is_broken: AtomicBool,
}

impl<L: Locks> Hub<L> {
    /// A hub around a machine. `on_panic` is called if a panic unwinds through the hub's lock. The daemon ends itself
    /// there, because a half-changed machine behind open sockets is worse than none. Without `on_panic` the hub stays
    /// broken, and every later call panics too.
    #[must_use]
    pub fn new(machine: Machine, on_panic: Option<fn()>) -> Self {
        Self::of_node(0, machine, on_panic)
    }

    /// The same for a node of a cluster. Its inputs come by a log, so that it needs no more than the methods in
    /// `hub/logged.rs`, and those that only look.
    #[must_use]
    pub fn of_node(node: u16, machine: Machine, on_panic: Option<fn()>) -> Self {
        let state = HubState {
            node,
            machine,
            post: Post { boxes: BTreeMap::new() },
            last_serial: 0,
            draining: false,
            served: Now::default(),
            longest_rest_ms: u64::MAX,
            ticker: TickerAsleep::default(),
            keeper: KeeperAsleep::default(),
            witness: None,
        };
        Self { state: L::Around::new(state), on_panic, is_broken: AtomicBool::new(false) }
    }

    /// Shows every later input to a witness.
    pub fn set_witness(&self, witness: Box<dyn Witness>) {
        self.with(|state| state.witness = Some(witness));
    }

    /// Opens a connection. `origin` gets its number, for peers that have no address.
    ///
    /// # Errors
    ///
    /// The machine's reason to refuse it.
    pub fn open(
        self: &Arc<Self>,
        now: Now,
        origin: impl FnOnce(Conn) -> Origin,
    ) -> Result<Handle<L>, Reason> {
        let (conn, mailbox) = self.with(|state| {
            state.last_serial += 1;
            let conn = Conn::new(0, state.last_serial);
            let mut refused = None;
            let input = DriverInput::Opened(conn, origin(conn));
            state.apply(now, input, &mut |output| match output {
                Output::Disconnect(reason) => refused = Some(reason),
                output => panic!("{conn:?} was sent {output:?} when it opened"),
            });
            if let Some(reason) = refused {
                return Err(reason);
            }
            let mailbox = Arc::new(Mailbox::new());
            if state.draining && !bug!(OpenedWhileDrainingIsNotTold) {
                mailbox.put(Mail::Ending(Ending::Drained));
            }
            state.post.boxes.insert(conn, Arc::clone(&mailbox));
            Ok((conn, mailbox))
        })?;
        Ok(Handle { hub: Arc::clone(self), conn, mailbox: Some(mailbox) })
    }

    /// From `now` on, time in which nobody is served for longer than `ms` is a [lapse](elockd_core::Input::Lapse). So
    /// somebody must [tick](Self::tick) more often than that, also if nothing is due.
    pub fn expect_rests_up_to(&self, now: Now, ms: u64) {
        self.with(|state| {
            state.served = state.served.max(now);
            state.longest_rest_ms = ms;
        });
    }

    /// Does one slice of what is due, if anything is, and sweeps one. Returns when there is work next.
    pub fn tick(&self, now: Now) -> Option<Now> {
        self.with(|state| {
            state.serve(now, None, &mut |_| {});
            let is_due = |due: Now| due < now || due == now && !bug!(TickerSpins);
            if state.machine.deadline().is_some_and(is_due) {
                state.apply(now, DriverInput::Tick, &mut |_| {});
            }
            state.machine.sweep(1);
            state.next_work()
        })
    }

    /// Ready if something is due earlier than `until` (`None` is never). Otherwise the waker is called when that
    /// becomes so. There is one ticker: a second caller replaces the first.
    pub fn poll_due_before(&self, until: Option<Now>, waker: &Waker) -> Poll<()> {
        self.with(|state| {
            if is_before(state.next_work(), until) {
                return Poll::Ready(());
            }
            state.ticker = TickerAsleep { until, waker: Some(waker.clone()) };
            Poll::Pending
        })
    }

    /// Lets the machine give out fencing tokens from `first` to `last`.
    pub fn tokens(&self, now: Now, first: u64, last: u64) {
        self.with(|state| state.apply(now, DriverInput::Tokens { first, last }, &mut |_| {}));
    }

    /// Ready if fewer fencing tokens than `few` are left. Otherwise the waker is called when that becomes so. There is
    /// one keeper of tokens: a second caller replaces the first.
    pub fn poll_tokens_below(&self, few: u64, waker: &Waker) -> Poll<()> {
        self.with(|state| {
            if state.machine.tokens_left() < few {
                return Poll::Ready(());
            }
            state.keeper = KeeperAsleep { few, waker: Some(waker.clone()) };
            Poll::Pending
        })
    }

    /// Replaces the table of accounts.
    pub fn set_accounts(&self, now: Now, accounts: &Arc<Accounts>) {
        self.with(|state| state.apply(now, DriverInput::Accounts(accounts), &mut |_| {}));
    }

    /// Closes connections of accounts that are not in the table of accounts, as an operator's `kick` does. It looks at
    /// `most` connections, from the one behind `after` on. Returns how many it closed, and the last one that it looked
    /// at, if there may be more.
    pub fn close_without_account(&self, now: Now, after: Option<Conn>, most: usize) -> (usize, Option<Conn>) {
        self.with(|state| {
            let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
            let looked_at: Vec<Conn> =
                state.post.boxes.range(behind).take(most).map(|(conn, _)| *conn).collect();
            let is_gone = |conn: &Conn| {
                let account = state.machine.account_of(*conn);
                account.is_some_and(|account| state.machine.accounts().get(account).is_none())
            };
            let gone: Vec<Conn> = looked_at.iter().copied().filter(is_gone).collect();
            for conn in &gone {
                // Its wait needs no answer: nobody who is kicked gets one.
                state.apply(now, DriverInput::Closed(*conn, Cause::Kicked), &mut |_| {});
                if let Some(mailbox) = state.post.boxes.get(conn) {
                    mailbox.put(Mail::Ending(Ending::Machine(Reason::Kicked)));
                }
            }
            let last = looked_at.last().copied().filter(|_| looked_at.len() == most);
            (gone.len(), last)
        })
    }

    /// Begins the shutdown. Nothing is granted from now on. Every wait is answered, and every connection is told to
    /// end.
    pub fn drain(&self, now: Now) {
        self.with(|state| {
            state.apply(now, DriverInput::Drain(0), &mut |_| {});
            state.draining = true;
            for mailbox in state.post.boxes.values() {
                mailbox.put(Mail::Ending(Ending::Drained));
            }
        });
    }

    /// Number of mailboxes. Each open connection has one.
    pub fn mailboxes(&self) -> usize {
        self.with(|state| state.post.boxes.len())
    }

    /// Reads the next slice of a listing.
    pub fn scan(&self, scan: &mut Scan, slice: &mut Slice) {
        self.look(scan, &mut |entry| slice.push(entry));
    }

    /// Calls `each` with the entries of the next slice of a listing. No command runs meanwhile.
    pub fn look(&self, scan: &mut Scan, each: &mut impl FnMut(Entry<'_>)) {
        self.with(|state| state.machine.scan(scan, each));
    }

    /// Calls `look` with the figures as of the last input.
    pub fn figures<R>(&self, look: impl FnOnce(Figures<'_>) -> R) -> R {
        self.figures_at(Now::default(), look)
    }

    /// Calls `look` with the figures as of `now`, or as of the last input if that is later.
    pub fn figures_at<R>(&self, now: Now, look: impl FnOnce(Figures<'_>) -> R) -> R {
        self.with(|state| look(state.machine.figures_at(now)))
    }

    /// Calls `look` with the figures of every account.
    pub fn figures_by_account<R>(&self, look: impl FnOnce(&[OwnFigures<'_>]) -> R) -> R {
        self.with(|state| look(&state.machine.figures_by_account()))
    }

    /// The account that an open connection's locks are counted for.
    pub fn account_of(&self, conn: Conn) -> Option<Account> {
        self.with(|state| state.machine.account_of(conn))
    }

    /// The address of an open connection.
    pub fn addr_of(&self, conn: Conn) -> Option<Addr> {
        self.with(|state| state.machine.addr_of(conn))
    }

    /// Whether a connection holds this lock.
    pub fn is_holder(&self, conn: Conn, kind: Kind, name: &[u8]) -> bool {
        self.with(|state| state.machine.is_holder(conn, kind, name))
    }

    fn with<R>(&self, act: impl FnOnce(&mut HubState<L>) -> R) -> R {
        /// Dropped only by a panic in `act`.
        struct Unwinding<'a>(&'a AtomicBool, Option<fn()>);
        impl Drop for Unwinding<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
                if let Some(on_panic) = self.1 {
                    on_panic();
                }
            }
        }
        self.state.with(|state| {
            assert!(!self.is_broken(), "the machine panicked before");
            let unwinding = Unwinding(&self.is_broken, self.on_panic);
            let result = act(state);
            if !bug!(TickerNotWoken) {
                state.wake_ticker();
            }
            state.wake_keeper();
            std::mem::forget(unwinding);
            result
        })
    }

    fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }
}
