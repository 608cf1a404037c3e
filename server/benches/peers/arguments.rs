//! The arguments after `--`.

use crate::support::arguments::Common;
use clap::{Parser, ValueEnum};

/// Measures elockd beside the ceiling of this machine, Redis, Valkey, memcached, poolcounterd and etcd.
#[derive(Parser)]
#[command(name = "peers")]
pub(crate) struct Arguments {
    /// What to measure; everything, when nothing is said
    #[arg(value_enum)]
    pub(crate) parts: Vec<Part>,

    /// Rounds, in each of which every server has its turn
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,

    /// Seconds of a turn
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,

    /// Seconds of a turn before it counts
    #[arg(long, default_value_t = 0.3)]
    pub(crate) warm_up: f64,

    /// Connections: the first are those of all scenarios, more are for `uncontended`
    #[arg(long, value_delimiter = ',', default_values_t = [50, 1000])]
    pub(crate) connections: Vec<usize>,

    /// Requests under way on a connection, for `uncontended` and `fresh`; over 16 with the first number of connections
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    pub(crate) depths: Vec<usize>,

    /// Locks held, for `locks`
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) locks: usize,

    /// Idle connections, for `idle`
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle_connections: usize,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Something to measure.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Get and release, a lock for each connection
    Uncontended,
    /// The same, with another name each time
    Fresh,
    /// Connect, get, release, close, over and over
    Reconnect,
    /// All connections fight for one lock
    Fight,
    /// All connections wait in line for one lock, with the release sent along
    Line,
    /// The same with one round trip a turn, beside a token passed round the ceiling
    Turns,
    /// Shared and exclusive locks together
    Mixed,
    /// Memory of a held lock
    Locks,
    /// Memory of an idle connection
    Idle,
}

impl Arguments {
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}
