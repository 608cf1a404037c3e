//! What reads a machine and never changes it: listings, figures, checks of every invariant, the state as words, and
//! snapshots.

mod check;
mod figures;
mod scan;
mod shape;
mod snapshot;

pub use check::Violation;
pub(crate) use figures::Counters;
pub use figures::{Figure, Figures};
pub(crate) use scan::More;
pub use scan::{Entry, Scan};
pub use snapshot::RestoreError;
