//! The arguments after `--`.

use crate::system::System;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Measures a cluster of elockd beside one of etcd.
#[derive(Parser)]
#[command(name = "cluster")]
pub(crate) struct Arguments {
    /// What to measure; everything, when nothing is said
    #[arg(value_enum)]
    parts: Vec<Part>,

    /// Rounds, in each of which every cluster has its turn
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,

    /// Seconds of a turn
    #[arg(long, default_value_t = 2.5)]
    seconds: f64,

    /// Seconds of a turn before it counts
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,

    /// Connections, for `gets`
    #[arg(long, value_delimiter = ',', default_values_t = [512, 64, 1])]
    pub(crate) connections: Vec<usize>,

    /// Connections in line for one lock, for `line`
    #[arg(long, default_value_t = 100)]
    pub(crate) contenders: usize,

    /// Locks of one connection, for `orphans`
    #[arg(long, default_value_t = 100_000)]
    pub(crate) locks: usize,

    /// Connections that get and release meanwhile, for `orphans`, `follower` and `leader`
    #[arg(long, default_value_t = 64)]
    pub(crate) others: usize,

    /// Seconds of a lease of etcd, for `follower` and `leader`; etcd gives no shorter ones than two
    #[arg(long, default_value_t = 2)]
    etcd_lease: u64,

    /// Milliseconds after which a client of etcd asks again, for `follower` and `leader`
    #[arg(long, default_value_t = 500)]
    etcd_patience: u64,

    /// The systems that take turns
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [System::Elockd, System::Etcd])]
    systems: Vec<System>,

    /// The folder on the disk that the clusters use
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    pub(crate) folder: PathBuf,

    /// The daemon's program, if it is to be another build
    #[arg(long, default_value = env!("CARGO_BIN_EXE_elockd"))]
    pub(crate) daemon: PathBuf,

    /// An argument for every daemon; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) daemon_arg: Vec<String>,

    /// Writes all figures, round by round, to this file too
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,

    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Gets and releases, a lock for each connection
    Gets,
    /// All connections wait in line for one lock
    Line,
    /// A connection ends that holds many locks
    Orphans,
    /// A follower is killed
    Follower,
    /// The leader is killed
    Leader,
}

impl Part {
    /// Whether it can be measured with this system. A node that is alone leaves nobody behind.
    pub(crate) fn is_for(self, system: System) -> bool {
        system != System::Alone || !matches!(self, Self::Follower | Self::Leader)
    }
}

impl Arguments {
    pub(crate) fn parts(&self) -> Vec<Part> {
        if self.parts.is_empty() { Part::value_variants().to_vec() } else { self.parts.clone() }
    }

    /// The systems that are installed. Prints which are not.
    pub(crate) fn systems(&self) -> Vec<System> {
        let (here, missing): (Vec<_>, Vec<_>) =
            self.systems.iter().copied().partition(|system| system.is_installed());
        for system in missing {
            println!("LEFT OUT: {} is not installed", system.name());
        }
        here
    }

    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }

    pub(crate) fn etcd_lease(&self) -> Duration {
        Duration::from_secs(self.etcd_lease)
    }

    pub(crate) fn etcd_patience(&self) -> Duration {
        Duration::from_millis(self.etcd_patience)
    }
}
