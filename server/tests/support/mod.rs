//! What the integration tests share: the daemon as a process of its own, and blocking clients over
//! real sockets. Nothing waits without a deadline, so that a hang is a failure that says where.

// Each test file is a crate of its own and uses its own part of this.
#![allow(dead_code, unused_imports)]

mod client;
mod daemon;
mod http;
mod tools;
pub(crate) mod victim;

pub(crate) use client::{Client, Transport};
pub(crate) use daemon::{Daemon, Guard, program};
pub(crate) use http::get;
pub(crate) use tools::{document, has_tools, own_address};

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// Anything on one machine is long done by then, also when it is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Asks again and again until there is an answer; panics with `what` when none comes in time.
pub(crate) fn poll<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < patience, "still waiting after {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Writes to stderr past the test harness, which keeps what passing tests print with `eprintln!`.
pub(crate) fn tell(text: impl Display) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// A line for each name: `prefix`, then the name.
pub(crate) fn lines<N: Display>(prefix: &str, names: impl IntoIterator<Item = N>) -> String {
    let mut lines = String::new();
    for name in names {
        lines.extend([prefix, &name.to_string(), "\n"]);
    }
    lines
}

/// Bytes as a person reads them: escaped, and cut when there are too many.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 2000;
    let cut = &bytes[..bytes.len().min(MOST)];
    let rest = bytes.len() - cut.len();
    let rest = if rest > 0 { format!("... and {rest} bytes more") } else { String::new() };
    format!("\"{}\"{rest}", cut.escape_ascii())
}
