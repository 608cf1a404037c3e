//! All figures at one moment, copied, so that nobody waits while they are written out.

use super::process::Process;
use elockd_core::{Figure, Kind, Times, Verb};
use elockd_server::{LatencySnapshot, Monitor};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// The figures of one scrape.
#[derive(Debug)]
pub(super) struct Sample {
    /// The numbers of `q full`, by key.
    numbers: BTreeMap<String, u64>,
    /// Of each verb, how many were successes and how many failures.
    pub(super) outcomes: [(Verb, u64, u64); Verb::COUNT],
    /// Exclusive, then shared.
    pub(super) hold_times: [Times; 2],
    pub(super) wait_times: [Times; 2],
    pub(super) dead_holds: u32,
    pub(super) latency: LatencySnapshot,
    pub(super) listings_refused: u64,
    pub(super) long_holds: u64,
    pub(super) token_failures: u64,
    /// `None` where the system does not tell.
    pub(super) process: Option<Process>,
    pub(super) start: SystemTime,
}

impl Sample {
    pub(super) fn take(monitor: &Monitor, start: SystemTime) -> Self {
        monitor
            .figures(|figures| {
                let mut numbers = BTreeMap::new();
                figures.each(true, &mut |key, figure| {
                    if let Figure::Number(number) = figure {
                        numbers.insert(key.to_owned(), number);
                    }
                });
                let outcomes = Verb::ALL.map(|verb| {
                    let (asked, failed) = figures.outcomes(verb);
                    // What still waits is neither, or else a success would be taken back when it fails.
                    (verb, asked.saturating_sub(failed + waiting(verb, &numbers)), failed)
                });
                Self {
                    numbers,
                    outcomes,
                    hold_times: Kind::ALL.map(|kind| figures.hold_times(kind).clone()),
                    wait_times: Kind::ALL.map(|kind| figures.wait_times(kind).clone()),
                    dead_holds: figures.dead_holds(),
                    latency: monitor.latency(),
                    listings_refused: monitor.listings_refused(),
                    long_holds: monitor.long_holds(),
                    token_failures: monitor.token_failures(),
                    process: None,
                    start,
                }
            })
            .with_process()
    }

    /// Not with the others: it reads files.
    fn with_process(self) -> Self {
        Self { process: Process::look(), ..self }
    }

    /// A number of `q full`. There has to be one of this name; a scrape is not what a daemon should fail for, so
    /// it is tests that do.
    pub(super) fn number(&self, key: &str) -> u64 {
        debug_assert!(self.numbers.contains_key(key), "`q full` has no {key}");
        self.numbers.get(key).copied().unwrap_or(0)
    }
}

/// How many of a verb have no answer yet.
fn waiting(verb: Verb, numbers: &BTreeMap<String, u64>) -> u64 {
    let key = match verb {
        Verb::GetWait => "waiters",
        Verb::SharedGetWait => "shared_waiters",
        _ => return 0,
    };
    numbers.get(key).copied().unwrap_or(0)
}
