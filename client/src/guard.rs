//! A guard: the right to a lock, for as long as it says so.

use crate::error::Error;
use crate::hold::{Hold, State};
use crate::keeper::Order;
use crate::lost::Lost;
use crate::server::Server;
use elockd_core::Kind;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A lock that is held.
///
/// A task of its own keeps the connection. It asks the daemon for the hold every 2 s and notices the end of the
/// connection at once. If something is wrong, [`lost`](Self::lost) and [`is_held`](Self::is_held) tell.
///
/// Dropping a guard releases the lock in the background. [`release`](Self::release) waits for it and tells whether the
/// lock was held until then.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct Guard {
    hold: Arc<Hold>,
    orders: UnboundedSender<Order>,
    server: Server,
    /// Whether its release was ordered.
    is_released: bool,
}

impl Guard {
    pub(crate) fn new(hold: Arc<Hold>, orders: UnboundedSender<Order>, server: Server) -> Self {
        Self { hold, orders, server, is_released: false }
    }

    /// The lock's name, as the daemon has it: white space is folded.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.hold.name
    }

    /// The kind of lock.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.hold.kind
    }

    /// The daemon that gave the lock. In a cluster a lock that was resumed may be kept by another node.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The fencing token: a number that is greater than that of every earlier holder of any lock. Send it along with
    /// each write, and let the store refuse a lower one than it has seen. `None` if the daemon has no tokens.
    #[must_use]
    pub fn token(&self) -> Option<u64> {
        self.hold.token()
    }

    /// When the last question after this lock was sent to which the daemon has answered that it is held. It was held
    /// then, or later.
    #[must_use]
    pub fn proven(&self) -> Instant {
        self.hold.proven()
    }

    /// Whether the lock can be counted on at this moment. It compares with the clock, so a process that was stopped and
    /// goes on does not take an old answer for a new one. Once it is false, it stays false, except for the guard of a
    /// [`Session`](crate::Session) that waits.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// What is known of the lock.
    #[must_use]
    pub fn state(&self) -> State {
        self.hold.state()
    }

    /// Waits until the lock can no longer be counted on, and returns the reason.
    pub async fn lost(&self) -> Lost {
        self.hold.until_lost().await
    }

    /// A view of the lock that others may have. It does not keep the lock.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { known: self.hold.subscribe(), hold: Arc::clone(&self.hold) }
    }

    /// Releases the lock and waits until the daemon has done so.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] with the reason if it was not held until now.
    pub async fn release(mut self) -> Result<(), Error> {
        let (done, is_done) = oneshot::channel();
        self.order_release(Some(done));
        match is_done.await {
            Ok(result) => result.map_err(Error::Lost),
            Err(_) => Err(Error::Lost(self.hold.lose(Lost::RuntimeGone))),
        }
    }

    fn order_release(&mut self, done: Option<oneshot::Sender<Result<(), Lost>>>) {
        self.is_released = true;
        self.hold.give_up();
        // If the task is gone, so are the connection and the lock.
        let _ = self.orders.send(Order::Release { hold: Arc::clone(&self.hold), done });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_released {
            self.order_release(None);
        }
    }
}

/// A view of a lock that a [`Guard`] has.
#[derive(Clone, Debug)]
pub struct Watch {
    hold: Arc<Hold>,
    known: tokio::sync::watch::Receiver<crate::hold::Known>,
}

impl Watch {
    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.hold.name
    }

    /// As [`Guard::kind`].
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.hold.kind
    }

    /// As [`Guard::token`].
    #[must_use]
    pub fn token(&self) -> Option<u64> {
        self.hold.token()
    }

    /// As [`Guard::is_held`]. It is false as soon as the guard is released or dropped.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// As [`Guard::state`].
    #[must_use]
    pub fn state(&self) -> State {
        self.hold.state()
    }

    /// As [`Guard::lost`]. It never returns if the lock is released.
    pub async fn lost(&self) -> Lost {
        self.hold.until_lost().await
    }

    /// Waits for the next change of the [state](Self::state) and returns it. Several changes may be seen as one, but
    /// [`State::Held`] counts how often the lock was resumed.
    pub async fn changed(&mut self) -> State {
        // The sender is in `hold`.
        let _ = self.known.changed().await;
        self.hold.state()
    }
}

/// Several locks on one connection, from [`lock_all`](crate::Client::lock_all).
///
/// Dropping it releases them all in the background.
#[derive(Debug)]
#[must_use = "the locks are released when the guards are dropped"]
pub struct Guards {
    guards: Vec<Guard>,
}

impl Guards {
    pub(crate) fn new(guards: Vec<Guard>) -> Self {
        Self { guards }
    }

    /// The guards, sorted by name.
    pub fn iter(&self) -> std::slice::Iter<'_, Guard> {
        self.guards.iter()
    }

    /// The guard of this lock.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&Guard> {
        self.guards.iter().find(|guard| guard.name() == name.as_ref())
    }

    /// Whether all of them can be counted on at this moment.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.guards.iter().all(Guard::is_held)
    }

    /// Waits until one of them can no longer be counted on.
    pub async fn lost(&self) -> Lost {
        let mut waits: Vec<_> = self.guards.iter().map(|guard| Box::pin(guard.lost())).collect();
        std::future::poll_fn(|cx| {
            let lost = waits.iter_mut().find_map(|wait| match wait.as_mut().poll(cx) {
                std::task::Poll::Ready(lost) => Some(lost),
                std::task::Poll::Pending => None,
            });
            lost.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    /// Releases all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] with the reason of the first that was not held until now. The others are released all the same.
    pub async fn release(self) -> Result<(), Error> {
        let mut result = Ok(());
        for guard in self.guards {
            result = result.and(guard.release().await);
        }
        result
    }
}

impl<'a> IntoIterator for &'a Guards {
    type Item = &'a Guard;
    type IntoIter = std::slice::Iter<'a, Guard>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
