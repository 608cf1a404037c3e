//! From a failing run to the smallest part of it that fails. The script is copied back and forth between two files
//! without a name. On each way steps are left out that the failure does not need: halves first, then quarters, down
//! to single steps, until no single step can go. (The scheme is delta debugging: Zeller and Hildebrandt, "Simplifying
//! and Isolating Failure-Inducing Input", 2002.) The same invariant must be violated each time.

use crate::log::Violation;
use crate::plan::Plan;
use crate::script::{Action, Step};
use crate::trace::{Trace, TraceError};
use crate::verdict;
use thiserror::Error;

/// Why a run cannot be shrunk.
#[derive(Debug, Error)]
pub enum ShrinkError {
    /// It does not fail.
    #[error("the run does not fail, so there is nothing to shrink (was a canary planted when it did?)")]
    Holds,
    /// A trace cannot be read or written.
    #[error("{0}")]
    Trace(#[from] TraceError),
}

/// A run that was shrunk.
#[derive(Debug)]
pub struct Shrunk {
    /// The smaller run.
    pub trace: Trace,
    /// The violation in it.
    pub violation: Violation,
    /// Steps before, each with at most one request line.
    pub before: usize,
    /// Steps that are left.
    pub after: usize,
    /// Runs that it took.
    pub runs: usize,
    /// Whether no single step can go. Not so if `most_runs` was too low.
    pub is_least: bool,
}

/// Shrinks a run, with at most `most_runs` runs.
///
/// # Errors
///
/// The run does not fail, or a file cannot be read or written.
pub fn shrink(trace: &Trace, most_runs: usize) -> Result<Shrunk, ShrinkError> {
    let (plan, script) = trace.load()?;
    let Some(violation) = verdict::run(&plan, &script).violation else { return Err(ShrinkError::Holds) };
    let script: Vec<Step> = script.into_iter().flat_map(single_lines).collect();
    let mut shrinker = Shrinker {
        before: script.len(),
        steps: script.len(),
        kept: Trace::record(&plan, script)?,
        tried: Trace::empty()?,
        plan,
        violation,
        runs: 1,
        most_runs,
    };
    shrinker.simplify_plan()?;
    shrinker.drop_steps()?;
    shrinker.close_gaps()?;
    shrinker.simplify_plan()?;
    shrinker.drop_steps()?;
    let Shrinker { kept, violation, before, steps, runs, most_runs, .. } = shrinker;
    Ok(Shrunk { trace: kept, violation, before, after: steps, runs, is_least: runs < most_runs })
}

/// All that is said in one millisecond is one write, so a write of many lines may become many steps.
fn single_lines(step: Step) -> Vec<Step> {
    let Step { at_ms, action: Action::Say(client, bytes) } = step else { return vec![step] };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| Step { at_ms, action: Action::Say(client, line.to_vec()) }).collect()
}

struct Shrinker {
    /// The smallest failing run so far, and the file for the next try.
    kept: Trace,
    tried: Trace,
    plan: Plan,
    /// The violation in the smallest run so far.
    violation: Violation,
    before: usize,
    /// Steps of the smallest run so far.
    steps: usize,
    runs: usize,
    most_runs: usize,
}

impl Shrinker {
    /// Leaves out steps, ever smaller parts at a time, until none can go.
    fn drop_steps(&mut self) -> Result<(), TraceError> {
        let mut part = (self.steps / 2).max(1);
        loop {
            let mut from = 0;
            let mut has_dropped = false;
            while from < self.steps && self.runs < self.most_runs {
                let until = (from + part).min(self.steps);
                let plan = self.plan.clone();
                if self.try_with(&plan, |number, step| (!(from..until).contains(&number)).then_some(step))? {
                    has_dropped = true;
                } else {
                    from = until;
                }
            }
            if self.runs >= self.most_runs || (part == 1 && !has_dropped) {
                return Ok(());
            }
            // Single steps are tried again and again: a step may have been needed only by one that is gone now.
            part = (part / 2).max(1);
        }
    }

    /// Brings steps closer together.
    fn close_gaps(&mut self) -> Result<(), TraceError> {
        for longest_ms in [2, 10, 50] {
            let mut last_ms = 0;
            let mut now_ms = 0;
            let plan = self.plan.clone();
            self.try_with(&plan, |_, step| {
                now_ms += (step.at_ms - last_ms).min(longest_ms);
                last_ms = step.at_ms;
                Some(Step { at_ms: now_ms, ..step })
            })?;
        }
        Ok(())
    }

    /// Makes the world simpler as far as the failure allows.
    fn simplify_plan(&mut self) -> Result<(), TraceError> {
        let last_ms = self.kept.load()?.1.last().map_or(0, |step| step.at_ms);
        let simpler: [fn(&mut Plan, u32); 12] = [
            |plan, _| plan.liveness_ms = plan.liveness_ms.min(3_000),
            |plan, _| plan.network.latency_us = (1_000, 1_000),
            |plan, last_ms| plan.duration_ms = plan.duration_ms.min(last_ms + 20),
            |plan, last_ms| plan.duration_ms = plan.duration_ms.min(last_ms + 200),
            |plan, _| plan.network.read_bytes = 16 << 10,
            |plan, _| plan.network.window_bytes = 1 << 20,
            |plan, _| plan.server.idle_ms = 0,
            |plan, _| plan.names.truncate(1),
            |plan, _| (plan.server.waiters, plan.server.waiters_per_name) = (10_000, 10_000),
            |plan, _| plan.server.tokens = 0,
            |plan, _| plan.server.admin = false,
            |plan, _| plan.hosts = plan.hosts.min(1),
        ];
        for simplify in simpler {
            let mut plan = self.plan.clone();
            simplify(&mut plan, last_ms);
            if plan != self.plan {
                self.try_with(&plan, |_, step| Some(step))?;
            }
        }
        Ok(())
    }

    /// Copies the steps through a filter into the other file and runs the copy. If that fails in the same way, it is
    /// the smallest run from now on.
    fn try_with(
        &mut self,
        plan: &Plan,
        mut filter: impl FnMut(usize, Step) -> Option<Step>,
    ) -> Result<bool, TraceError> {
        if self.runs >= self.most_runs {
            return Ok(false);
        }
        self.runs += 1;
        let (_, steps) = self.kept.read()?;
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        let left = steps.into_iter().enumerate().filter_map(|(number, step)| filter(number, step));
        self.tried.write(plan, left)?;
        let (plan, script) = self.tried.load()?;
        match verdict::run(&plan, &script).violation {
            Some(violation) if violation.check == self.violation.check => {
                std::mem::swap(&mut self.kept, &mut self.tried);
                self.plan = plan;
                self.steps = script.len();
                self.violation = violation;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
