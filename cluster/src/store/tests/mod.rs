//! Crashes, damage, and who may open a directory.

mod crash_tests;
mod damage_tests;
mod disk;
mod identity_tests;
mod tail_tests;
