//! The door between a server and the cluster. On its outer side the server hands in what its connections said, and
//! learns whether it may serve. On its inner side the cluster takes what was handed in.
//!
//! A server serves in epochs. An epoch ends for good when the lease is over:
//!
//! ```text
//!            serve(epoch)                     lapse                      closed(epoch)
//!   Silent ----------------> Serving(epoch) ---------> Lapsed(epoch) ------------------> Silent
//!   (no socket is open)      (until the deadline)      (sockets are being closed)
//! ```

use crate::clock::{Clock, Moment};
use crate::latest::{Latest, LatestReceiver};
use elockd_core::{Command, Input};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// An input that a node hands in.
pub type NodeInput = Input<Command<Vec<u8>>>;

/// Whether a server may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// It may not, and no socket of it is open.
    Silent,
    /// It serves this epoch.
    Serving(u64),
    /// It must close every socket of this epoch, without a word but `0 No Quorum`.
    Lapsed(u64),
}

/// The outer side, for the server.
#[derive(Clone, Debug)]
pub struct Door(Arc<Shared>);

/// The inner side, for the cluster. There is one for each door.
#[derive(Debug)]
pub struct Inside(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    node: u16,
    clock: Clock,
    /// The moment from which on nothing may be written to a client. 0 while there is no lease.
    until: AtomicU64,
    /// The latest moment that this ever was.
    latest: AtomicU64,
    service: Latest<Service>,
    queue: Mutex<Queue>,
    /// Beats that the cluster wants to send, and those that passed through the server's runtime.
    beats: Latest<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Queue {
    /// What was handed in at once stays together.
    groups: std::collections::VecDeque<Vec<NodeInput>>,
    waker: Option<Waker>,
}

impl Shared {
    fn queue<R>(&self, with: impl FnOnce(&mut Queue) -> R) -> R {
        // Nothing panics while it is held.
        with(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A door of a node.
#[must_use]
pub fn door(node: u16, clock: Clock) -> (Door, Inside) {
    let shared = Arc::new(Shared {
        node,
        clock,
        until: AtomicU64::new(0),
        latest: AtomicU64::new(0),
        service: Latest::new(Service::Silent),
        queue: Mutex::default(),
        beats: Latest::new((0, 0)),
    });
    (Door(Arc::clone(&shared)), Inside(shared))
}

impl Door {
    /// The node's number.
    #[must_use]
    pub fn node(&self) -> u16 {
        self.0.node
    }

    /// Whether bytes may be written to clients now. To be asked right before each write.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.now() < Moment(self.0.until.load(Ordering::SeqCst))
    }

    /// When the lease ends, or ended. It is told also after a lapse, which may come before that.
    #[must_use]
    pub fn end_of_lease(&self) -> Moment {
        Moment(self.0.latest.load(Ordering::SeqCst))
    }

    /// Now, by the clock of leases.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.0.clock.now()
    }

    /// Whether the server may serve, and which epoch.
    #[must_use]
    pub fn service(&self) -> LatestReceiver<Service> {
        self.0.service.subscribe()
    }

    /// Hands in what connections of an epoch said. It stays together, in this order. It is dropped if the epoch is
    /// over.
    pub fn hand_in(&self, epoch: u64, inputs: Vec<NodeInput>) {
        if inputs.is_empty() {
            return;
        }
        let waker = self.0.queue(|queue| {
            // Looked at within the lock: a lapse empties the queue behind it.
            if *self.0.service.borrow() != Service::Serving(epoch) {
                return None;
            }
            queue.groups.push_back(inputs);
            queue.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Says that no socket of a lapsed epoch can be written to any more.
    pub fn closed(&self, epoch: u64) {
        self.0.service.send_if_modified(|service| {
            let is_closed = *service == Service::Lapsed(epoch);
            if is_closed {
                *service = Service::Silent;
            }
            is_closed
        });
    }

    /// Lets beats through. The server runs it on the runtime that serves clients: one that hangs lets none through.
    /// Never ends while the inner side is there.
    pub async fn pass_beats(&self) {
        let mut beats = self.0.beats.subscribe();
        while beats.wait_for(|(wanted, passed)| wanted > passed).await.is_ok() {
            self.0.beats.send_modify(|(wanted, passed)| *passed = *wanted);
        }
    }
}

impl Inside {
    /// The clock of its leases.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Has the server serve an epoch, until a moment. The door must be silent.
    pub fn serve(&self, epoch: u64, until: Moment) {
        let before = *self.0.service.borrow();
        assert!(before == Service::Silent, "an epoch begins while the server is {before:?}");
        self.renew(until);
        self.0.service.send_replace(Service::Serving(epoch));
    }

    /// Moves the deadline. It never goes back.
    pub fn renew(&self, until: Moment) {
        // First, so that nobody who sees the lease sees an earlier end.
        self.0.latest.fetch_max(until.0, Ordering::SeqCst);
        self.0.until.fetch_max(until.0, Ordering::SeqCst);
    }

    /// Ends the epoch: from here on nothing is written, and nothing more of it is handed in. What was is dropped.
    pub fn lapse(&self) {
        self.0.until.store(0, Ordering::SeqCst);
        self.0.queue(|queue| {
            self.0.service.send_if_modified(|service| {
                let Service::Serving(epoch) = *service else { return false };
                *service = Service::Lapsed(epoch);
                true
            });
            queue.groups.clear();
        });
    }

    /// Notes that no socket of a lapsed epoch is open, because the server itself has ended.
    pub fn server_ended(&self) {
        self.0.service.send_if_modified(|service| {
            let is_closed = matches!(service, Service::Lapsed(_));
            if is_closed {
                *service = Service::Silent;
            }
            is_closed
        });
    }

    /// What the server is doing.
    #[must_use]
    pub fn service(&self) -> LatestReceiver<Service> {
        self.0.service.subscribe()
    }

    /// Takes what was handed in, the oldest first: whole groups, as long as `fits` says so of the next one.
    /// Registers the waker if there is nothing.
    pub fn poll_take(
        &self,
        waker: &Waker,
        mut fits: impl FnMut(&[NodeInput]) -> bool,
    ) -> Poll<Vec<NodeInput>> {
        self.0.queue(|queue| {
            let mut taken = Vec::new();
            while queue.groups.front().is_some_and(|group| fits(group)) {
                taken.extend(queue.groups.pop_front().into_iter().flatten());
            }
            if taken.is_empty() {
                queue.waker = Some(waker.clone());
                return Poll::Pending;
            }
            Poll::Ready(taken)
        })
    }

    /// Ready when the server's runtime has let a beat through that was wanted when this was called.
    pub fn beat(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::clone(&self.0);
        let mut mine = 0;
        shared.beats.send_modify(|(wanted, _)| {
            *wanted += 1;
            mine = *wanted;
        });
        async move {
            let mut beats = shared.beats.subscribe();
            // It fails only if the sender is gone, and that is ours.
            let _ = beats.wait_for(|(_, passed)| *passed >= mine).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_core::Conn;

    fn said(serial: u64) -> Vec<NodeInput> {
        vec![Input::Command(Conn::new(1, serial), Command::Ping)]
    }

    fn take(inside: &Inside) -> usize {
        match inside.poll_take(Waker::noop(), |_| true) {
            Poll::Ready(inputs) => inputs.len(),
            Poll::Pending => 0,
        }
    }

    #[test]
    fn only_what_belongs_to_the_epoch_is_handed_in() {
        let (clock, hand) = Clock::by_hand();
        let (door, inside) = door(1, clock);
        door.hand_in(1, said(1));
        assert_eq!((take(&inside), door.may_write()), (0, false));
        inside.serve(1, Moment(10));
        door.hand_in(0, said(1));
        door.hand_in(1, said(2));
        door.hand_in(1, said(3));
        assert_eq!((take(&inside), take(&inside), door.may_write()), (2, 0, true));
        hand.store(10, Ordering::SeqCst);
        assert!(!door.may_write(), "the deadline itself is too late");
        inside.renew(Moment(20));
        inside.renew(Moment(15));
        hand.store(19, Ordering::SeqCst);
        assert!(door.may_write());
        door.hand_in(1, said(4));
        inside.lapse();
        assert_eq!(door.end_of_lease(), Moment(20), "it is known on");
        door.hand_in(1, said(5));
        assert_eq!((take(&inside), door.may_write()), (0, false));
        assert_eq!(*door.service().borrow(), Service::Lapsed(1));
        door.closed(2);
        assert_eq!(*door.service().borrow(), Service::Lapsed(1));
        door.closed(1);
        inside.serve(2, Moment(30));
        assert_eq!(*door.service().borrow(), Service::Serving(2));
    }

    #[tokio::test]
    async fn a_beat_passes_through_the_server() {
        let (door, inside) = door(1, Clock::by_hand().0);
        let beat = tokio::time::timeout(std::time::Duration::from_millis(20), inside.beat());
        assert!(beat.await.is_err(), "nobody lets it through");
        tokio::spawn(async move { door.pass_beats().await });
        inside.beat().await;
        inside.beat().await;
    }
}
