//! What reads a machine and never changes it: listings, figures, checks of every invariant, the state as words, and
//! snapshots.

mod check;
mod digest;
mod figure_row;
mod figures;
#[cfg(test)]
mod large_figures;
mod own_figures;
mod scan;
mod shape;
mod snapshot;

pub use check::Violation;
pub(crate) use check::ensure;
pub use figure_row::{Family, FigureRow, Metric, Nature, Part, Shown};
pub(crate) use figures::{ByVerb, Counters, for_each_counter};
pub use figures::{Figure, Figures, rows};
pub use own_figures::OwnFigures;
pub(crate) use scan::More;
pub use scan::{Entry, Scan};
pub use snapshot::RestoreError;
