//! Tests of what the reference answers to other code, beside its replies. The scripts of `model-tests/examples/` show
//! its replies. So the reference is not right only by agreeing with the machine.

use super::Reference;
use crate::generate::origin;
use crate::lines::commands;
use elockd_core::{Config, Conn, Input, Kind, Now};

/// A reference with three open connections that have sent these lines.
fn after(script: &[(u64, &str)]) -> Reference {
    let mut reference = Reference::new(Config::default());
    for serial in 1..=3 {
        reference.apply(Now(0), &Input::Opened(Conn::new(0, serial), origin(serial, 0)));
    }
    for (serial, line) in script {
        let command = commands(format!("{line}\n").as_bytes(), 100).remove(0);
        reference.apply(Now(0), &Input::Command(Conn::new(0, *serial), command));
    }
    reference
}

#[test]
fn a_deadlock_by_the_definition_is_one_that_nobody_gets_out_of() {
    let reference = after(&[(1, "g a"), (2, "sg s"), (1, "sgw 9 1 s")]);
    let stuck = |serial, kind, name: &str, limit| {
        reference.is_stuck_whatever_others_do(Conn::new(0, serial), kind, name.as_bytes(), Some(limit))
    };
    assert!(stuck(2, Kind::Exclusive, "a", 1), "2 holds what 1 waits for");
    assert!(!stuck(3, Kind::Exclusive, "a", 1) && !stuck(3, Kind::Shared, "s", 2));
}

#[test]
fn how_long_waits_and_holds_lasted_is_kept() {
    let mut reference = after(&[(1, "g a"), (2, "gw 5 a"), (3, "gw 2 a")]);
    assert_eq!(reference.due(), Some(Now(2)));
    reference.apply(Now(2), &Input::Tick);
    reference.apply(Now(4), &Input::Command(Conn::new(0, 1), elockd_core::Command::ReleaseAll));
    let waited: Vec<u64> = reference.waited().iter().map(|(_, ms)| *ms).collect();
    assert_eq!((waited, reference.over()), (vec![2, 4], &[(Kind::Exclusive, 4)][..]));
}
