//! The production server over a simulated network, with faults, any number of times.
//!
//! A seed decides everything. [`draw`] makes from it a [`plan`] (how many hosts, how fast a network, which limits)
//! and a [`script`] (what clients and network do, and when). The [`world`] runs them: the server of `elockd-server`
//! on one simulated host, clients on others. During the run a [`witness`] keeps the [`observed`] state and checks the
//! [`invariants`]. The [`log`] has everything that happened. After the run the [`oracle`] judges it.
//!
//! A failure can be run again: a [`trace`] is a run on disk, [`shrink`] finds the part of it that is needed to fail,
//! and [`timeline`] draws it. [`swarm`] runs many seeds.

#[cfg(not(any(tokio_unstable, doc)))]
compile_error!(
    "the simulation needs `--cfg tokio_unstable`, which .cargo/config.toml sets: build it within the \
     workspace, and without RUSTFLAGS in the environment, which would take its place"
);

pub mod accounts;
pub mod cluster;
pub mod conversation;
pub mod draw;
pub mod guards;
pub mod history;
pub mod invariants;
pub mod log;
pub mod observed;
pub mod oracle;
mod panics;
pub mod plan;
pub mod script;
pub mod shrink;
pub mod swarm;
pub mod timeline;
pub mod trace;
pub mod verdict;
pub mod witness;
pub mod world;
