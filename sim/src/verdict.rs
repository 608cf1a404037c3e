//! One run and the verdict on it: of the invariants during the run, and of the judges after it.

use crate::log::Violation;
use crate::oracle::{self, Judged};
use crate::panics;
use crate::plan::Plan;
use crate::script::{Action, Fault, Step};
use crate::world::{self, Report};
use elockd_core::probe::{plant, planted};
use std::thread;

/// A run that is over.
pub struct Verdict {
    /// What happened.
    pub report: Report,
    /// The first violation, if there was one.
    pub violation: Option<Violation>,
    /// How much could be judged.
    pub judged: Judged,
}

/// Runs a script and judges it.
///
/// Each run has a thread of its own, so that thread-local state does not leak from one run into another: a server
/// that panicked may leave anything there. The canary that is planted on this thread is planted on that one.
#[must_use]
pub fn run(plan: &Plan, script: &[Step]) -> Verdict {
    let canary = planted();
    let run = || {
        plant(canary);
        run_here(plan, script)
    };
    thread::scope(|scope| scope.spawn(run).join()).expect("a run catches its panics")
}

fn run_here(plan: &Plan, script: &[Step]) -> Verdict {
    let mut report = world::run(plan, script);
    let mut judged = Judged::default();
    let violation = report.violation.take().or_else(|| {
        match panics::catch(|| oracle::judge(plan, &report.entries)) {
            Ok(Ok(done)) => {
                judged = done;
                None
            }
            Ok(Err(violation)) => Some(violation),
            // A log that the judges cannot even read is a finding too.
            Err(what) => Some(Violation { at_ms: 0, check: "the log makes sense", what, conn: None }),
        }
    });
    Verdict { report, violation, judged }
}

/// Whether a script has faults that should make a difference to the clients that are there, and none of them did.
/// Such a run shows nothing.
#[must_use]
pub fn is_toothless(script: &[Step], report: &Report) -> bool {
    let faults = script.iter().filter_map(|step| match step.action {
        Action::Fault(fault) => Some(fault),
        _ => None,
    });
    let has_bitten = |fault: Fault| fault.kind().is_some_and(|kind| report.bites.contains_key(&kind));
    faults.clone().any(Fault::is_sure) && !faults.into_iter().any(has_bitten)
}
