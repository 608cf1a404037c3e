//! How the program ends: its exit statuses, all in one table, and the line on stderr that goes with each.
//!
//! `elock run` hands on the status of the command. Every status of elock's own comes with a line on stderr that begins
//! with `elock: `, so that the two can be told apart.

use std::fmt::Display;
use std::process::ExitCode;

/// The name of lock is free, or no row was found: an answer, not a failure.
pub(crate) const FREE: u8 = 1;
/// `elock check` saw a lock that was held twice, or tokens that did not ascend.
pub(crate) const HELD_TWICE: u8 = 1;
/// The command line or the configuration file is wrong (`EX_USAGE`).
pub(crate) const USAGE: u8 = 64;
/// There is no daemon, or it does not answer (`EX_UNAVAILABLE`).
pub(crate) const NO_DAEMON: u8 = 69;
/// The operating system refused something that elock needs (`EX_OSERR`).
pub(crate) const SYSTEM: u8 = 71;
/// The lock was not obtained (`EX_TEMPFAIL`). `-E` changes it.
pub(crate) const NOT_OBTAINED: u8 = 75;
/// The daemon answered what elock does not understand (`EX_PROTOCOL`).
pub(crate) const PROTOCOL: u8 = 76;
/// The daemon refuses this to this connection (`EX_NOPERM`).
pub(crate) const NOT_ALLOWED: u8 = 77;
/// The lock was lost while the command ran. No name of sysexits is near it; it is free there.
pub(crate) const LOST: u8 = 79;
/// The command was found, but cannot be run.
pub(crate) const CANNOT_RUN: u8 = 126;
/// The command was not found.
pub(crate) const NOT_FOUND: u8 = 127;
/// A command that a signal ended has this and the signal's number.
pub(crate) const SIGNAL: u8 = 128;

/// Why the program ends without having done what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit status.
    pub(crate) status: u8,
    /// The line on stderr, without `elock: `.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: u8, message: impl Display) -> Self {
        Self { status, message: message.to_string() }
    }

    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(USAGE, message)
    }

    /// The operating system refused `what`.
    pub(crate) fn system(what: &str, error: impl Display) -> Self {
        Self::new(SYSTEM, format_args!("cannot {what}: {error}"))
    }
}

/// How a command of elock ends: with a status of its own, or with a failure.
pub(crate) type Outcome = Result<ExitCode, Failure>;
