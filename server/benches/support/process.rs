//! What a process has used, as the kernel counts it.

use super::Failure;
use std::fs;

/// Seconds of processor time that all threads of a process have used, to the nanosecond if the kernel counts so.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let mut nanoseconds = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else {
            return cpu_seconds_by_ticks(pid);
        };
        nanoseconds += schedstat.split(' ').next().ok_or("an empty schedstat")?.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

/// The same to a hundredth of a second.
fn cpu_seconds_by_ticks(pid: u32) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets. It may have any characters.
    let fields: Vec<_> = stat.rsplit(')').next().ok_or("an empty stat")?.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).ok_or("a short stat").map(|ticks| ticks.parse::<f64>());
    Ok((ticks(11)?? + ticks(12)??) / 100.0)
}

/// Bytes of memory that a process has resident.
pub(crate) fn resident_bytes(pid: u32) -> Result<f64, Failure> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let rss = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss in smaps_rollup")?;
    Ok(rss.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}
