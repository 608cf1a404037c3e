//! Many seeds, run one after the other on every core, and what they reached together.

use crate::draw;
use crate::log::Violation;
use crate::oracle::Judged;
use crate::script::FaultKind;
use crate::trace::{Trace, TraceError};
use crate::verdict::{self, Verdict, is_toothless};
use elockd_core::probe::{Canary, Harness, Mark, plant};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// The seeds.
    pub seeds: Range<u64>,
    /// The number of threads.
    pub threads: usize,
    /// The planted bug.
    pub canary: Option<Canary>,
    /// Real time after which a seed counts as hanging.
    pub patience: Duration,
}

impl Swarm {
    /// Nearly all seeds take some milliseconds, and the longest some seconds.
    pub const PATIENCE: Duration = Duration::from_mins(1);
}

/// An observer of a swarm's progress.
pub trait Watcher: Sync {
    /// `runs` runs are over.
    fn progress(&self, runs: u64);

    /// A seed has been running for much longer than any should: virtual time stands still, because something in the
    /// server is busy for ever. Only the end of the process ends that.
    fn hangs(&self, seed: u64);
}

/// The seed that each thread is at, and since when.
type Slots = [Mutex<Option<(u64, Instant)>>];

/// A seed that failed.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The violation.
    pub violation: Violation,
    /// The run.
    pub trace: Trace,
}

/// What seeds reached together.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Runs.
    pub runs: u64,
    /// Steps of their scripts.
    pub steps: u64,
    /// Entries of their logs.
    pub events: u64,
    /// How long they took, in milliseconds of virtual time.
    pub virtual_ms: u64,
    /// How many runs reached each mark, in the order of [`Mark::ALL`].
    pub marks: Vec<u64>,
    /// How often each kind of fault made a difference.
    pub bites: BTreeMap<FaultKind, u64>,
    /// How much could be judged.
    pub judged: Judged,
}

impl Ledger {
    fn add(&mut self, steps: usize, verdict: &Verdict) {
        let Verdict { report, judged, .. } = verdict;
        self.runs += 1;
        self.steps += steps as u64;
        self.events += report.entries.len() as u64;
        self.virtual_ms += u64::from(report.virtual_ms);
        self.marks.resize(Mark::COUNT, 0);
        for (runs, reached) in self.marks.iter_mut().zip(report.marks) {
            *runs += u64::from(reached > 0);
        }
        for (kind, bites) in &report.bites {
            *self.bites.entry(*kind).or_default() += bites;
        }
        self.judged.linear += judged.linear;
        self.judged.searched += judged.searched;
        self.judged.passed += judged.passed;
        self.judged.listings += judged.listings;
        self.judged.tokens += judged.tokens;
        self.judged.refused += judged.refused;
    }

    /// Marks and faults that were never reached, in words.
    #[must_use]
    pub fn gaps(&self) -> Vec<String> {
        let is_due = |mark: &Mark| mark.harnesses().contains(&Harness::Swarm);
        let marks = Mark::ALL.into_iter().zip(&self.marks).filter(|(mark, runs)| **runs == 0 && is_due(mark));
        let faults = FaultKind::ALL.into_iter().filter(|kind| !self.bites.contains_key(kind));
        let refusals = (self.judged.refused == 0).then(|| "no rule refused a request".to_owned());
        marks
            .map(|(mark, _)| format!("no run reached the mark {mark:?}: {}", mark.doc()))
            .chain(faults.map(|kind| format!("no fault of the kind {kind:?} made a difference")))
            .chain(refusals)
            .collect()
    }

    /// What to print after a swarm in which every invariant held, and whether all is well. Gaps come last, if they are
    /// minded: who looks at the end alone must see them. `pace` says how long the swarm took.
    #[must_use]
    pub fn last_words(&self, pace: &str, minds_gaps: bool) -> (String, bool) {
        let complaint = self.complaint().filter(|_| minds_gaps);
        let ending = complaint.as_deref().unwrap_or("every invariant held");
        (format!("{self}\n{pace}\n{ending}"), complaint.is_none())
    }

    /// What is wrong with a swarm in which every invariant held, and what to do about it. `None` if there are no gaps.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let gaps = self.gaps();
        (!gaps.is_empty()).then(|| {
            format!(
                "{}\nfailed: every invariant held, but what no run reaches is not tested. Let the swarm reach \
                 it (sim/src/draw), or take it out of the harnesses of its mark (core/src/probe/mark.rs) if \
                 nothing can. More seeds may do, too. To pass over it: --allow-gaps",
                gaps.join("\n")
            )
        })
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, steps, events, virtual_ms, marks, bites, judged } = self;
        writeln!(
            f,
            "{runs} runs, {steps} steps, {events} events, {} s of virtual time; {} histories of locks explained, \
             {} of them by a search, {} holds resumed, {} listings checked, {} fencing tokens shown, {} requests \
             refused by rules",
            virtual_ms / 1000,
            judged.linear,
            judged.searched,
            judged.passed,
            judged.listings,
            judged.tokens,
            judged.refused
        )?;
        let bites: Vec<_> = bites.iter().map(|(kind, count)| format!("{kind:?} {count}")).collect();
        writeln!(f, "faults that made a difference: {}", bites.join(", "))?;
        let marks: Vec<_> =
            Mark::ALL.iter().zip(marks).map(|(mark, runs)| format!("{mark:?} {runs}")).collect();
        write!(f, "marks, by the runs that reached them: {}", marks.join(", "))
    }
}

