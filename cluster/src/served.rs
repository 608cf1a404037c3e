//! The machine of this process, as the cluster drives it. The server's hub is one.

use crate::NodeInput;
use elockd_core::{Machine, Now, Settings};

/// A machine that entries are applied to, while connections are served from it.
pub trait Served: Send + Sync + 'static {
    /// What is applied, configured or installed next is that of this entry of the log. For who compares replicas.
    fn at(&self, _index: u64) {}

    /// Applies inputs in one go, all at the time `stamp`. Outputs for connections of this node are told to them.
    /// Outputs for other nodes' connections are dropped: their node tells them.
    fn apply(&self, stamp: Now, inputs: &[NodeInput]);

    /// Gives the machine the cluster's settings.
    fn configure(&self, settings: &Settings);

    /// When something is next due in the machine. `None` if nothing will be without another input.
    fn deadline(&self) -> Option<Now>;

    /// A copy of the machine as it is.
    fn copy(&self) -> Machine;

    /// Replaces the machine. No connection of this node is served meanwhile.
    fn install(&self, machine: Machine);

    /// Looks at the machine.
    fn look(&self, look: &mut dyn FnMut(&Machine));
}
