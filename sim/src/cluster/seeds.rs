//! Many seeds of clusters, on every core, until one fails.

use super::marks::ClusterMarks;
use super::world::{ClusterReport, run};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Which seeds to run, and on how many threads.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// The seeds.
    pub seeds: Range<u64>,
    /// The number of threads.
    pub threads: usize,
}

impl Clusters {
    /// Runs every seed until one fails. Returns what was seen, the virtual time in milliseconds, and the lowest seed
    /// that failed, with the reason.
    #[must_use]
    pub fn run(&self) -> (ClusterMarks, u64, Option<(u64, String)>) {
        let next = AtomicU64::new(self.seeds.start);
        let stop = AtomicBool::new(false);
        let found = Mutex::new((ClusterMarks::default(), 0, None::<(u64, String)>));
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.seeds.end {
                    break;
                }
                let ClusterReport { marks, virtual_ms, wrong, .. } = run(seed);
                let mut found = found.lock().expect("runs catch their panics");
                found.0.add(&marks);
                found.1 += u64::from(virtual_ms);
                if let Some(wrong) = wrong {
                    stop.store(true, Ordering::Relaxed);
                    if found.2.as_ref().is_none_or(|(lowest, _)| seed < *lowest) {
                        found.2 = Some((seed, wrong));
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(work);
            }
        });
        found.into_inner().expect("runs catch their panics")
    }
}
