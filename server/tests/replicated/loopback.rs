//! An agreed log without a cluster. It takes what the nodes of a test hand in, stamps it, and applies it on all of them
//! in one order. It can be held, so that requests stay under way.

use elockd_cluster::{Clock, Door, Inside, Moment, NodeInput, Served, door};
use elockd_core::{Input, Now};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What a log knows of a node.
pub(crate) struct Member<S> {
    pub(crate) inside: Arc<Inside>,
    pub(crate) replica: Arc<S>,
}

/// A door with a clock by hand. Its node has no lease yet.
pub(crate) fn hinged(node: u16) -> (Door, Arc<Inside>, Arc<AtomicU64>) {
    let (clock, hand) = Clock::by_hand();
    let (door, inside) = door(node, clock);
    (door, Arc::new(inside), hand)
}

/// A lease that no test outlives.
#[allow(dead_code, reason = "each test file is a crate of its own")]
pub(crate) const FOR_EVER: Moment = Moment(u64::MAX);

/// The log, and whether it is held.
pub(crate) struct Loopback<S> {
    members: Vec<Member<S>>,
    start: Instant,
    is_held: watch::Receiver<bool>,
}

impl<S: Served> Loopback<S> {
    /// The log of these nodes. Its time begins now.
    pub(crate) fn new(members: Vec<Member<S>>) -> (Self, watch::Sender<bool>) {
        let hold = watch::Sender::new(false);
        (Self { members, start: Instant::now(), is_held: hold.subscribe() }, hold)
    }

    /// Applies one entry on all nodes.
    pub(crate) fn apply(&self, inputs: &[NodeInput]) {
        let stamp = Now(u64::try_from(self.start.elapsed().as_millis()).expect("a short test"));
        for member in &self.members {
            member.replica.apply(stamp, inputs);
        }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            if self.is_held.wait_for(|is_held| !is_held).await.is_err() {
                return;
            }
            let mut holding = self.is_held.clone();
            let due = self.members[0].replica.deadline();
            let at = due.map(|due| self.start + std::time::Duration::from_millis(due.0));
            tokio::select! {
                biased;
                inputs = self.take() => self.apply(&inputs),
                () = reached(at) => self.apply(&[Input::Tick]),
                _ = holding.wait_for(|is_held| *is_held) => {}
            }
        }
    }

    /// Takes what is there, of all nodes.
    async fn take(&self) -> Vec<NodeInput> {
        poll_fn(|cx| {
            let mut taken = Vec::new();
            for member in &self.members {
                if let Poll::Ready(inputs) = member.inside.poll_take(cx.waker(), |_| true) {
                    taken.extend(inputs);
                }
            }
            if taken.is_empty() { Poll::Pending } else { Poll::Ready(taken) }
        })
        .await
    }
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Moves a node's clock.
#[allow(dead_code, reason = "each test file is a crate of its own")]
pub(crate) fn set(hand: &AtomicU64, ms: u64) {
    hand.store(ms, Ordering::SeqCst);
}
