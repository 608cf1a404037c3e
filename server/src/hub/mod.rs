//! The hub: the one place where connections meet. A lock around the machine, and for each connection a
//! mailbox for what others cause it to be told. It has no tokio in it and does no I/O, so that loom runs
//! the code that production runs.
//!
//! Two rules keep it right. Mail is put into its box inside the hub's lock: delivered after unlocking,
//! two pieces of news about one connection could arrive in the wrong order. And a box's owner registers
//! its waker in the same locked step in which it finds the box empty: else mail could come in between
//! and nobody would be woken.

mod lock;
mod mailbox;
#[cfg(test)]
mod tests;
mod witness;

pub use lock::{Lock, Locks, StdLocks};
pub use mailbox::{Ending, Mail};
pub use witness::Witness;

use elockd_core::bug;
use elockd_core::probe::ARE_COMPILED_IN;
use elockd_core::wire::encode;
use elockd_core::wire::listing::Slice;
use elockd_core::{
    Cause, Command, Conn, DriverInput, Entry, Figures, Input, Machine, Now, Origin, Output, Reason, Reply,
    Scan,
};
use mailbox::Mailbox;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

/// The machine, shared by all connections.
pub struct Hub<L: Locks = StdLocks> {
    state: L::Lock<State<L>>,
    /// Called when a panic unwinds through the hub's lock.
    on_panic: Option<fn()>,
    /// Set then: the machine may be half changed, and is not touched again.
    is_broken: AtomicBool,
}

struct State<L: Locks> {
    machine: Machine,
    post: Post<L>,
    last_serial: u64,
    draining: bool,
    ticker: Ticker,
    keeper: Keeper,
    /// Only where a simulation drives the hub.
    witness: Option<Box<dyn Witness>>,
}

/// The mailboxes of all connections.
struct Post<L: Locks> {
    boxes: BTreeMap<Conn, Arc<Mailbox<L>>>,
    /// What a canary puts into boxes too late.
    late: Vec<(Arc<Mailbox<L>>, Mail)>,
}

/// The driver's clock hand: whoever turns `deadline` into `Tick`s, asleep until then.
#[derive(Default)]
struct Ticker {
    /// What it sleeps until; `None` is for ever.
    until: Option<Now>,
    /// Set while it sleeps.
    waker: Option<Waker>,
}

/// Whoever reserves fencing tokens for the machine, asleep while enough are left.
#[derive(Default)]
struct Keeper {
    /// Fewer than these are not enough.
    few: u64,
    /// Set while it sleeps.
    waker: Option<Waker>,
}

/// What the connection has to do after a batch.
#[derive(Debug)]
pub enum Flow {
    /// Send the replies and go on.
    Go,
    /// Send the replies, then collect this listing and send it, then go on.
    List(Scan),
    /// Send the replies. The last command has none yet: it comes by mail, and until then nothing more is run.
    Wait,
    /// Send the replies and close.
    Close(Reason),
}

impl<L: Locks> Hub<L> {
    /// A hub around a machine. `on_panic` is called when a panic unwinds through the hub's lock: the
    /// daemon ends itself there, because half a machine behind open sockets is worse than none.
    /// Without it the hub stays broken, and whoever comes next panics too.
    #[must_use]
    pub fn new(machine: Machine, on_panic: Option<fn()>) -> Self {
        let state = State {
            machine,
            post: Post { boxes: BTreeMap::new(), late: Vec::new() },
            last_serial: 0,
            draining: false,
            ticker: Ticker::default(),
            keeper: Keeper::default(),
            witness: None,
        };
        Self { state: L::Lock::new(state), on_panic, is_broken: AtomicBool::new(false) }
    }

    /// Has every input seen by a witness from here on.
    pub fn set_witness(&self, witness: Box<dyn Witness>) {
        self.with(|state| state.witness = Some(witness));
    }

    /// Opens a connection. `origin` is given its number, for peers that have no address.
    ///
    /// # Errors
    ///
    /// The machine's reason for not wanting it.
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

    /// Does one slice of what is due, when something is. Says when the next is due.
    pub fn tick(&self, now: Now) -> Option<Now> {
        self.with(|state| {
            let is_due = |due: Now| due < now || due == now && !bug!(TickerSpins);
            if state.machine.deadline().is_some_and(is_due) {
                state.apply(now, DriverInput::Tick, &mut |_| {});
            }
            state.machine.deadline()
        })
    }

    /// Ready as soon as something is due earlier than `until` (`None` is for ever); else the waker is
    /// called when that becomes so. There is one ticker: a second caller takes the first one's place.
    pub fn poll_due_before(&self, until: Option<Now>, waker: &Waker) -> Poll<()> {
        self.with(|state| {
            if is_before(state.machine.deadline(), until) {
                return Poll::Ready(());
            }
            state.ticker = Ticker { until, waker: Some(waker.clone()) };
            Poll::Pending
        })
    }

