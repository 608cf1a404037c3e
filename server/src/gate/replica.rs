//! This process's machine, as the cluster drives it: a hub to which the log is applied, and the time of the log.

use crate::hub::Hub;
use elockd_cluster::{NodeInput, Served};
use elockd_core::{Machine, Now, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A node's machine.
pub struct Replica {
    hub: Arc<Hub>,
    /// The stamp of what was applied last. It is kept here to be read without the hub's lock, also within it.
    time: AtomicU64,
}

impl Replica {
    pub(super) fn new(hub: Hub) -> Self {
        let time = hub.look_at(Machine::now);
        Self { hub: Arc::new(hub), time: AtomicU64::new(time.0) }
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The time of the log, as far as it was applied. It is not before the machine's.
    #[must_use]
    pub fn time(&self) -> Now {
        Now(self.time.load(Ordering::Acquire))
    }
}

impl Served for Replica {
    fn apply(&self, stamp: Now, inputs: &[NodeInput]) {
        // First, so that who looks at the machine has no time before the machine's.
        self.time.fetch_max(stamp.0, Ordering::AcqRel);
        self.hub.apply(stamp, inputs);
    }

    fn configure(&self, settings: &Settings) {
        self.hub.configure(settings);
    }

    fn deadline(&self) -> Option<Now> {
        self.hub.deadline()
    }

    fn copy(&self) -> Machine {
        self.hub.copy()
    }

    fn install(&self, machine: Machine) {
        self.time.fetch_max(machine.now().0, Ordering::AcqRel);
        self.hub.install(machine);
    }

    fn look(&self, look: &mut dyn FnMut(&Machine)) {
        self.hub.look_at(look);
    }
}
