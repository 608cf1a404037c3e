//! Goal: a seed decides everything. Method: each run is made twice, in two processes, and all its events are compared
//! in order, byte for byte. The whole simulation relies on this.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_sim::{draw, verdict};
use std::process::Command;
use std::thread;

/// The whole log of a run, made in a process of its own.
fn log(arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_elockd-sim")).args(arguments).arg("--log").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    output.stdout
}

#[test]
fn a_seed_gives_the_same_run_in_two_processes() {
    let mut lines = 0;
    for seed in 0..60 {
        let seed = seed.to_string();
        let (first, second) = (log(&["seed", &seed]), log(&["seed", &seed]));
        assert!(first == second, "seed {seed} gave two runs");
        lines += first.split(|byte| *byte == b'\n').count();
    }
    assert!(lines > 20_000, "{lines} lines are too few to compare anything");
}

#[test]
fn a_mass_orphaning_gives_the_same_run_in_two_processes() {
    for how in ["crash", "half-open", "shutdown"] {
        let arguments = ["mass", "--how", how, "--connections", "60", "--locks", "1200"];
        assert!(log(&arguments) == log(&arguments), "{how} gave two runs");
    }
}

#[test]
fn a_long_line_gives_the_same_run_in_two_processes() {
    let arguments = ["line", "--waiters", "200", "--hosts", "5"];
    assert!(log(&arguments) == log(&arguments));
}

#[test]
fn another_seed_gives_another_run() {
    // The events, without the words that name the seed.
    let happened = |seed| {
        let log = log(&["seed", seed]);
        let start = log.windows(17).position(|text| text == b"the server starts").unwrap();
        log[start..].to_vec()
    };
    assert!(happened("1") != happened("2"));
}

/// All events of some seeds that run one after the other on this thread.
fn logs(seeds: impl Iterator<Item = u64>) -> Vec<(u64, String)> {
    let log = |seed| {
        let (plan, script) = draw::swarm(seed);
        let lines = verdict::run(&plan, &script).report.entries;
        (seed, lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    seeds.map(log).collect()
}

/// Counters of a process, over all its threads, must not influence a run.
#[test]
fn a_seed_gives_the_same_run_whatever_runs_before_and_beside_it() {
    const SEEDS: u64 = 200;
    let alone = logs(0..SEEDS);
    let mut beside: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|first| scope.spawn(move || logs((first..SEEDS).step_by(4)))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    beside.sort();
    for ((seed, alone), (_, beside)) in alone.iter().zip(&beside) {
        assert!(alone == beside, "seed {seed} gave two runs");
    }
}