    /// Lets the machine give out fencing tokens from `first` to `last`.
    pub fn tokens(&self, now: Now, first: u64, last: u64) {
        self.with(|state| state.apply(now, DriverInput::Tokens { first, last }, &mut |_| {}));
    }

    /// Ready when fewer fencing tokens than `few` are left; else the waker is called when that becomes so.
    /// There is one keeper of tokens: a second caller takes the first one's place.
    pub fn poll_tokens_below(&self, few: u64, waker: &Waker) -> Poll<()> {
        self.with(|state| {
            if state.machine.tokens_left() < few {
                return Poll::Ready(());
            }
            state.keeper = Keeper { few, waker: Some(waker.clone()) };
            Poll::Pending
        })
    }

    /// Begins the shutdown: nothing is granted from here on, every wait is answered, and every connection is told
    /// to end.
    pub fn drain(&self, now: Now) {
        self.with(|state| {
            state.apply(now, DriverInput::Drain, &mut |_| {});
            state.draining = true;
            let told =
                state.post.boxes.len() - usize::from(bug!(DrainSkipsAMailbox)).min(state.post.boxes.len());
            for mailbox in state.post.boxes.values().take(told) {
                mailbox.put(Mail::Ending(Ending::Drained));
            }
        });
    }

    /// Reads the next slice of a listing.
    pub fn scan(&self, scan: &mut Scan, slice: &mut Slice) {
        self.look(scan, &mut |entry| slice.push(entry));
    }

    /// Looks at the entries of the next slice of a listing. Nobody else runs a command meanwhile.
    pub fn look(&self, scan: &mut Scan, each: &mut impl FnMut(Entry<'_>)) {
        self.with(|state| state.machine.scan(scan, each));
    }

    /// Looks at the figures, for exporters and tests.
    pub fn figures<R>(&self, look: impl FnOnce(Figures<'_>) -> R) -> R {
        self.with(|state| look(state.machine.figures()))
    }

    fn with<R>(&self, act: impl FnOnce(&mut State<L>) -> R) -> R {
        /// Dropped early only by a panic in `act`.
        struct Unwinding<'a>(&'a AtomicBool, Option<fn()>);
        impl Drop for Unwinding<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
                if let Some(on_panic) = self.1 {
                    on_panic();
                }
            }
        }
        let (result, late) = self.state.with(|state| {
            assert!(!self.is_broken(), "the machine panicked before");
            let unwinding = Unwinding(&self.is_broken, self.on_panic);
            let result = act(state);
            if !bug!(TickerNotWoken) {
                state.wake_ticker();
            }
            state.wake_keeper();
            std::mem::forget(unwinding);
            // Compiled away where there are no canaries.
            let late = if ARE_COMPILED_IN { std::mem::take(&mut state.post.late) } else { Vec::new() };
            (result, late)
        });
        for (mailbox, mail) in late {
            mailbox.put(mail);
        }
        result
    }

    fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }
}

impl<L: Locks> Post<L> {
    /// Puts what another connection caused into a connection's box.
    fn deliver(&mut self, to: Conn, output: Output<'_>) {
        let mailbox = self.boxes.get(&to).expect("a connection of the machine has a mailbox");
        let mail = match output {
            Output::Disconnect(_) if bug!(MailIsLost) => return,
            Output::Reply(_) if bug!(GrantIsLost) => return,
            Output::Disconnect(reason) => Mail::Ending(Ending::Machine(reason)),
            Output::Reply(reply) => {
                let mut bytes = Vec::new();
                encode(&reply, &mut bytes);
                Mail::Reply(bytes)
            }
            Output::Wait => panic!("{to:?} waits without having asked"),
        };
        if bug!(MailAfterUnlock) {
            return self.late.push((Arc::clone(mailbox), mail));
        }
        mailbox.put(mail);
    }
}

impl<L: Locks> State<L> {
    /// Applies an input. What it causes for connections with a box goes into their boxes; the rest,
    /// which is what the causer itself is told, goes to `own`.
    #[inline]
    fn apply<N: AsRef<[u8]>>(
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

    fn wake_keeper(&mut self) {
        if self.machine.tokens_left() < self.keeper.few
            && let Some(waker) = self.keeper.waker.take()
        {
            waker.wake();
        }
    }

    fn wake_ticker(&mut self) {
        if is_before(self.machine.deadline(), self.ticker.until)
            && let Some(waker) = self.ticker.waker.take()
        {
            waker.wake();
        }
    }
}

/// Whether a point in time comes before another, `None` being never.
fn is_before(due: Option<Now>, other: Option<Now>) -> bool {
    due.is_some_and(|due| other.is_none_or(|other| due < other))
}

/// One connection's way to the machine. Dropping it ends the connection there, so that whatever becomes
/// of its task, its locks are released.
pub struct Handle<L: Locks = StdLocks> {
    hub: Arc<Hub<L>>,
    conn: Conn,
    /// `None` once the connection is closed in the machine.
    mailbox: Option<Arc<Mailbox<L>>>,
}

impl<L: Locks> Handle<L> {
    /// Runs commands in one go and appends their replies to `out`. The caller bounds their number: the
    /// lock is held for all of them. A command that [`ends_batch`](Command::ends_batch) must be the last.
    pub fn batch<N: AsRef<[u8]>>(&self, now: Now, commands: &[Command<N>], out: &mut Vec<u8>) -> Flow {
        self.run(now, commands, out, |_| {})
    }

