//! The access rules in force, where all sessions find them: replaced at a reload, and looked at by each session when it
//! has something to judge.

use super::brake::Brake;
use super::{Access, Rulebook, RulebookError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What a server with accounts has. A server without accounts has none of it.
pub(crate) struct Control {
    current: RwLock<Edition>,
    /// The number of the current edition, to be looked at without the lock.
    number: AtomicU64,
    pub(crate) brake: Brake,
    /// Connections that were closed because they did not say whose they are, since the start.
    pub(crate) strangers_closed: AtomicU64,
}

/// Rules, and how many were in force before them.
#[derive(Clone)]
pub(crate) struct Edition {
    pub(crate) number: u64,
    pub(crate) access: Arc<Access>,
}

impl Control {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        Self {
            current: RwLock::new(Edition { number: 0, access }),
            number: AtomicU64::new(0),
            brake: Brake::new(),
            strangers_closed: AtomicU64::new(0),
        }
    }

    /// The rules in force.
    pub(crate) fn current(&self) -> Edition {
        // Nothing panics while the lock is held.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The rules in force, if they are not the edition of this number.
    #[inline]
    pub(crate) fn newer_than(&self, number: u64) -> Option<Edition> {
        (self.number.load(Ordering::Acquire) != number).then(|| self.current())
    }

    /// The rules that would be in force with this rulebook.
    ///
    /// # Errors
    ///
    /// If its parts contradict each other.
    pub(crate) fn renewed(&self, rulebook: &Rulebook) -> Result<Access, RulebookError> {
        self.current().access.renewed(rulebook)
    }

    /// Puts rules in force.
    pub(crate) fn replace(&self, access: Arc<Access>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Edition { number: current.number + 1, access };
        self.number.store(current.number, Ordering::Release);
    }
}
