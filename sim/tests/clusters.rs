//! Goal: clusters keep their promises in a share of the seeds, see enough for that to mean something, and a seed can be
//! run again. Method: seeds run, and some run twice, in one process and in two.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_sim::cluster::{Clusters, run};
use std::process::Command;

/// All that happened in a run, made in a process of its own.
fn log(seed: u64) -> Vec<u8> {
    let arguments = ["cluster", "--log", "--from", &seed.to_string()];
    let output = Command::new(env!("CARGO_BIN_EXE_elockd-sim")).args(arguments).output().unwrap();
    assert!(output.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&output.stdout));
    output.stdout
}

#[test]
fn a_seed_of_a_cluster_gives_the_same_run_in_two_processes() {
    for seed in 0..2 {
        assert!(log(seed) == log(seed), "seed {seed} gave two runs");
    }
}

#[test]
fn a_seed_of_a_cluster_gives_the_same_run_whatever_runs_before_it() {
    let alone = run(3);
    let _ = run(4);
    assert_eq!(run(3), alone);
    assert_ne!(run(4).lines, alone.lines, "another seed is another run");
}

#[test]
fn clusters_keep_their_promises() {
    let (marks, _, failure) = Clusters { seeds: 0..12, threads: 2 }.run();
    assert_eq!(failure, None);
    let counts =
        [marks.answers, marks.gets, marks.elections, marks.epochs_gone, marks.restarts, marks.linear];
    assert!(counts.iter().all(|count| *count > 10), "{marks}");
}
