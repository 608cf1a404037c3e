//! One client cannot take everything: not the memory, and if the operator wants so, not the connections. What it took
//! comes back.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::net::{IpAddr, Ipv4Addr};
use support::{Client, Daemon, PATIENCE, poll};

/// A name of so many bytes, unlike all others.
fn name(number: usize, bytes: usize) -> String {
    format!("{number:x>bytes$}")
}

/// Says one line for each name, and reads the replies meanwhile. Returns how many did not begin with `1 `.
fn say(
    client: &mut Client,
    verb: &'static str,
    names: impl Iterator<Item = String> + Clone + Send + 'static,
) -> usize {
    let mut writer = client.twin();
    let lines = names.clone();
    let writing = std::thread::spawn(move || lines.for_each(|name| writer.send(format!("{verb} {name}\n"))));
    let mut failures = 0;
    for name in names {
        let reply = client.line();
        assert!(reply.ends_with(&name), "a reply has the name of its request");
        failures += usize::from(!reply.starts_with("1 "));
    }
    writing.join().unwrap();
    failures
}

#[test]
fn memory_is_given_out_up_to_its_limit_and_the_daemon_goes_on() {
    const NAMES: usize = 3_000;
    let daemon = Daemon::start(&["--max-memory", "4194304"]);
    let (mut greedy, mut other) = (daemon.tcp(), daemon.unix());
    // Two connections count 1,024 bytes each, and a lock with such a name 160, 16 and its length.
    let expected = NAMES - ((4 << 20) - 2 * 1024) / (160 + 16 + 4096);
    assert_eq!(say(&mut greedy, "g", (0..NAMES).map(|number| name(number, 4096))), expected);
    let figures = other.figures();
    assert_eq!(figures["memory_refused"], expected as u64);
    assert!(figures["peak_memory_bytes"] <= figures["limit_memory_bytes"], "{figures:?}");
    let long = name(0, 3000);
    assert_eq!(other.ask(&format!("iam {long}")), format!("0 Out Of Memory: {long}"));
    // All else goes on, and so does this once there is room.
    assert_eq!(other.ask(&format!("g {}", name(0, 4096))), format!("0 Lock Get Failure: {}", name(0, 4096)));
    assert_eq!(
        greedy.ask(&format!("r {}", name(0, 4096))),
        format!("1 Lock Release Success: {}", name(0, 4096))
    );
    assert_eq!(other.ask(&format!("iam {long}")), "1 ok");
}

#[test]
fn an_address_has_its_share_of_the_connections() {
    let daemon = Daemon::start(&["--max-connections-per-address", "2"]);
    let from = |last: u8| Client::tcp_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), daemon.tcp_address());
    let (mut first, mut second) = (from(1), from(1));
    assert_eq!((first.ask("ping"), second.ask("ping")), ("1 pong".to_owned(), "1 pong".to_owned()));
    let mut third = from(1);
    third.expect("0 Too Many Connections\n");
    third.expect_end();
    // Another address has a count of its own, and Unix sockets have none.
    assert_eq!(from(2).ask("ping"), "1 pong");
    for mut client in [daemon.unix(), daemon.unix(), daemon.unix()] {
        assert_eq!(client.ask("ping"), "1 pong");
    }
    let figures = second.figures();
    assert_eq!((figures["address_refused"], figures["peak_address_connections"]), (1, 2));
    assert_eq!((figures["connections_refused"], figures["limit_connections_per_address"]), (0, 2));
    // A place is free once a connection has ended.
    drop(first);
    poll("a place to be free", PATIENCE, || {
        let mut client = from(1);
        client.send("ping\n");
        Some(()).filter(|()| client.line() == "1 pong")
    });
}

/// Goal: memory of long names comes back, also if a few of them stay in use. Method: the resident memory of the daemon
/// is compared with what is in use.
#[test]
fn memory_of_long_names_comes_back() {
    const NAMES: usize = 20_000;
    const BYTES: usize = 4096;
    let daemon = Daemon::start(&["--max-locks-per-connection", "20000"]);
    let mut client = daemon.unix();
    for every in [1000, usize::MAX] {
        assert_eq!(say(&mut client, "g", (0..NAMES).map(|number| name(number, BYTES))), 0);
        assert!(daemon.memory_kib() as usize >= NAMES * BYTES / 1024, "the names are in memory");
        let goes = move |number: &usize| !number.is_multiple_of(every) || every == usize::MAX;
        assert_eq!(say(&mut client, "r", (0..NAMES).filter(goes).map(|number| name(number, BYTES))), 0);
        let live = (0..NAMES).filter(|number| !goes(number)).count() * BYTES / 1024;
        assert_eq!(client.figure("locks") as usize * BYTES / 1024, live);
        let most = (live * 3 / 2 + (32 << 10)) as u64;
        poll("memory to come back", PATIENCE, || Some(()).filter(|()| daemon.memory_kib() <= most));
    }
}
