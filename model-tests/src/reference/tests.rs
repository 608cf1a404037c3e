//! The contract's own examples, by hand: what each input gives, told line by line. They are for the reference
//! itself, so that it is not only right by agreeing with what is held against it.

use super::Reference;
use crate::generate::origin;
use crate::lines::commands;
use crate::observe::Event;
use elockd_core::{Account, Cause, Command, Config, Conn, Input, Now};

/// Plays a script: what happens, and what is said then. `+1` opens connection 1, `+1!` as an operator's; `-1`
/// is its FIN and `-1!` its failure; `1 g a` is a line of it; `@5 ` before it is the time.
fn play(config: Config, script: &[(&str, &str)]) -> Reference {
    let mut reference = Reference::new(config);
    for (at, (what, expected)) in script.iter().enumerate() {
        let (time, input) = match what.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
            Some((time, input)) => (time.parse().unwrap(), input),
            None => (0, *what),
        };
        let events = reference.apply(Now(time), &input_of(input));
        let told: Vec<String> = events.iter().map(shown).collect();
        assert_eq!(told.join("; "), *expected, "line {at}: {what}");
    }
    reference
}

fn input_of(text: &str) -> Input<Command<Vec<u8>>> {
    let (first, rest) = text.split_at(1);
    let serial = || rest.trim_end_matches('!').parse().unwrap();
    let is_special = rest.ends_with('!');
    match first {
        "+" => {
            let account = if is_special { Account::ADMIN.0 } else { 0 };
            Input::Opened(Conn::new(0, serial()), origin(serial(), account))
        }
        "-" => Input::Closed(Conn::new(0, serial()), if is_special { Cause::Error } else { Cause::Eof }),
        _ if text == "tick" => Input::Tick,
        _ if text == "drain" => Input::Drain,
        _ if text.starts_with("tokens ") => {
            let (first, last) = text["tokens ".len()..].split_once(' ').unwrap();
            Input::Tokens { first: first.parse().unwrap(), last: last.parse().unwrap() }
        }
        _ => {
            let (serial, line) = text.split_once(' ').unwrap();
            let command = commands(format!("{line}\n").as_bytes(), 100).remove(0);
            Input::Command(Conn::new(0, serial.parse().unwrap()), command)
        }
    }
}

fn shown(event: &Event) -> String {
    match event {
        Event::Sent(conn, text) => {
            format!("{}: {}", conn.serial(), String::from_utf8_lossy(text).trim_end().replace('\n', " | "))
        }
        Event::Waits(conn) => format!("{} waits", conn.serial()),
        Event::Disconnected(conn, reason, _) => format!("{} closed: {reason:?}", conn.serial()),
    }
}

/// What `q full` says of some keys.
fn figures(reference: &Reference, keys: &[&str]) -> Vec<String> {
    let text = String::from_utf8(reference.figures(true)).unwrap();
    let line = |key: &&str| text.lines().find_map(|line| line.strip_prefix(&format!("{key}: "))).unwrap();
    keys.iter().map(line).map(str::to_owned).collect()
}

const OPEN_3: [(&str, &str); 3] = [("+1", ""), ("+2", ""), ("+3", "")];

fn play_3(script: &[(&str, &str)]) -> Reference {
    play(Config::default(), &[&OPEN_3, script].concat())
}

#[test]
fn first_come_is_first_served() {
    let reference = play_3(&[
        ("1 gw 5 a", "1: 1 Lock Get Success: a"),
        ("1 gw 5 a", "1: 1 Lock Get Success: a"),
        ("2 gw 0 a", "2: 0 Lock Get Timeout: a"),
        ("2 gw 5 a", "2 waits"),
        ("3 gw 5 a", "3 waits"),
        ("2 ping", ""),
        ("1 r a", "1: 1 Lock Release Success: a; 2: 1 Lock Get Success: a"),
        ("1 g a", "1: 0 Lock Get Failure: a"),
        ("2 quit", "2 closed: Quit; 3: 1 Lock Get Success: a"),
    ]);
    let counted = figures(&reference, &["waits", "waits_granted", "ignored_inputs", "failed_gw", "orphans"]);
    assert_eq!(counted, ["2", "2", "1", "1", "1"]);
}

