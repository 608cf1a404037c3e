//! Goal: the production server keeps every guarantee under every fault. Method: a swarm of seeds. No invariant may be
//! violated, every mark must be reached, and every kind of fault must make a difference.
//!
//! `ELOCKD_SIM_SEEDS` and `ELOCKD_SIM_FROM` select the seeds.

mod support;

use elockd_model_tests::runner::{number, say};
use elockd_sim::swarm::Swarm;
use std::thread::available_parallelism;
use support::Quiet;

#[test]
fn every_invariant_holds_over_a_swarm_of_seeds() {
    let from = number("ELOCKD_SIM_FROM").unwrap_or(0);
    let seeds = number("ELOCKD_SIM_SEEDS").unwrap_or(1_000);
    let threads = available_parallelism().map_or(1, usize::from);
    let swarm = Swarm { seeds: from..from + seeds, threads, canary: None, patience: Swarm::PATIENCE };
    let (ledger, failure) = swarm.run(&Quiet).unwrap();
    if let Some(failure) = failure {
        panic!(
            "seed {0} failed: {1}\nagain: cargo run -p elockd-sim --release -- seed {0}\nshrunk and drawn: cargo run \
             -p elockd-sim --release -- swarm --from {0} --seeds 1",
            failure.seed, failure.violation
        );
    }
    say(&format!("swarm: {ledger}\n"));
    assert_eq!(ledger.runs, seeds);
    if let Some(complaint) = ledger.complaint().filter(|_| seeds >= 1_000) {
        panic!("{complaint}");
    }
}
