//! The command that runs while a lock is held: how it is started, what it inherits, how signals reach it, and how it
//! is stopped when the lock is lost.

use crate::signals::{self, Arrived};
use crate::status::{CANNOT_RUN, Failure, NOT_FOUND, SIGNAL};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::ExitStatus;
use tokio::process::{Child, Command};

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    program: OsString,
    arguments: Vec<OsString>,
    /// Whether it is a line for the user's shell.
    is_line: bool,
}

impl Task {
    /// A program and its arguments, or a line for the user's shell.
    pub(crate) fn new(command: &[OsString], line: Option<&OsStr>) -> Result<Self, Failure> {
        match (command, line) {
            ([program, arguments @ ..], None) => {
                Ok(Self { program: program.clone(), arguments: arguments.to_vec(), is_line: false })
            }
            ([], Some(line)) => {
                let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
                let program = shell.unwrap_or_else(|| "/bin/sh".into());
                Ok(Self { program, arguments: vec!["-c".into(), line.into()], is_line: true })
            }
            ([], None) => Err(Failure::usage("no command was given; write it behind --, or after -c")),
            ([_, ..], Some(_)) => Err(Failure::usage("-c takes the place of a command: give one of them")),
        }
    }

    /// Starts it. It inherits `descriptors`, so that what they keep open is open as long as it lives.
    pub(crate) fn start(&self, env: &[(&str, OsString)], descriptors: &[OwnedFd]) -> Result<Job, Failure> {
        for descriptor in descriptors {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))
                .map_err(|error| Failure::system("hand on the connection", error))?;
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(env.iter().map(|(key, value)| (key, value)));
        match command.spawn() {
            Ok(child) => Ok(Job { pid: pid_of(&child), child }),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Its words for another host, where this user's shell may not be: a line is one for `sh` there.
    pub(crate) fn words_elsewhere(&self) -> Vec<OsString> {
        let program = if self.is_line { "sh".into() } else { self.program.clone() };
        [vec![program], self.arguments.clone()].concat()
    }

    /// Runs it in place of this program. Comes back only if it cannot be run.
    pub(crate) fn become_it(&self) -> Failure {
        self.failure(&std::process::Command::new(&self.program).args(&self.arguments).exec())
    }

    fn failure(&self, error: &io::Error) -> Failure {
        let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
        Failure::new(status, format_args!("cannot run {}: {error}", self.program.display()))
    }
}

fn pid_of(child: &Child) -> Pid {
    let id = child.id().expect("nobody has waited for it");
    Pid::from_raw(id.try_into().expect("a process id fits"))
}

/// A command that was started.
#[derive(Debug)]
pub(crate) struct Job {
    child: Child,
    pid: Pid,
}

impl Job {
    /// Waits for its end. Nothing is lost if the future is dropped.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Hands a signal on, unless the terminal has sent it to the command too.
    pub(crate) fn forward(&self, arrived: Arrived) {
        if !arrived.reaches_command {
            self.signal(arrived.signal);
        }
    }

    /// Sends it a signal, if it has not been waited for: its number could be somebody else's by then.
    fn signal(&self, signal: Signal) {
        if self.child.id().is_some() {
            signals::send(self.pid, signal);
        }
    }

    /// Makes this process the parent of what the command leaves behind from now on, so that all of it is found by
    /// [`signal_all`](Self::signal_all).
    pub(crate) fn keep_orphans() {
        let _ = prctl::set_child_subreaper(true);
    }

    /// The contrary: what a command leaves behind from now on belongs to nobody here. Takes note of those that have
    /// ended, so it comes after the end of every job.
    pub(crate) fn let_orphans_go() {
        let _ = prctl::set_child_subreaper(false);
        let next = || waitpid(None, Some(WaitPidFlag::WNOHANG));
        while next().is_ok_and(|status| status != WaitStatus::StillAlive) {}
    }

    /// Sends a signal, if there is one, to the command and to all that it has started. Returns how many there are.
    pub(crate) fn signal_all(signal: Option<Signal>) -> usize {
        let pids = descendants(nix::unistd::getpid());
        for pid in &pids {
            signal.map(|signal| signals::send(*pid, signal));
        }
        pids.len()
    }
}

/// All that this process has started, directly or not, and that has not ended. What ended and was not waited for is
/// left out.
fn descendants(of: Pid) -> BTreeSet<Pid> {
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for (pid, parent) in fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        parent_in(&fs::read_to_string(entry.path().join("stat")).ok()?)
            .map(|parent| (Pid::from_raw(pid), parent))
    }) {
        children.entry(parent).or_default().push(pid);
    }
    let mut found = BTreeSet::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            found.insert(child);
            parents.push(child);
        }
    }
    found
}

/// The parent of a process by its line in /proc. `None` for a process that has ended.
fn parent_in(stat: &str) -> Option<Pid> {
    // The second field is a name in parentheses, which may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(Pid::from_raw(parent))
}

/// The status that a shell would have for it.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| i32::from(SIGNAL) + signal));
    code.and_then(|code| code.try_into().ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_whatever_the_program_is_called() {
        for (stat, parent) in [
            ("7 (sh) S 5 7 7 0", Some(5)),
            ("7 (a) Z 9) R 5 7", Some(5)),
            ("7 (sh) Z 5 7", None),
            ("7 (sh", None),
            ("", None),
        ] {
            assert_eq!(parent_in(stat), parent.map(Pid::from_raw), "{stat}");
        }
    }

    #[test]
    fn a_status_is_as_in_a_shell() {
        for (raw, code) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (15, 143), (9, 137), (2, 130)] {
            assert_eq!(code_of(ExitStatus::from_raw(raw)), code);
        }
    }

    #[test]
    fn a_command_and_a_line_exclude_each_other() {
        let words = ["echo".into(), "-n".into()];
        let task = Task::new(&words, None).unwrap();
        assert_eq!((task.program, task.arguments), ("echo".into(), vec!["-n".into()]));
        assert_eq!(Task::new(&[], Some("exit 3".as_ref())).unwrap().arguments, ["-c", "exit 3"]);
        assert!(Task::new(&[], None).is_err());
        assert!(Task::new(&words, Some("x".as_ref())).is_err());
    }
}
