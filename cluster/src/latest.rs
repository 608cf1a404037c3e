//! A value that tasks watch, and only its latest state counts. It is tokio's watch channel in all but one thing: tasks
//! that wait for a change are woken in the order in which they began to wait. Tokio wakes them in a random order, which
//! nobody can fix by a seed, and a simulation must be repeatable.

use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::watch::{self, Ref};

/// The side that changes the value. All clones change the same one.
#[derive(Debug)]
pub(crate) struct Latest<T> {
    // Dropped before the closing, which tells that it is gone.
    value: watch::Sender<T>,
    closing: Arc<Closing>,
}

/// Wakes everybody when the last sender is dropped.
#[derive(Debug)]
struct Closing(Arc<Notify>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

/// The side that watches the value. A clone has seen what this one has seen.
#[derive(Debug)]
pub struct LatestReceiver<T> {
    value: watch::Receiver<T>,
    changes: Arc<Notify>,
}

/// Nobody can change the value any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value does not change any more")]
pub struct NoSender;

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), closing: Arc::clone(&self.closing) }
    }
}

impl<T> Clone for LatestReceiver<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), changes: Arc::clone(&self.changes) }
    }
}

impl<T> Latest<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: watch::Sender::new(value), closing: Arc::new(Closing(Arc::default())) }
    }

    /// Watches it. Its present state counts as seen.
    pub(crate) fn subscribe(&self) -> LatestReceiver<T> {
        LatestReceiver { value: self.value.subscribe(), changes: Arc::clone(&self.closing.0) }
    }

    /// The present state. It cannot be changed while it is borrowed.
    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.value.borrow()
    }

    /// How many watch it.
    pub(crate) fn receivers(&self) -> usize {
        self.value.receiver_count()
    }

    /// Changes it, and wakes who waits.
    pub(crate) fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.value.send_modify(change);
        self.closing.0.notify_waiters();
    }

    /// Sets it, and wakes who waits.
    pub(crate) fn send_replace(&self, value: T) -> T {
        let earlier = self.value.send_replace(value);
        self.closing.0.notify_waiters();
        earlier
    }

    /// Changes it. Wakes who waits if `change` returns true.
    pub(crate) fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let is_changed = self.value.send_if_modified(change);
        if is_changed {
            self.closing.0.notify_waiters();
        }
        is_changed
    }
}

impl<T> LatestReceiver<T> {
    /// The present state. It cannot be changed while it is borrowed.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.value.borrow()
    }

    /// The present state, which counts as seen from now on. It cannot be changed while it is borrowed.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.value.borrow_and_update()
    }

    /// Waits for a state that was not seen. It counts as seen then. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// If all states were seen and all senders are gone.
    pub async fn changed(&mut self) -> Result<(), NoSender> {
        loop {
            let mut change = std::pin::pin!(self.changes.notified());
            // What changes from here on wakes this task.
            change.as_mut().enable();
            if self.value.borrow().has_changed() {
                self.value.mark_unchanged();
                return Ok(());
            }
            if self.value.has_changed().is_err() {
                return Err(NoSender);
            }
            change.await;
        }
    }

    /// Waits until `is_so` says so of the state. It counts as seen then.
    ///
    /// # Errors
    ///
    /// If that is not so, and all senders are gone.
    pub async fn wait_for(&mut self, mut is_so: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, NoSender> {
        while !is_so(&self.value.borrow_and_update()) {
            self.changed().await?;
        }
        Ok(self.value.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Goal: tasks are woken in the order in which they began to wait. Method: thirty of them, each of which writes
    /// down its number, several times. A random order would be another nearly every time.
    #[tokio::test]
    async fn tasks_are_woken_in_their_order() {
        let latest = Latest::new(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..30)
            .map(|number| {
                let (mut receiver, woken) = (latest.subscribe(), Arc::clone(&woken));
                tokio::spawn(async move {
                    while receiver.changed().await.is_ok() {
                        woken.lock().unwrap().push(number);
                    }
                })
            })
            .collect();
        for round in 1..5 {
            tokio::task::yield_now().await;
            latest.send_replace(round);
            tokio::task::yield_now().await;
            let order = std::mem::take(&mut *woken.lock().unwrap());
            assert_eq!(order, (0..30).collect::<Vec<_>>(), "round {round}");
        }
        drop(latest);
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Goal: a change that nobody waited for is not lost, also when the sender is gone by then. Method: send, drop,
    /// look.
    #[tokio::test]
    async fn the_last_state_is_seen_after_the_sender_is_gone() {
        let latest = Latest::new(1);
        let mut receiver = latest.subscribe();
        assert!(!latest.send_if_modified(|_| false), "nothing changed");
        latest.send_modify(|value| *value = 2);
        drop(latest);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(*receiver.borrow(), 2);
        assert_eq!(receiver.changed().await, Err(NoSender));
        assert!(receiver.wait_for(|value| *value == 2).await.is_ok(), "it is so");
        assert!(receiver.wait_for(|value| *value == 3).await.is_err(), "it will never be so");
    }
}
