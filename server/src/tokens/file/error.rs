//! Why a state directory cannot be used: each message says what to do about it.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// What the system says.
    #[error("cannot use the state directory: {}: {source}", .path.display())]
    Io {
        /// The directory, or a file in it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another daemon uses it.
    #[error(
        "the state directory {} is locked by another daemon: stop that one first, or give this one a directory of \
         its own with --state-dir", .dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The file is not elockd's.
    #[error(
        "{} is not what elockd writes there, and is left as it is: give --state-dir another directory, or move \
         it away", .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file has a newer format.
    #[error(
        "{} has format {format}, of a newer elockd, and is left as it is: start that one, or give --state-dir \
         another directory", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// The file is elockd's, but damaged.
    #[error(
        "{} is damaged, and is left as it is: look for what harmed it, then move it away; fencing tokens then go on \
         from the clock, see `The state directory` in docs/operations.md", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}
