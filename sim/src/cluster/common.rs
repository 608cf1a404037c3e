//! What all hosts of a run share: the plan, the recorded history, and how far the run is.

use super::history::ClientHistory;
use super::plan::ClusterPlan;
use super::replicas::Replicas;
use super::wires::NodeWires;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClusterPhase {
    /// Things go wrong.
    #[default]
    Trouble,
    /// Nothing goes wrong any more, and clients end what they do.
    Quiet,
    /// Every client gets every lock.
    Lively,
}

/// What all hosts share.
pub(super) struct ClusterCommon {
    pub(super) plan: ClusterPlan,
    pub(super) wires: NodeWires,
    pub(super) replicas: Arc<Replicas>,
    history: RefCell<ClientHistory>,
    phase: Cell<ClusterPhase>,
    /// How many nodes have joined. They do so one after the other.
    pub(super) joined: Cell<u16>,
    idle: Cell<u8>,
    done: Cell<u8>,
    wrong: RefCell<Option<String>>,
}

impl ClusterCommon {
    pub(super) fn new(plan: ClusterPlan) -> Rc<Self> {
        Rc::new(Self {
            plan,
            wires: NodeWires::default(),
            replicas: Arc::default(),
            history: RefCell::default(),
            phase: Cell::default(),
            joined: Cell::default(),
            idle: Cell::default(),
            done: Cell::default(),
            wrong: RefCell::default(),
        })
    }

    pub(super) fn phase(&self) -> ClusterPhase {
        self.phase.get()
    }

    pub(super) fn set_phase(&self, phase: ClusterPhase) {
        self.phase.set(phase);
    }

    /// A client has ended what it did.
    pub(super) fn is_idle(&self) {
        self.idle.set(self.idle.get() + 1);
    }

    /// A client has got every lock.
    pub(super) fn is_done(&self) {
        self.done.set(self.done.get() + 1);
    }

    /// How many clients have ended what they did, and how many have got every lock.
    pub(super) fn progress(&self) -> (u8, u8) {
        (self.idle.get(), self.done.get())
    }

    /// Records something, at the time of now.
    pub(super) fn record<R>(&self, record: impl FnOnce(&mut ClientHistory) -> R) -> R {
        let mut history = self.history.borrow_mut();
        if let Some(now) = turmoil::sim_elapsed() {
            history.set_time(now.as_millis() as u32);
        }
        record(&mut history)
    }

    /// Notes something that is wrong. Only the first counts.
    pub(super) fn blame(&self, what: &str) {
        self.wrong.borrow_mut().get_or_insert_with(|| what.to_owned());
    }

    pub(super) fn wrong(&self) -> Option<String> {
        self.wrong.borrow().clone()
    }
}
