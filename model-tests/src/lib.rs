//! Tests of the lock machine against a naive reference: random inputs, all inputs of small worlds, and scripts by hand.
//!
//! * [`mod@reference`] is a second implementation of the machine, naive and obviously right. [`lines`] is one of the
//!   decoder.
//! * [`properties`] has what must hold. [`generate`] makes random sequences of inputs. [`runner`] runs a property over
//!   as many of them as wanted. [`census`] counts what happened in them, to find out a generator that makes only dull
//!   sequences.
//! * [`wire`] turns raw bytes into runs, for fuzzers.
//! * [`example`] plays scripts written by hand, on the reference and on the machine.
//! * [`explore`] tries every input in every state of a small world.
//! * [`replicas`] tries every act of a small cluster's log in every state.
//! * [`observe`] has what the outside sees of either machine, in a form that can be compared.
//!
//! `docs/verification.md` says what each covers, and has the commands for longer runs.

/// `ensure!(condition, "what is wrong")`.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

/// Whether a property held. An error says what was wrong, and after which step.
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
pub mod replicas;
pub mod runner;
pub mod wire;
