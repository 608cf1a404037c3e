//! The hub of a node in a cluster. The inputs of all nodes come by one agreed log, so nothing is applied when a
//! connection says it. When a part of the log is applied, this node's connections are told what came of it, by mail.
//! Other nodes' connections are told by their nodes.
//!
//! Time is the log's alone: it goes on by what is applied, and no clock is read.

use super::{Ending, Flow, Hub, Locks, Mail, Seat};
use crate::hub::post::Post;
use crate::hub::sleepers::TickerAsleep;
use elockd_cluster::NodeInput;
use elockd_core::Settings;
use elockd_core::wire::encode;
use elockd_core::{Conn, Input, Machine, Now, Output, Reply, Scan};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Slices that are swept in one go.
const SLICES: u32 = 1;

impl<L: Locks> Hub<L> {
    /// Gives a new connection its number and its mailbox. `hand_in` is called within the hub's lock, so that numbers
    /// are handed in as they ascend: the machine ignores one that is not above those before it.
    pub fn enter(self: &Arc<Self>, hand_in: impl FnOnce(Conn)) -> Seat<L> {
        let (conn, mailbox) = self.with(|state| {
            let serial = state.last_serial.max(state.machine.highest(state.node)) + 1;
            state.last_serial = serial;
            let conn = Conn::new(state.node, serial);
            let mailbox = state.post.open(conn);
            if state.draining {
                mailbox.put(Mail::Ending(Ending::Drained));
            }
            hand_in(conn);
            (conn, mailbox)
        });
        Seat::new(Arc::clone(self), conn, mailbox)
    }

    /// Applies inputs in one go, all at the same time, and tells this node's connections what came of all of them.
    pub fn apply(&self, stamp: Now, inputs: &[NodeInput]) {
        self.with(|state| {
            let mut news = News::of(state.node);
            for input in inputs {
                news.hear(input);
                state.apply_and_tell(stamp, input.as_ref(), &mut |_, to, output| news.told(to, output));
            }
            state.draining = (state.draining || news.drains) && !news.is_gone;
            news.deliver(&mut state.post);
            if !state.machine.is_swept()
                && let Some(waker) = state.ticker.waker.take()
            {
                waker.wake();
            }
        });
    }

    /// Frees a little of what dead tenures left behind. Returns whether there is more.
    pub fn sweep(&self) -> bool {
        self.with(|state| {
            state.machine.sweep(SLICES);
            !state.machine.is_swept()
        })
    }

    /// Ready if there is something to sweep. Otherwise the waker is called when that becomes so. There is one sweeper:
    /// a second caller replaces the first.
    pub fn poll_unswept(&self, waker: &Waker) -> Poll<()> {
        self.with(|state| {
            if !state.machine.is_swept() {
                return Poll::Ready(());
            }
            // Nothing is before the beginning of time, so that what is due wakes nobody: that is the leader's to say.
            state.ticker = TickerAsleep { until: Some(Now::default()), waker: Some(waker.clone()) };
            Poll::Pending
        })
    }

    /// When something is next due in the machine.
    pub fn deadline(&self) -> Option<Now> {
        self.with(|state| state.machine.deadline())
    }

    /// Gives the machine the settings of its cluster.
    pub fn configure(&self, settings: &Settings) {
        self.with(|state| state.machine.configure(settings));
    }

    /// A copy of the machine.
    pub fn copy(&self) -> Machine {
        self.with(|state| state.machine.clone())
    }

    /// Replaces the machine. None of this node's connections may be served any more.
    pub fn install(&self, machine: Machine) {
        let before = self.with(|state| {
            // Tasks of connections that have lapsed may still be about to leave theirs.
            state.post.boxes.clear();
            state.draining = false;
            std::mem::replace(&mut state.machine, machine)
        });
        // Not within the lock: it may take long.
        drop(before);
    }

    /// Calls `look` with the machine. Nothing is applied meanwhile.
    pub fn look_at<R>(&self, look: impl FnOnce(&Machine) -> R) -> R {
        self.with(|state| look(&state.machine))
    }

    /// Tells every connection of this node that it is not served any more. No reply that has not been taken is told.
    pub fn lapse(&self) {
        let boxes = self.with(|state| std::mem::take(&mut state.post.boxes));
        for mailbox in boxes.values() {
            mailbox.lapse();
        }
    }
}

/// What this node's connections are to be told of a part of the log.
struct News {
    node: u16,
    of: BTreeMap<Conn, Outcome>,
    /// Connections that have closed, as they said.
    closed: Vec<Conn>,
    /// Whether this node begins to drain.
    drains: bool,
    /// Whether this node's epoch is over.
    is_gone: bool,
}

/// What came of one connection's inputs, and of others' for it.
struct Outcome {
    bytes: Vec<u8>,
    flow: Flow,
    /// Whether it has asked for anything. Then it waits for mail, even if there is no reply to it.
    has_asked: bool,
}

impl News {
    fn of(node: u16) -> Self {
        Self { node, of: BTreeMap::new(), closed: Vec::new(), drains: false, is_gone: false }
    }

    fn outcome(&mut self, conn: Conn) -> &mut Outcome {
        let none = || Outcome { bytes: Vec::new(), flow: Flow::Go, has_asked: false };
        self.of.entry(conn).or_insert_with(none)
    }

    /// Notes an input that is about to be applied.
    fn hear(&mut self, input: &NodeInput) {
        match input {
            Input::Command(conn, _) if conn.node() == self.node => self.outcome(*conn).has_asked = true,
            Input::Closed(conn, _) if conn.node() == self.node => self.closed.push(*conn),
            Input::Drain(node) if *node == self.node => self.drains = true,
            Input::Gone(node) if *node == self.node => self.is_gone = true,
            _ => {}
        }
    }

    /// Notes an output.
    fn told(&mut self, to: Conn, output: Output<'_>) {
        if to.node() != self.node {
            return;
        }
        let Outcome { bytes, flow, .. } = self.outcome(to);
        match output {
            Output::Reply(Reply::Listing(listing)) => *flow = Flow::List(Scan::new(listing)),
            Output::Reply(reply) => {
                encode(&reply, bytes);
                *flow = Flow::Go;
            }
            Output::Wait => *flow = Flow::Wait,
            Output::Disconnect(reason) => *flow = Flow::Close(reason),
        }
    }

    /// Puts it into mailboxes. A connection without one has ended, and nobody is there to hear.
    fn deliver<L: Locks>(self, post: &mut Post<L>) {
        for (conn, Outcome { bytes, flow, has_asked }) in self.of {
            let Some(mailbox) = post.boxes.get(&conn) else { continue };
            match flow {
                Flow::Close(reason) if bytes.is_empty() && !has_asked => {
                    mailbox.put(Mail::Ending(Ending::Machine(reason)));
                }
                flow => mailbox.answer(bytes, flow),
            }
        }
        for conn in self.closed {
            post.boxes.remove(&conn);
        }
        if self.drains {
            for mailbox in post.boxes.values() {
                mailbox.put(Mail::Ending(Ending::Drained));
            }
        }
    }
}
