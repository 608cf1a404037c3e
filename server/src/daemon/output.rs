//! What the program prints, on stdout and stderr. The macros of the standard library panic if nobody takes it, which is
//! no bug: the reader may have seen enough, or the disk may be full.

use crate::logging::Sink;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a line on stderr waits for somebody to take it.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// Tells a line on stderr, with control characters escaped: it may have words in it that others chose. If it cannot be
/// written there is nobody to tell, and if nobody takes it for a moment neither: a process that has to end must not
/// wait for a reader that hangs.
pub(crate) fn tell(line: impl Display) {
    let deadline = Instant::now() + PATIENCE;
    let mut line = escaped(&line.to_string(), &['\n', '\t']);
    line.push('\n');
    let _ = Sink::stderr().write(line.as_bytes(), || Instant::now() >= deadline);
}

/// A text that a terminal shows and does not obey: control characters are escaped, except for these.
pub(crate) fn escaped(text: &str, except: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && !except.contains(&char) {
            escaped.extend(char.escape_unicode());
        } else {
            escaped.push(char);
        }
    }
    escaped
}
