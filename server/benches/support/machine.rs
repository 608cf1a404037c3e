//! The machine that the figures are of, and its limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// What a reader has to know to compare.
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

/// Raises the limit of open files as far as it goes: what it is then.
pub(crate) fn raise_file_limit() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Not being allowed to is no failure: what counts is the limit that there is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = getrlimit(Resource::Nofile).current;
    files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

/// As many connections as were asked for, or as the limit allows, with a word about it.
pub(crate) fn connections_allowed(wanted: usize) -> usize {
    /// For everything else that is open.
    const OTHERS: usize = 200;
    let allowed = raise_file_limit().saturating_sub(OTHERS).min(wanted);
    if allowed < wanted {
        println!(
            "ONLY {allowed} connections instead of {wanted}: the limit of open files allows no more (ulimit -n)"
        );
    }
    allowed
}
