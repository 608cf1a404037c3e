//! Buffers that the connections of a thread use in turn. So an idle connection has none.

use std::cell::RefCell;

/// One turn's buffers. `replies` is empty between turns.
pub(super) struct Scratch {
    pub(super) input: Box<[u8]>,
    pub(super) replies: Vec<u8>,
}

/// Bytes of one read. More would not fit into the caches. Less would cost system calls.
const INPUT: usize = 16 << 10;

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { input: vec![0; INPUT].into(), replies: Vec::with_capacity(INPUT) });
}

/// Lends this thread's buffers. Must not be called from within `turn`.
pub(super) fn with<R>(turn: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(turn)
}
