//! What the program prints, on stdout and stderr. The macros of the standard library panic if nobody takes it, which is
//! no bug: the reader may have seen enough, or the disk may be full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Prints a text on stdout: what the program was started for. If the reader has gone it ends in order; if the text
/// cannot be written, the status is 1.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("elockd: cannot write to stdout: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells a line on stderr. If it cannot be written there is nobody to tell.
pub(crate) fn tell(line: impl Display) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
