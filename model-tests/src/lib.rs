//! Tests of the lock machine: inputs at random and all there are, against a naive reference; and scripts by hand.
//!
//! * [`mod@reference`] is a second implementation of it, naive and obviously right; [`lines`] is one of the
//!   decoder.
//! * [`properties`] are the claims. [`generate`] makes sequences of inputs at random, [`runner`] runs a
//!   property over as many of them as it is told to, and [`census`] counts what happened in them, so that a
//!   generator that has come to make only dull sequences is found out.
//! * [`wire`] makes runs of raw bytes, for fuzzers.
//! * [`example`] plays scripts that were written by hand, on the reference and on the machine.
//! * [`explore`] leaves nothing to chance: it tries every input in every state of a small world.
//! * [`observe`] is what the outside sees of either machine, in a form that can be compared.
//!
//! What each covers, and the commands for longer runs, is in `docs/verification.md`.

/// `ensure!(condition, "what is wrong")`.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

/// Whether a property held; if not, what was wrong, and after which step.
pub type Outcome = Result<(), String>;

pub mod census;
pub mod example;
pub mod explore;
pub mod generate;
pub mod lines;
pub mod listing;
pub mod observe;
pub mod properties;
pub mod reference;
pub mod runner;
pub mod wire;
