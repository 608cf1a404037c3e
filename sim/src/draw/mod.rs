//! What a seed decides: a plan and a script, drawn from one generator and nothing else. A change of this module
//! changes what a seed draws. A run that must stay the same is kept as a trace.

mod accounts;
mod blips;
mod faults;
mod life;
mod line;
mod lines;
mod mass;
mod swarm;

pub use line::line;
pub use mass::{mass, waiters};
pub use swarm::swarm;

use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The longest time for the liveness phase, in milliseconds. It needs a few seconds at most.
const LIVENESS_MS: u32 = 60_000;

/// A source of random numbers.
pub(crate) struct Rng(ChaCha8Rng);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The generator for the accounts of a run. It takes nothing from that of the rest.
    pub(crate) fn of_accounts(seed: u64) -> Self {
        Self::new(seed ^ 0xacc0_0275_0000_0000)
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.between(1, 100) <= percent
    }

    /// One item of `some`, each as likely as the others.
    pub(crate) fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.between(0, some.len() as u32 - 1) as usize]
    }

    /// One item of `some`, by their weights.
    fn weighted<T: Copy>(&mut self, some: &[(T, u32)]) -> T {
        let total = some.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.between(1, total);
        for (item, weight) in some {
            if rest <= *weight {
                return *item;
            }
            rest -= weight;
        }
        unreachable!("the number is at most the sum of the weights")
    }
}
