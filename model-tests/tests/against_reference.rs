//! The properties of [`elockd_model_tests::properties`], over as many random inputs as fit into a test run. A failure
//! shrinks to a few inputs.
//!
//! Each prints its seed and how many inputs it ran. See [`elockd_model_tests::runner`] for how to run more, or the same
//! again.

use elockd_core::probe::{Harness, Mark, take};
use elockd_model_tests::census::{Census, EXPECTED};
use elockd_model_tests::{properties, runner};

/// Prints what happened in the property that this thread has run. Fails if something in `expected`, or a mark that this
/// harness must reach, was too rare.
fn report(harness: Harness, expected: &[&'static str]) {
    let marks = Mark::ALL.into_iter().zip(take());
    let due = marks.filter(|(mark, _)| mark.harnesses().contains(&harness));
    let due: Vec<(&'static str, u64)> = due.map(|(mark, times)| (mark.doc(), times)).collect();
    Census::take().report(runner::inputs(), expected, &due);
}

#[test]
fn the_machine_agrees_with_the_reference() {
    let property = properties::the_machine_agrees_with_the_reference;
    runner::run("the_machine_agrees_with_the_reference", property as fn(_) -> _);
    report(Harness::Reference, &EXPECTED);
}

#[test]
fn extra_ticks_change_no_reply() {
    let property = properties::extra_ticks_change_no_reply;
    runner::run("extra_ticks_change_no_reply", property as fn(_, _) -> _);
}

#[test]
fn a_restored_machine_goes_on_like_the_original() {
    let property = properties::a_restored_machine_goes_on_like_the_original;
    runner::run("a_restored_machine_goes_on_like_the_original", property as fn(_, _) -> _);
}

#[test]
fn storage_and_hash_key_change_no_reply() {
    let property = properties::storage_and_hash_key_change_no_reply;
    runner::run("storage_and_hash_key_change_no_reply", property as fn(_, _) -> _);
}

#[test]
fn a_listing_amid_other_inputs_is_right() {
    let property = properties::a_listing_amid_other_inputs_is_right;
    runner::run("a_listing_amid_other_inputs_is_right", property as fn(_, _) -> _);
    let expected = [
        "a listing was done",
        "a listing took more than 2 inputs",
        "ls listed a registered connection",
        "some of what ls listed changed meanwhile, and some did not",
        "some of what was listed changed meanwhile, and some did not",
        "what ls listed as waited for was granted meanwhile",
        "what was listed changed meanwhile",
    ];
    report(Harness::Listings, &expected);
}

#[test]
fn damaged_snapshots_are_refused_or_sound() {
    let property = properties::damaged_snapshots_are_refused_or_sound;
    runner::run("damaged_snapshots_are_refused_or_sound", property as fn(_, _, _) -> _);
    let expected = [
        "a sound machine came of damaged bytes",
        "bytes were damaged",
        "bytes were no snapshot",
        "bytes were of another version",
        "bytes were unsound",
    ];
    report(Harness::Snapshots, &expected);
}

#[test]
fn raw_bytes_do_no_harm() {
    runner::run("raw_bytes_do_no_harm", properties::raw_bytes_do_no_harm as fn(_) -> _);
    let expected = [
        "a connection quit",
        "a line was too long",
        "a lock was asked for with a number",
        "a lock was named",
        "a verb was unknown",
        "an argument was bad",
        "something else was asked for",
    ];
    report(Harness::RawBytes, &expected);
}
