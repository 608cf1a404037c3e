//! What the simulation's tests share.

use elockd_sim::swarm::Watcher;

/// Says nothing while all goes well.
pub(crate) struct Quiet;

impl Watcher for Quiet {
    fn progress(&self, _: u64) {}

    fn hangs(&self, seed: u64) {
        eprintln!("seed {seed} does not end: virtual time stands still");
        std::process::exit(1);
    }
}