impl Swarm {
    /// Runs every seed, until one fails.
    ///
    /// # Errors
    ///
    /// A trace cannot be written.
    pub fn run(&self, watcher: &impl Watcher) -> Result<(Ledger, Option<Failure>), TraceError> {
        let next = AtomicU64::new(self.seeds.start);
        let stop = AtomicBool::new(false);
        let ledger = Mutex::new(Ledger::default());
        let failures = Mutex::new(Vec::new());
        let slots: Vec<_> = (0..self.threads).map(|_| Mutex::new(None)).collect();
        let work = |slot: usize| -> Result<(), TraceError> {
            plant(self.canary);
            let mut trace = Trace::empty()?;
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.seeds.end {
                    break;
                }
                set(&slots, slot, Some((seed, Instant::now())));
                let (steps, verdict) = run_seed(seed, &mut trace)?;
                set(&slots, slot, None);
                let runs = {
                    let mut ledger = ledger.lock().expect("nobody panics while writing the ledger");
                    ledger.add(steps, &verdict);
                    ledger.runs
                };
                if let Some(violation) = verdict.violation {
                    stop.store(true, Ordering::Relaxed);
                    let trace = std::mem::replace(&mut trace, Trace::empty()?);
                    let failure = Failure { seed, violation, trace };
                    failures.lock().expect("nobody panics while telling a failure").push(failure);
                }
                watcher.progress(runs);
            }
            plant(None);
            Ok(())
        };
        let results: Vec<_> = thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..self.threads).map(|slot| scope.spawn(move || work(slot))).collect();
            while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
                thread::sleep(Duration::from_millis(20));
                for seed in hanging(&slots, self.patience) {
                    watcher.hangs(seed);
                }
            }
            threads.into_iter().map(|thread| thread.join().expect("runs catch their panics")).collect()
        });
        results.into_iter().collect::<Result<(), _>>()?;
        let mut failures = failures.into_inner().expect("nobody panicked while telling a failure");
        failures.sort_by_key(|failure| failure.seed);
        let ledger = ledger.into_inner().expect("nobody panicked while writing the ledger");
        Ok((ledger, failures.into_iter().next()))
    }
}

fn set(slots: &Slots, slot: usize, to: Option<(u64, Instant)>) {
    *slots[slot].lock().expect("nobody panics while setting a slot") = to;
}

/// The seeds that have been running for too long.
fn hanging(slots: &Slots, patience: Duration) -> Vec<u64> {
    let at = |slot: &Mutex<Option<(u64, Instant)>>| *slot.lock().expect("nobody panics while setting a slot");
    let is_late = |(_, since): &(u64, Instant)| since.elapsed() > patience;
    slots.iter().filter_map(at).filter(is_late).map(|(seed, _)| seed).collect()
}

/// Draws a seed, records it, and runs the record. Returns the number of its steps.
fn run_seed(seed: u64, trace: &mut Trace) -> Result<(usize, Verdict), TraceError> {
    let (plan, script) = draw::swarm(seed);
    trace.write(&plan, script)?;
    let (plan, script) = trace.load()?;
    let mut verdict = verdict::run(&plan, &script);
    if verdict.violation.is_none() && is_toothless(&script, &verdict.report) {
        let what = "the script has faults, and none of them made a difference".to_owned();
        verdict.violation = Some(Violation { at_ms: 0, check: "faults bite", what, conn: None });
    }
    Ok((script.len(), verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarm_with_gaps_says_so_last_and_what_to_do() {
        let mut ledger = Ledger { marks: vec![1; Mark::COUNT], ..Ledger::default() };
        ledger.bites.extend(FaultKind::ALL.map(|kind| (kind, 1)));
        assert_eq!(ledger.complaint(), None);
        let due = |mark: &Mark| mark.harnesses().contains(&Harness::Swarm);
        let mark = Mark::ALL.iter().position(due).unwrap();
        ledger.marks[mark] = 0;
        ledger.bites.pop_first();
        let complaint = ledger.complaint().unwrap();
        let lines: Vec<&str> = complaint.lines().collect();
        assert!(
            lines[0].starts_with(&format!("no run reached the mark {:?}: ", Mark::ALL[mark])),
            "{complaint}"
        );
        assert!(lines[1].starts_with("no fault of the kind "), "{complaint}");
        assert!(lines[2].starts_with("failed: ") && lines[2].contains("--allow-gaps"), "{complaint}");
        assert_eq!(lines.len(), 3, "{complaint}");
        let (words, is_well) = ledger.last_words("1.0 s on 2 threads", true);
        assert!(!is_well && words.ends_with(&format!("\n1.0 s on 2 threads\n{complaint}")), "{words}");
        let (words, is_well) = ledger.last_words("1.0 s on 2 threads", false);
        assert!(is_well && words.ends_with("\n1.0 s on 2 threads\nevery invariant held"), "{words}");
    }
}
