//! Tests of the lock machine that do not pick their cases by hand.
//!
//! * [`reference`] is a second implementation of it, naive and obviously right.
//! * [`generate`] makes sequences of inputs at random, and [`runner`] runs a property over as many of
//!   them as it is told to; [`census`] counts what happened in them, so that a generator that has come to
//!   make only dull sequences is found out.
//! * [`observe`] is what the outside sees of either machine, in a form that can be compared.
//!
//! The properties are in `tests/`. What each covers, and the commands for longer runs, is in
//! `docs/verification.md`.

pub mod census;
pub mod generate;
pub mod observe;
pub mod reference;
pub mod runner;
pub mod wire;
