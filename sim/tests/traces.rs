//! Goal: a failure can be repeated and made small. Method: a failure of a canary is kept, shrunk, run again and
//! drawn. Files that are not traces, or are damaged, are refused with a clear message.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use elockd_core::probe::{Canary, plant};
use elockd_sim::script::{Action, Step};
use elockd_sim::shrink::{ShrinkError, shrink};
use elockd_sim::swarm::{Failure, Swarm};
use elockd_sim::trace::{Trace, TraceError};
use elockd_sim::{draw, timeline, verdict};
use std::fs;
use support::Quiet;

/// The first failure that a canary causes.
fn failure(canary: Canary) -> Failure {
    let swarm = Swarm { seeds: 0..2_000, threads: 1, canary: Some(canary), patience: Swarm::PATIENCE };
    swarm.run(&Quiet).unwrap().1.expect("the canary is found")
}

#[test]
fn a_failure_is_shrunk_until_no_single_step_can_go() {
    let canary = Canary::OrphansOfTheWrongKind;
    let Failure { violation, trace, .. } = failure(canary);
    plant(Some(canary));
    let shrunk = shrink(&trace, 20_000).unwrap();
    assert!(shrunk.is_least);
    assert_eq!(shrunk.violation.check, violation.check, "the same invariant is violated");
    let (plan, script) = shrunk.trace.load().unwrap();
    assert_eq!(script.len(), shrunk.after);
    assert!(shrunk.after <= 5 && shrunk.before > 50, "{} to {}: {script:?}", shrunk.before, shrunk.after);
    for left_out in 0..script.len() {
        let mut less = script.clone();
        let step = less.remove(left_out);
        let violation = verdict::run(&plan, &less).violation;
        let still_fails = violation.is_some_and(|violation| violation.check == shrunk.violation.check);
        assert!(!still_fails, "it fails without: {step}");
    }
    let again = verdict::run(&plan, &script);
    assert_eq!(again.violation.as_ref(), Some(&shrunk.violation), "it fails in the same way again");
    let page = timeline::page(&plan, &again.report, again.violation.as_ref());
    assert!(page.contains(shrunk.violation.check), "the picture names the violated invariant");
    plant(None);
    assert_eq!(verdict::run(&plan, &script).violation, None, "without the bug it holds");
    assert!(matches!(shrink(&trace, 100), Err(ShrinkError::Holds)));
}

#[test]
fn a_panic_of_the_server_is_a_failure_like_others() {
    // With this canary, a release meets a lock that the machine has lost.
    let Failure { violation, trace, .. } = failure(Canary::SweptWhileHeld);
    plant(Some(Canary::SweptWhileHeld));
    let (plan, script) = trace.load().unwrap();
    assert_eq!(verdict::run(&plan, &script).violation.as_ref(), Some(&violation));
    plant(None);
}

#[test]
fn a_kept_trace_is_read_as_it_was_written() {
    let (plan, script) = draw::swarm(7);
    let trace = Trace::record(&plan, script.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.trace");
    trace.keep(&file).unwrap();
    assert_eq!(Trace::open(&file).unwrap().load().unwrap(), (plan.clone(), script));
    let mut trace = trace;
    trace.write(&plan, []).unwrap();
    assert_eq!(trace.load().unwrap(), (plan, vec![]), "a shorter one leaves nothing of the longer");
}

#[test]
fn what_is_no_trace_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other");
    fs::write(&file, b"something else, and long enough for a header").unwrap();
    assert!(matches!(Trace::open(&file), Err(TraceError::NotATrace)));
    fs::write(&file, b"").unwrap();
    assert!(matches!(Trace::open(&file), Err(TraceError::NotATrace)));
    assert!(matches!(Trace::open(&folder.path().join("missing")), Err(TraceError::Io(_))));
}

#[test]
fn a_trace_that_was_cut_short_is_refused_wherever_it_was_cut() {
    let (plan, script) = draw::swarm(7);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.trace");
    Trace::record(&plan, script).unwrap().keep(&file).unwrap();
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let loaded = Trace::open(&file).and_then(|trace| trace.load());
        assert!(matches!(loaded, Err(TraceError::NotATrace | TraceError::Damaged(_))), "cut at {length}");
    }
}

#[test]
fn any_part_of_a_script_is_a_script() {
    for seed in 0..20 {
        let (plan, script) = draw::swarm(seed);
        for part in 0..4 {
            let is_kept = |(number, step): (usize, Step)| (number % 4 != part).then_some(step);
            let script: Vec<Step> = script.iter().cloned().enumerate().filter_map(is_kept).collect();
            assert_eq!(verdict::run(&plan, &script).violation, None, "seed {seed} without part {part}");
        }
        let odd: Vec<Step> =
            script.into_iter().filter(|step| !matches!(step.action, Action::Open(..))).collect();
        assert_eq!(verdict::run(&plan, &odd).violation, None, "seed {seed} without clients");
    }
}
