//! The arguments after `--` that every benchmark has.

use super::Failure;
use super::cores::Cores;
use super::kind::Daemon;
use clap::Args;
use std::path::PathBuf;

/// The part of the arguments that all benchmarks have.
#[derive(Args)]
pub(crate) struct Common {
    /// Lets the kernel choose the cores
    #[arg(long)]
    unpinned: bool,

    /// The daemon's program, if it is to be another build
    #[arg(long, default_value = env!("CARGO_BIN_EXE_elockd"))]
    daemon: PathBuf,

    /// Another build of the daemon, measured in the same rounds
    #[arg(long)]
    before: Option<PathBuf>,

    /// An argument for the daemon; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    daemon_arg: Vec<String>,

    /// Writes all figures, with their course over time, to this file too
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,

    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Common {
    pub(crate) fn cores(&self) -> Result<Cores, Failure> {
        Cores::choose(!self.unpinned)
    }

    pub(crate) fn daemon(&self) -> Daemon {
        Daemon { program: self.daemon.clone(), before: self.before.clone(), args: self.daemon_arg.clone() }
    }
}
