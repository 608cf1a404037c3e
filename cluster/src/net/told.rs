//! What goes wrong with links, told once. A peer that is refused comes again every half a second, and a log must not
//! fill with it. All refusals are counted.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most peers and reasons that are remembered. What comes after them is counted alone.
const MOST: usize = 1000;

/// What was told already, and how often there was something to tell.
#[derive(Debug, Default)]
pub(super) struct Told {
    count: AtomicU64,
    told: Mutex<BTreeSet<(String, String)>>,
}

impl Told {
    /// Counts a reason. Returns whether it is to be told.
    pub(super) fn is_new(&self, peer: &str, reason: &str) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST && told.insert((peer.to_owned(), reason.to_owned()))
    }

    /// Forgets what was told of a peer, for it works now. Returns whether there was something.
    pub(super) fn forget(&self, peer: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.len();
        told.retain(|(of, _)| of != peer);
        told.len() < before
    }

    /// How often there was something to tell.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each peer's reason is told once until the peer works again, all are counted, and memory is bounded.
    /// Method: reasons told twice, forgotten, told again, and more of them than are remembered.
    #[test]
    fn told_once_and_counted() {
        let told = Told::default();
        assert!(told.is_new("a", "x") && !told.is_new("a", "x"));
        assert!(told.is_new("a", "y") && told.is_new("b", "x"));
        assert!(told.forget("a") && !told.forget("a"));
        assert!(told.is_new("a", "x") && !told.is_new("b", "x"));
        assert_eq!(told.count(), 6);
        for reason in 0..2 * MOST {
            assert_eq!(told.is_new("c", &reason.to_string()), reason < MOST - 2);
        }
        assert_eq!(told.count(), 6 + 2 * MOST as u64);
    }
}
