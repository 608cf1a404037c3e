//! What strangers can do to others: nothing. What they take: little, and bounded.

use super::{Guarded, expect, token};
use crate::support::{Client, PATIENCE, poll};
use std::io::ErrorKind;
use std::time::Duration;

/// Goal: strangers keep nobody from working. Method: they fill their limit, talk, guess and end in every way, while a
/// client gets and releases locks, another one logs in, and the figures are counted afterwards.
#[test]
fn a_flood_of_strangers_keeps_nobody_from_working() {
    let flags = ["--max-unauthenticated", "50", "--max-connections", "5"];
    let guarded = Guarded::start(&["web", "watch"], "", &flags);
    let mut web = guarded.client("web");
    let mut strangers: Vec<Client> = Vec::new();
    for round in 0..200 {
        let mut stranger = guarded.daemon.tcp();
        let said = match round % 4 {
            0 => "auth guess\n".to_owned(),
            1 => "g a\nls\nq full\nhelp\n".repeat(4),
            2 => " ".repeat(5000),
            _ => "auth ".to_owned() + &"x".repeat(4000),
        };
        // It may have been refused by now.
        let _ = stranger.try_send(said);
        strangers.push(stranger);
        if round % 3 == 0 {
            strangers.remove(0);
        }
        let name = format!("web {round}");
        expect(&mut web, &[(&*format!("g {name}"), &*format!("1 Lock Get Success: {name}"))]);
    }
    expect(&mut web, &[("ra", "200 Locks Released")]);
    drop(strangers);
    let mut watch = poll("room for one more", PATIENCE, || {
        let mut watch = guarded.daemon.tcp();
        watch.try_send(format!("auth {}\n", token("watch"))).ok()?;
        (watch.line() == "1 Auth Success: watch").then_some(watch)
    });
    poll("all strangers to be gone", PATIENCE, || (watch.figure("connections") == 2).then_some(()));
    let figures = watch.figures();
    assert_eq!((figures["locks"], figures["orphans"], figures["waiters"]), (0, 0, 0));
}

/// Goal: a stranger learns no name and no figure. Method: it says everything that others may say, and what it hears is
/// searched.
#[test]
fn a_stranger_learns_nothing() {
    let guarded = Guarded::start(&["web"], "", &[]);
    let mut web = guarded.client("web");
    expect(&mut web, &[("g classified", "1 Lock Get Success: classified"), ("iam agent", "1 ok")]);
    let requests = [
        "ls",
        "ls c",
        "d",
        "d classified",
        "sd",
        "dump",
        "dump shared",
        "who",
        "who agent",
        "q",
        "q full",
        "me",
        "i classified",
        "si classified",
        "ri classified",
        "wi classified",
        "g classified",
        "gw 1 classified",
        "r classified",
        "f classified",
        "iw 0 classified",
        "steal classified",
        "kick agent",
        "help",
        "auth classified",
    ];
    for request in requests {
        let mut stranger = guarded.daemon.tcp();
        stranger.send(format!("{request}\nquit\n"));
        let heard = String::from_utf8(stranger.rest()).unwrap();
        let is_harmless = |line: &str| {
            let help = ["auth TOKEN: ", "help: ", "ping: ", "quit: "];
            line.is_empty()
                || line == "0 Auth Required"
                || line == "0 Auth Failure"
                || help.iter().any(|word| line.starts_with(word))
        };
        assert!(heard.lines().all(is_harmless), "{request}: {heard}");
    }
    expect(
        &mut web,
        &[
            ("i classified", "1 Lock Is Locked: classified"),
            ("r classified", "1 Lock Release Success: classified"),
        ],
    );
}

/// Goal: a stranger takes at most 16 KiB of the daemon's memory. Method: as many as there may be send as much as they
/// may, and the daemon's memory is measured before and with them.
#[test]
fn a_stranger_takes_little_memory() {
    const STRANGERS: u64 = 500;
    let flags = ["--max-unauthenticated", "600", "--auth-timeout", "1h", "--threads", "1"];
    let guarded = Guarded::start(&["web"], "", &flags);
    let mut web = guarded.client("web");
    let fill = |count: u64| -> Vec<Client> {
        let mut strangers: Vec<_> = (0..count).map(|_| guarded.daemon.tcp()).collect();
        for stranger in &mut strangers {
            // Nearly all that it may send: half of it in answers that it does not read, the rest in a line without end.
            stranger.send("help\n".repeat(15));
            stranger.send(" ".repeat(4000));
        }
        strangers
    };
    // What the first ones need once is not theirs.
    drop(fill(20));
    expect(&mut web, &[("ping", "1 pong")]);
    let before = guarded.daemon.memory_kib();
    let strangers = fill(STRANGERS);
    expect(&mut web, &[("ping", "1 pong")]);
    let connections = || (strangers_of(&guarded) == STRANGERS).then_some(());
    poll("all of them to be there", PATIENCE, connections);
    let taken = guarded.daemon.memory_kib().saturating_sub(before);
    assert!(taken <= STRANGERS * 16, "{taken} KiB by {STRANGERS} strangers");
    assert!(taken >= STRANGERS, "they have sent what they may: {taken} KiB by {STRANGERS} strangers");
    drop(strangers);
}

fn strangers_of(guarded: &Guarded) -> u64 {
    // Two are this test's.
    guarded.client("web").figure("connections").saturating_sub(2)
}

#[test]
fn a_stranger_that_says_nothing_is_closed() {
    let guarded = Guarded::start(&["web"], "", &["--auth-timeout", "200ms"]);
    let mut web = guarded.client("web");
    let mut stranger = guarded.daemon.tcp();
    stranger.expect_end();
    let mut dripping = guarded.daemon.tcp();
    poll("a stranger that drips to be closed", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(20));
        match dripping.try_send("x") {
            Ok(()) => None,
            Err(error) => {
                let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(kinds.contains(&error.kind()), "{error}");
                Some(())
            }
        }
    });
    expect(&mut web, &[("ping", "1 pong")]);
}
