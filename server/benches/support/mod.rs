//! What the benchmarks share: starting servers, choosing cores, reading what a process used, and printing figures.

#![allow(dead_code, reason = "each benchmark uses its own part of this")]

pub(crate) mod arguments;
pub(crate) mod ceiling;
pub(crate) mod cores;
pub(crate) mod goal;
pub(crate) mod kind;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod servers;
pub(crate) mod spread;

use std::error::Error;
use std::process::ExitCode;

/// An error that ends a benchmark. It is printed, and there are no figures.
pub(crate) type Failure = Box<dyn Error>;

/// Makes relative paths start at the top of the repository. cargo starts a benchmark in its package.
pub(crate) fn go_to_the_top() -> Result<(), Failure> {
    Ok(std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?)
}

/// Ends a benchmark: prints the error, if there is one.
pub(crate) fn end(name: &str, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            ExitCode::FAILURE
        }
    }
}