#[test]
fn what_is_due_ends_oldest_deadline_first_and_before_the_input() {
    let reference = play_3(&[
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("2 gw 5 a", "2 waits"),
        ("@1 3 gw 2 a", "3 waits"),
        ("@2 tick", ""),
        ("@5 1 r a", "3: 0 Lock Get Timeout: a; 2: 0 Lock Get Timeout: a; 1: 1 Lock Release Success: a"),
    ]);
    assert_eq!(reference.waited().iter().map(|(_, ms)| *ms).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(figures(&reference, &["waits_timed_out", "longest_wait_ms", "peak_waiters"]), ["2", "0", "2"]);
}

#[test]
fn limits_let_in_and_keep_out() {
    play(
        Config::default(),
        &[
            &OPEN_3[..],
            &[
                ("+4", ""),
                ("+5", ""),
                ("1 sgl 2 s", "1: 1 Shared Lock Get Success: s"),
                ("2 sgl 1 s", "2: 0 Shared Lock Get Failure: s"),
                ("2 sgl 2 s", "2: 2 Shared Lock Get Success: s"),
                ("1 sgl 1 s", "1: 2 Shared Lock Get Success: s"),
                ("3 sgw 9 1 s", "3 waits"),
                ("4 sgl 0 s", "4: 0 Shared Lock Get Failure: s"),
                ("4 sgw 99 0 s", "4 waits"),
                ("5 sg s", "5: 3 Shared Lock Get Success: s"),
                ("1 sr s", "1: 1 Shared Lock Release Success: s"),
                ("1 sgw 99 3 s", "1 waits"),
                // A head that times out lets those behind it in.
                ("@9 tick", "3: 0 Shared Lock Get Timeout: s; 4: 3 Shared Lock Get Success: s"),
                ("@9 5 sr s", "5: 1 Shared Lock Release Success: s; 1: 3 Shared Lock Get Success: s"),
            ],
        ]
        .concat(),
    );
}

#[test]
fn grants_of_one_input_come_in_the_order_of_the_beginnings() {
    let opened: Vec<(String, &str)> = (1..=6).map(|serial| (format!("+{serial}"), "")).collect();
    let opened: Vec<(&str, &str)> = opened.iter().map(|(text, told)| (&text[..], *told)).collect();
    let script = [
        ("1 g b", "1: 1 Lock Get Success: b"),
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("1 sgl 1 a", "1: 1 Shared Lock Get Success: a"),
        ("2 sgw 9 2 a", "2: 2 Shared Lock Get Success: a"),
        ("3 sgw 9 1 a", "3 waits"),
        ("4 gw 9 b", "4 waits"),
        ("5 gw 9 a", "5 waits"),
        ("6 sgw 9 9 a", "6 waits"),
        ("2 ra", "2: 1 Locks Released"),
        (
            "1 ra",
            "1: 3 Locks Released; 3: 1 Shared Lock Get Success: a; 4: 1 Lock Get Success: b; \
             5: 1 Lock Get Success: a; 6: 2 Shared Lock Get Success: a",
        ),
        ("1 ra", "1: 0 Locks Released"),
    ];
    let reference = play(Config::default(), &[&opened[..], &script].concat());
    let counted =
        figures(&reference, &["released_together", "shared_released_together", "failed_ra", "orphans"]);
    assert_eq!(counted, ["2", "2", "1", "0"]);
}

#[test]
fn a_circle_of_exclusive_locks_is_a_deadlock() {
    let reference = play_3(&[
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("2 g b", "2: 1 Lock Get Success: b"),
        ("3 g c", "3: 1 Lock Get Success: c"),
        ("1 gw 9 b", "1 waits"),
        ("2 gw 9 c", "2 waits"),
        ("3 gw 0 a", "3: 0 Lock Get Timeout: a"),
        ("3 gw 1 a", "3: 0 Lock Get Deadlock: a"),
        ("3 r c", "3: 1 Lock Release Success: c; 2: 1 Lock Get Success: c"),
        ("3 gw 1 a", "3 waits"),
    ]);
    assert_eq!(figures(&reference, &["deadlocks_refused", "failed_gw", "waits"]), ["1", "2", "3"]);
}

#[test]
fn a_circle_may_be_harmless_and_a_live_holder_not_enough() {
    play_3(&[
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("1 sg s", "1: 1 Shared Lock Get Success: s"),
        ("2 sg s", "2: 2 Shared Lock Get Success: s"),
        ("3 gw 9 a", "3 waits"),
        ("+4", ""),
        ("4 g b", "4: 1 Lock Get Success: b"),
        ("2 gw 9 b", "2 waits"),
        // Of 1 and 2, who hold s, one is enough for 2; 1 is live.
        ("4 sgw 9 2 s", "4 waits"),
        ("+5", ""),
        ("5 sgw 9 1 s", "5 waits"),
    ]);
    play_3(&[
        ("1 sg s", "1: 1 Shared Lock Get Success: s"),
        ("2 sg s", "2: 2 Shared Lock Get Success: s"),
        ("3 g b", "3: 1 Lock Get Success: b"),
        ("2 gw 9 b", "2 waits"),
        // 1 could release it, but for a limit of 1 both have to, and 2 waits for 3.
        ("3 sgw 9 1 s", "3: 0 Shared Lock Get Deadlock: s"),
        ("3 sgw 9 2 s", "3 waits"),
    ]);
}

#[test]
fn who_is_ahead_in_line_can_be_what_a_deadlock_is_made_of() {
    play_3(&[
        ("+4", ""),
        ("1 sg s", "1: 1 Shared Lock Get Success: s"),
        ("2 g b", "2: 1 Lock Get Success: b"),
        ("1 gw 9 b", "1 waits"),
        ("3 sgw 9 1 s", "3 waits"),
        // There is room for two, but 3 is ahead, wants to be alone, and waits for 1, who waits for 2.
        ("2 sgw 9 2 s", "2: 0 Shared Lock Get Deadlock: s"),
        ("4 sgw 9 2 s", "4 waits"),
    ]);
}

#[test]
fn a_queue_is_full_for_a_name_or_for_an_account() {
    let mut config = Config::default();
    config.limits.waiters = 2;
    config.limits.waiters_per_name = 1;
    let script = [
        ("+4", ""),
        ("+5!", ""),
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("1 sg a", "1: 1 Shared Lock Get Success: a"),
        ("2 gw 9 a", "2 waits"),
        ("3 gw 9 a", "3: 0 Lock Get Queue Full: a"),
        ("3 sgw 9 1 a", "3 waits"),
        ("1 g b", "1: 1 Lock Get Success: b"),
        ("4 gw 9 b", "4: 0 Lock Get Queue Full: b"),
        ("5 gw 9 b", "5 waits"),
    ];
    let reference = play(config, &[&OPEN_3[..], &script].concat());
    assert_eq!(figures(&reference, &["queue_full", "waiters", "shared_waiters"]), ["2", "2", "1"]);
}

#[test]
fn a_wait_reserves_its_hold() {
    let mut config = Config::default();
    config.limits.locks = 2;
    let script = [
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("2 gw 9 a", "2 waits"),
        ("3 gw 9 a", "3: 0 Too Many Locks: a"),
        ("3 sg s", "3: 0 Too Many Locks: s"),
        ("1 r a", "1: 1 Lock Release Success: a; 2: 1 Lock Get Success: a"),
        ("3 sg s", "3: 1 Shared Lock Get Success: s"),
    ];
    let reference = play(config, &[&OPEN_3[..], &script].concat());
    assert_eq!(figures(&reference, &["locks_refused", "peak_holds"]), ["2", "2"]);
}

#[test]
fn the_end_of_who_waits_is_told_after_a_fin_only() {
    play_3(&[
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("2 g b", "2: 1 Lock Get Success: b"),
        ("2 gw 9 a", "2 waits"),
        ("3 gw 9 b", "3 waits"),
        ("-2", "2: 0 Lock Get Timeout: a; 3: 1 Lock Get Success: b"),
        ("3 gw 9 a", "3 waits"),
        ("-3!", ""),
        ("1 r a", "1: 1 Lock Release Success: a"),
    ]);
}

#[test]
fn a_drain_answers_every_wait_and_grants_nothing() {
    let reference = play_3(&[
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("1 g b", "1: 1 Lock Get Success: b"),
        ("2 gw 9 b", "2 waits"),
        ("3 gw 9 a", "3 waits"),
        ("drain", "2: 0 Shutting Down; 3: 0 Shutting Down"),
        ("drain", ""),
        ("1 gw 9 a", "1: 0 Shutting Down"),
        ("1 gw x a", "1: 0 Bad Argument: gw"),
        ("1 sgl 0 s", "1: 0 Shutting Down"),
        ("1 r a", "1: 1 Lock Release Success: a"),
    ]);
    assert_eq!(figures(&reference, &["waits_drained", "failed_gw", "failed_sgl"]), ["2", "3", "1"]);
}

#[test]
fn who_waits_is_not_idle() {
    let mut config = Config::default();
    config.limits.idle_ms = 3;
    let script = [
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("2 gw 5 a", "2 waits"),
        ("@2 1 ping", "1: 1 pong"),
        ("@2 3 ping", "3: 1 pong"),
        ("@4 1 ping", "1: 1 pong"),
        ("@5 tick", "2: 0 Lock Get Timeout: a; 3 closed: Idle"),
        ("@5 2 gw 9 a", "2 waits"),
        // The holder's silence grants.
        ("@7 tick", "1 closed: Idle; 2: 1 Lock Get Success: a"),
        ("@9 tick", ""),
        ("@10 tick", "2 closed: Idle"),
    ];
    play(config, &[&OPEN_3[..], &script].concat());
}

#[test]
fn a_token_stays_with_its_hold() {
    let reference = play_3(&[
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("1 f a", "1: 0 No Tokens"),
        ("2 f a", "2: 0 Lock Not Held: a"),
        ("1 sg s", "1: 1 Shared Lock Get Success: s"),
        ("1 f s", "1: 0 Lock Not Held: s"),
        ("tokens 0 2", ""),
        ("1 f a", "1: 1 Lock Fence: a"),
        ("1 f a", "1: 1 Lock Fence: a"),
        ("1 g b", "1: 1 Lock Get Success: b"),
        ("2 gw 9 a", "2 waits"),
        ("1 r a", "1: 1 Lock Release Success: a; 2: 1 Lock Get Success: a"),
        ("2 f a", "2: 2 Lock Fence: a"),
        ("1 f b", "1: 0 No Tokens"),
        ("2 f a", "2: 2 Lock Fence: a"),
        ("tokens 1 2", ""),
        ("1 f b", "1: 0 No Tokens"),
        ("tokens 2 4", ""),
        ("1 f b", "1: 3 Lock Fence: b"),
        // There is a gap before 7: what was left is dropped.
        ("tokens 7 8", ""),
        ("1 g c", "1: 1 Lock Get Success: c"),
        ("1 f c", "1: 7 Lock Fence: c"),
        ("tokens 9007199254740991 18446744073709551615", ""),
        ("1 g d", "1: 1 Lock Get Success: d"),
        ("1 f d", "1: 9007199254740991 Lock Fence: d"),
    ]);
    assert_eq!(figures(&reference, &["tokens_given", "tokens_left", "failed_f"]), ["5", "0", "5"]);
}

#[test]
fn operators_kick_and_steal() {
    let reference = play_3(&[
        ("+4!", ""),
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("2 gw 9 a", "2 waits"),
        ("3 gw 9 a", "3 waits"),
        ("1 steal a", "1: 0 Not Allowed: steal"),
        ("1 kick unix:3", "1: 0 Not Allowed: kick"),
        ("4 steal b", "4: 0 Lock Steal Failure: b"),
        ("4 steal a", "4: 1 Lock Steal Success: a; 2: 1 Lock Get Success: a"),
        ("1 r a", "1: 0 Lock Release Failure: a"),
        ("4 kick unix:03", "4: 0 Kick Failure: unix:03"),
        ("4 kick unix:3", "4: 1 Kick Success: unix:3; 3 closed: Kicked"),
        ("1 gw 9 a", "1 waits"),
        ("4 kick [::1]:1026", "4: 1 Kick Success: [::1]:1026; 2 closed: Kicked; 1: 1 Lock Get Success: a"),
        ("4 kick 127.0.0.1:1028", "4: 1 Kick Success: 127.0.0.1:1028; 4 closed: Kicked"),
    ]);
    let counted = figures(&reference, &["closed_kicked", "failed_kick", "failed_steal", "waits_granted"]);
    assert_eq!(counted, ["3", "2", "2", "2"]);
}

#[test]
fn operators_have_no_limit_of_connections_and_all_listings() {
    let mut config = Config::default();
    config.limits.connections = 1;
    config.features.dump = false;
    play(
        config,
        &[
            ("+1!", ""),
            ("+2!", ""),
            ("+3", ""),
            ("+4", "4 closed: TooManyConnections"),
            ("3 ls", "3: 0 disabled"),
            ("3 g a", "3: 1 Lock Get Success: a"),
            ("@2 1 ls", "1: x 2 0 unix:3 a"),
        ],
    );
}

#[test]
fn everything_is_listed_by_name_and_kind() {
    play_3(&[
        ("3 sg ab", "3: 1 Shared Lock Get Success: ab"),
        ("@1 1 sg ab", "1: 2 Shared Lock Get Success: ab"),
        ("@1 1 g ab", "1: 1 Lock Get Success: ab"),
        ("@1 1 g b", "1: 1 Lock Get Success: b"),
        ("@2 2 gw 9 ab", "2 waits"),
        ("@3 3 gw 9 ab", "3 waits"),
        (
            "@5 1 ls a",
            "1: x 4 2 127.0.0.1:1025 ab | xw 3 2 [::1]:1026 ab | xw 2 2 unix:3 ab | s 5 0 unix:3 ab | \
             s 4 0 127.0.0.1:1025 ab",
        ),
        ("@5 1 ls b", "1: x 4 0 127.0.0.1:1025 b"),
        ("@5 1 ls c", "1: "),
    ]);
}

#[test]
fn a_deadlock_by_the_definition_is_one_that_nobody_gets_out_of() {
    let reference = play_3(&[
        ("1 g a", "1: 1 Lock Get Success: a"),
        ("2 sg s", "2: 1 Shared Lock Get Success: s"),
        ("1 sgw 9 1 s", "1 waits"),
    ]);
    let stuck = |serial, kind, name: &str, limit| {
        reference.is_stuck_whatever_others_do(Conn::new(0, serial), kind, name.as_bytes(), limit)
    };
    let (x, s) = (elockd_core::Kind::Exclusive, elockd_core::Kind::Shared);
    assert!(stuck(2, x, "a", 1), "2 holds what 1 waits for");
    assert!(!stuck(3, x, "a", 1) && !stuck(3, s, "s", 2));
}
