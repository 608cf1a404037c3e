//! The only thing that the hub needs from outside: a lock. Production uses the standard library's. Model tests use
//! loom's, and run everything else unchanged.

use std::sync::Mutex;

/// A value behind a lock.
pub trait Lock<T>: Send + Sync {
    /// Puts a value behind a lock of its own.
    fn new(value: T) -> Self;

    /// Calls `act` with the value. Nobody else has the value meanwhile.
    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R;
}

/// A kind of lock, for any value.
pub trait Locks: 'static {
    /// The lock around a `T`.
    type Around<T: Send>: Lock<T>;
}

/// The standard library's mutex.
#[derive(Debug)]
pub struct StdLocks;

impl Locks for StdLocks {
    type Around<T: Send> = Mutex<T>;
}

impl<T: Send> Lock<T> for Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.lock().expect("nobody panicked while holding this lock"))
    }
}
