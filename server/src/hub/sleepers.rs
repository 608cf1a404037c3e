//! Tasks that sleep until the machine needs them: the ticker and the keeper of fencing tokens. After every change of
//! the machine, the hub looks whether one must be woken.

use elockd_core::Now;
use std::task::Waker;

/// The sleeping ticker: the task that turns `deadline` into `Tick`s.
#[derive(Default)]
pub(super) struct TickerAsleep {
    /// The time until which it sleeps. `None` is for ever.
    pub(super) until: Option<Now>,
    /// Set while it sleeps.
    pub(super) waker: Option<Waker>,
}

/// The sleeping keeper: the task that reserves fencing tokens for the machine. It sleeps while enough are left.
#[derive(Default)]
pub(super) struct KeeperAsleep {
    /// If fewer than this are left, it is woken.
    pub(super) few: u64,
    /// Set while it sleeps.
    pub(super) waker: Option<Waker>,
}

/// Whether `due` comes before `other`. `None` is never.
pub(super) fn is_before(due: Option<Now>, other: Option<Now>) -> bool {
    due.is_some_and(|due| other.is_none_or(|other| due < other))
}
