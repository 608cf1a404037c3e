//! Goal: what runs properties says what is needed, when one fails and when one never ends. Method: such properties,
//! each in a process of its own, and what that process prints.

use elockd_model_tests::{Outcome, runner};
use std::process::{Command, Output};

/// The environment variable without which the properties below are not run.
const VICTIM: &str = "ELOCKD_TEST_VICTIM";

/// Runs a test of this file that is ignored otherwise, in a process of its own.
fn run(test: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    command.args(["--ignored", "--exact", test]).env(VICTIM, "1");
    command.env("ELOCKD_QUICKCHECK_SEED", "42").env("ELOCKD_QUICKCHECK_PATIENCE", "1");
    command.output().expect("a test can be run")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn never_ends(number: u8) -> bool {
    runner::ran(1);
    loop {
        if number < 4 {
            return true;
        }
        std::thread::yield_now();
    }
}

fn fails(number: u8) -> Outcome {
    runner::ran(1);
    if number > 3 { Err("too much".to_owned()) } else { Ok(()) }
}

#[test]
#[ignore = "it never ends; another test runs it"]
fn a_property_that_never_ends() {
    if std::env::var_os(VICTIM).is_some() {
        runner::run("never_ends", never_ends as fn(_) -> _);
    }
}

#[test]
#[ignore = "it fails; another test runs it"]
fn a_property_that_fails() {
    if std::env::var_os(VICTIM).is_some() {
        runner::run("fails", fails as fn(_) -> _);
    }
}

#[test]
fn a_property_that_never_ends_is_ended_and_its_seed_is_printed() {
    let output = run("a_property_that_never_ends");
    assert!(!output.status.success(), "{output:?}");
    let told = told(&output);
    assert!(told.contains("it does not end. never_ends failed. Again: ELOCKD_QUICKCHECK_SEED=42 "), "{told}");
}

#[test]
fn a_property_that_fails_prints_how_to_see_it_again() {
    let output = run("a_property_that_fails");
    assert!(!output.status.success(), "{output:?}");
    let told = told(&output);
    assert!(told.contains("fails failed. Again: ELOCKD_QUICKCHECK_SEED=42 "), "{told}");
    assert!(!told.contains("does not end"), "{told}");
}
