//! What a seed decides: a plan and a script, drawn from one generator and from nothing else. What is drawn
//! changes with this module; a run that is to stay is kept as a trace.

mod faults;
mod line;
mod lines;
mod mass;
mod swarm;

pub use line::line;
pub use mass::{mass, waiters};
pub use swarm::swarm;

use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// In the liveness phase, all of what is to be done takes a few seconds at the most.
const LIVENESS_MS: u32 = 60_000;

/// Random numbers.
struct Rng(ChaCha8Rng);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number from `least` to `most`, both among them.
    fn between(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most)
    }

    /// Whether something that happens so many times in a hundred happens.
    fn percent(&mut self, percent: u32) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of some.
    fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.between(0, some.len() as u32 - 1) as usize]
    }

    /// One of some, by their weights.
    fn weighted<T: Copy>(&mut self, some: &[(T, u32)]) -> T {
        let total = some.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.between(1, total);
        for (item, weight) in some {
            if rest <= *weight {
                return *item;
            }
            rest -= weight;
        }
        unreachable!("the weights sum up to where the rng end")
    }
}
