//! One run and the verdict on it: what the invariants said while it ran, and the judges when it was over.

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
    /// The first claim that fell, if one did.
    pub violation: Option<Violation>,
    /// How much could be judged.
    pub judged: Judged,
}

/// Runs a script and judges it.
///
/// Each run has a thread of its own, so that nothing that threads keep (a server that panicked may leave
/// anything) comes from one run into another. What is planted here is planted there.
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
            // A log that the judges cannot even read is a finding, too.
            Err(what) => Some(Violation { at_ms: 0, check: "the log makes sense", what, conn: None }),
        }
    });
    Verdict { report, violation, judged }
}

/// Whether a script has faults that are sure to make a difference to whoever is there, and none did: such a run
/// shows nothing.
#[must_use]
pub fn is_toothless(script: &[Step], report: &Report) -> bool {
    let faults = script.iter().filter_map(|step| match step.action {
        Action::Fault(fault) => Some(fault),
        _ => None,
    });
    let has_bitten = |fault: Fault| fault.kind().is_some_and(|kind| report.bites.contains_key(&kind));
    faults.clone().any(Fault::is_sure) && !faults.into_iter().any(has_bitten)
}
