//! Whoever sleeps until the machine needs it: the ticker and the keeper of fencing tokens. Each is one task of the
//! driver's; what it sleeps until is looked at after every change of the machine.

use elockd_core::Now;
use std::task::Waker;

/// The driver's clock hand: whoever turns `deadline` into `Tick`s, asleep until then.
#[derive(Default)]
pub(super) struct TickerAsleep {
    /// What it sleeps until; `None` is for ever.
    pub(super) until: Option<Now>,
    /// Set while it sleeps.
    pub(super) waker: Option<Waker>,
}

/// Whoever reserves fencing tokens for the machine, asleep while enough are left.
#[derive(Default)]
pub(super) struct KeeperAsleep {
    /// Fewer than these are not enough.
    pub(super) few: u64,
    /// Set while it sleeps.
    pub(super) waker: Option<Waker>,
}

/// Whether a point in time comes before another, `None` being never.
pub(super) fn is_before(due: Option<Now>, other: Option<Now>) -> bool {
    due.is_some_and(|due| other.is_none_or(|other| due < other))
}
