//! The arguments after `--`.

use crate::support::arguments::Common;
use clap::{Parser, ValueEnum};

/// Measures elockd with a million locks and thousands of connections.
#[derive(Parser)]
#[command(name = "scale")]
pub(crate) struct Arguments {
    /// What to do; everything but `huge`, when nothing is said
    #[arg(value_enum)]
    pub(crate) parts: Vec<Part>,

    /// Connections that are watched
    #[arg(long, default_value_t = 50)]
    pub(crate) observers: usize,

    /// Seconds that they are watched with nothing else going on
    #[arg(long, default_value_t = 2.0)]
    pub(crate) quiet_seconds: f64,

    /// Locks, where there are many
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) locks: usize,

    /// Locks, for `huge`
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) huge_locks: usize,

    /// Connections, for `many`
    #[arg(long, default_value_t = 19_500)]
    pub(crate) connections: usize,

    /// Connections that end at once, for `storm`
    #[arg(long, default_value_t = 2_000)]
    pub(crate) storm_connections: usize,

    /// Locks that each of them holds
    #[arg(long, default_value_t = 50)]
    pub(crate) storm_locks: usize,

    /// Connections, for `crowd` and `queue`
    #[arg(long, default_value_t = 1_000)]
    pub(crate) crowd_connections: usize,

    /// Names, for `crowd`
    #[arg(long, default_value_t = 100_000)]
    pub(crate) crowd_names: usize,

    /// Seconds, for `crowd`; a tenth of it for `queue`
    #[arg(long, default_value_t = 60.0)]
    pub(crate) crowd_seconds: f64,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Thousands of connections, each with its locks, end at once
    Storm,
    /// A connection ends that holds a million locks alone
    Sole,
    /// A connection ends that holds a million locks together with another
    Tied,
    /// From nothing to a million locks
    Growth,
    /// From nothing to ten million
    Huge,
    /// As many connections as there may be, with a million locks, ended at once
    Many,
    /// A crowd fights for locks, and the figures have to be exact afterwards
    Crowd,
    /// A thousand wait in line for one lock
    Queue,
    /// A listing of a million locks
    Listing,
}

impl Arguments {
    pub(crate) fn parts(&self) -> Vec<Part> {
        let all = Part::value_variants().iter().copied();
        if self.parts.is_empty() {
            all.filter(|&part| part != Part::Huge).collect()
        } else {
            self.parts.clone()
        }
    }
}
