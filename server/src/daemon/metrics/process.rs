//! What Linux knows of this process, for the metrics that every exporter has under the same names.

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::time::Duration;

/// The process at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    /// `None` is no limit. The number of open files is left out: to count them takes a millisecond for every few
    /// thousand.
    pub(super) max_files: Option<u64>,
}

impl Process {
    pub(super) fn look() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let pages = fs::read_to_string("/proc/self/statm").ok()?;
        Some(Self {
            cpu: Duration::from_micros(cpu_ticks(&stat)? * 1_000_000 / clock_ticks_per_second()),
            resident_bytes: pages.split(' ').nth(1)?.parse::<u64>().ok()? * page_size() as u64,
            max_files: getrlimit(Resource::Nofile).current,
        })
    }
}

/// User and system time out of `/proc/self/stat`, whose second field, in parentheses, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_may_hold_anything() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 1 0 123 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("nonsense"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let process = Process::look().expect("Linux tells");
        assert!(process.resident_bytes > 1 << 18, "{process:?}");
    }
}
