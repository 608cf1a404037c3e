//! The computer that is measured, and its limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// What a reader must know to compare figures.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    format!(
        "{}, {cores} cores, {} of memory, Linux {}",
        model.trim_start_matches([' ', '\t', ':']),
        memory.trim(),
        kernel.trim()
    )
}

/// The load average of the last one, five and fifteen minutes.
pub(crate) fn load_average() -> String {
    let all = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split(' ').take(3).collect::<Vec<_>>().join(", ")
}

/// Raises the limit of open files as far as possible. Returns the limit.
pub(crate) fn raise_file_limit() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A failure does not matter: the current limit counts.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = getrlimit(Resource::Nofile).current;
    files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

/// Returns `wanted`, or as many connections as the limit allows. Then it prints a message.
pub(crate) fn connections_allowed(wanted: usize) -> usize {
    /// Files that are open for other things.
    const OTHERS: usize = 200;
    let allowed = raise_file_limit().saturating_sub(OTHERS).min(wanted);
    if allowed < wanted {
        println!(
            "ONLY {allowed} connections instead of {wanted}: the limit of open files allows no more (ulimit -n)"
        );
    }
    allowed
}