    /// The same with one command. Says too whether it succeeded, when there is a reply at all.
    pub fn command<N: AsRef<[u8]>>(
        &self,
        now: Now,
        command: &Command<N>,
        out: &mut Vec<u8>,
    ) -> (Flow, Option<bool>) {
        let mut is_success = None;
        let commands = std::slice::from_ref(command);
        let flow = self.run(now, commands, out, |reply| is_success = Some(!reply.is_failure()));
        (flow, is_success)
    }

    #[inline]
    fn run<N: AsRef<[u8]>>(
        &self,
        now: Now,
        commands: &[Command<N>],
        out: &mut Vec<u8>,
        mut heard: impl FnMut(&Reply<'_>),
    ) -> Flow {
        self.hub.with(|state| {
            let mut flow = Flow::Go;
            for command in commands {
                assert!(matches!(flow, Flow::Go | Flow::Close(Reason::Idle)), "a command after the last");
                // By reference: to move a reply would take as long as to encode it.
                state.apply(now, Input::Command(self.conn, command), &mut |output| match &output {
                    Output::Reply(reply) => {
                        heard(reply);
                        match reply {
                            Reply::Listing(listing) => flow = Flow::List(Scan::new(*listing)),
                            reply => encode(reply, out),
                        }
                    }
                    Output::Wait => flow = Flow::Wait,
                    Output::Disconnect(reason) => flow = Flow::Close(*reason),
                });
            }
            flow
        })
    }

    /// Ends the connection: all it holds is released, and its wait over, before anything else happens. Gives the
    /// reply of its wait that it has not had yet, if there is one. Only the first end counts.
    pub fn close(&mut self, now: Now, cause: Cause) -> Vec<u8> {
        let Some(mailbox) = self.mailbox.take() else { return Vec::new() };
        self.hub.with(|state| self.close_with(state, &mailbox, now, cause))
    }

    /// Ends the connection because its peer, which waits, said that it will say no more; gives the reply of the
    /// wait. `None` when the wait is over already: then there is mail, and the connection goes on.
    pub fn close_waiting(&mut self, now: Now) -> Option<Vec<u8>> {
        let mailbox = self.mailbox.as_ref()?;
        let owed = self.hub.with(|state| {
            // Mail is put within this lock: if there is none, the machine has not ended the wait.
            mailbox.is_empty().then(|| self.close_with(state, mailbox, now, Cause::Eof))
        })?;
        self.mailbox = None;
        Some(owed)
    }

    fn close_with(&self, state: &mut State<L>, mailbox: &Mailbox<L>, now: Now, cause: Cause) -> Vec<u8> {
        state.post.boxes.remove(&self.conn);
        let mut owed = mailbox.take_reply().unwrap_or_default();
        let input = DriverInput::Closed(self.conn, cause);
        state.apply(now, input, &mut |output| match output {
            Output::Reply(reply) => encode(&reply, &mut owed),
            // It may have been due to be closed as idle in this very moment.
            Output::Disconnect(_) => {}
            Output::Wait => panic!("{:?} began to wait as it closed", self.conn),
        });
        owed
    }

    /// Takes note that the machine has closed the connection, as its [`Flow`] or [`Ending`] said.
    pub fn closed(&mut self) {
        if self.mailbox.take().is_some() {
            self.hub.with(|state| state.post.boxes.remove(&self.conn));
        }
    }

    /// Ready when somebody else ended this connection's wait, or decided that it ends itself; else the waker is
    /// called when that happens. A closed connection is told nothing any more.
    pub fn poll_mail(&self, waker: &Waker) -> Poll<Mail> {
        self.mailbox.as_ref().map_or(Poll::Pending, |mailbox| mailbox.poll(waker))
    }
}

impl<L: Locks> Drop for Handle<L> {
    fn drop(&mut self) {
        if self.hub.is_broken() || bug!(DroppedHandleStaysOpen) {
            return;
        }
        // No clock at hand: a time that goes back counts as the last one the machine has seen.
        self.close(Now::default(), Cause::Error);
    }
}
