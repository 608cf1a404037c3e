//! The arguments after `--`.

use crate::support::Failure;
use clap::Parser;
use std::thread::available_parallelism;

/// Measures what the one lock of the hub costs, without sockets.
#[derive(Parser)]
#[command(name = "hub")]
pub(crate) struct Arguments {
    /// Threads, each with a connection of its own; 1, 2, 4, … up to twice the processors, when nothing is said
    #[arg(long, value_delimiter = ',')]
    threads: Vec<usize>,

    /// Commands in a batch: 1, or an even number
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    pub(crate) batches: Vec<usize>,

    /// Microseconds of work between two batches, outside the lock, which stand for the system calls of a turn
    #[arg(long, value_delimiter = ',', default_values_t = [5.0, 0.0])]
    pub(crate) outside_us: Vec<f64>,

    /// Locks that each connection takes one after the other; with 1 it gets the same one over and over
    #[arg(long, default_value_t = 1)]
    pub(crate) names: usize,

    /// What it may add to the time a batch holds the lock that another core had it before, for the estimate, in
    /// nanoseconds
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 100.0, 300.0, 1000.0])]
    pub(crate) handover_ns: Vec<f64>,

    /// Numbers of cores to estimate for
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64])]
    pub(crate) cores: Vec<u32>,

    /// Rounds, in each of which every case has its turn
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,

    /// Seconds of a turn
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,

    /// Seconds of a turn before it counts
    #[arg(long, default_value_t = 0.1)]
    pub(crate) warm_up: f64,

    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// The numbers of threads, ascending. One is among them: the others are compared with it.
    pub(crate) fn threads(&self) -> Result<Vec<usize>, Failure> {
        let most = 2 * available_parallelism()?.get();
        let mut threads = if self.threads.is_empty() {
            std::iter::successors(Some(1), |count| Some(2 * count))
                .take_while(|&count| count <= most)
                .collect()
        } else {
            self.threads.clone()
        };
        threads.push(1);
        threads.sort_unstable();
        threads.dedup();
        Ok(threads)
    }

    /// Checks what clap does not.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.batches.iter().any(|&size| size == 0 || size > 1 && size % 2 == 1) {
            return Err("a batch has one command, or an even number of them".into());
        }
        if self.names == 0 || self.threads.contains(&0) {
            return Err("there has to be a thread, and a lock for it".into());
        }
        Ok(())
    }
}
