//! Goal: guards keep what they promise, to the millisecond. Method: the production server in this process, over cables
//! that can be cut and silenced, and a paused clock.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod cluster;
mod faults;
mod getting;
mod lease;
mod line;
mod lingering;
mod losing;
mod nodes;
mod scripted;
mod several;
mod world;
