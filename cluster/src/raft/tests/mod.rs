//! Engines in one process, over links in memory.

mod engine_tests;
mod members_tests;
mod room;
mod suite_tests;
