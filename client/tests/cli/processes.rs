//! Processes that tests start, and waiting with an end.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Anything on one machine is long done by then, also when it is busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Asks again and again until there is an answer.
pub(crate) fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "still waiting after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a program wrote and how it ended: status, stdout, stderr.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _deadline = Deadline::of(child.id());
    told(child.wait_with_output().unwrap())
}

/// Kills a process that has not ended in time, so that a hang is a failure.
pub(crate) struct Deadline {
    /// Dropped with it, and that is what counts.
    _dropped: mpsc::Sender<()>,
}

impl Deadline {
    pub(crate) fn of(process: u32) -> Self {
        let (dropped, is_dropped) = mpsc::channel();
        thread::spawn(move || {
            if is_dropped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = kill(Pid::from_raw(process.try_into().unwrap()), Signal::SIGKILL);
            }
        });
        Self { _dropped: dropped }
    }
}

pub(crate) fn told(output: Output) -> (i32, String, String) {
    use std::os::unix::process::ExitStatusExt;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let status = output.status.code().or_else(|| output.status.signal().map(|signal| 1000 + signal)).unwrap();
    (status, text(output.stdout), text(output.stderr))
}

/// A child process that does not outlive its owner, also when a test panics.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
