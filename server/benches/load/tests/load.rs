//! The load generator against servers of a few lines. It must count right, and find every wrong reply.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_load::{Caller, ECHO_REPLY, Grip, Load, LoadError, Protocol, Scenario, Target};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::Duration;

/// Starts a server. It answers each line with what `answer` returns for the connection's number and the line. It ends
/// with the test's process.
fn serve(protocol: Protocol, answer: impl Fn(usize, &str) -> Vec<u8> + Send + Sync + 'static) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            spawn(move || serve_one(stream, |line| answer(number, line)));
        }
    });
    Target { address, protocol }
}

/// Ends when the connection ends, for whatever reason.
fn serve_one(mut stream: TcpStream, answer: impl Fn(&str) -> Vec<u8>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    for line in BufReader::new(stream.try_clone().ok()?).lines() {
        stream.write_all(&answer(&line.ok()?)).ok()?;
    }
    Some(())
}

/// A lock server that knows only `g` and `r`. It does not release locks at the end of a connection.
fn locks() -> impl Fn(usize, &str) -> Vec<u8> + Send + Sync {
    let held: Mutex<BTreeMap<String, usize>> = Mutex::default();
    move |number, line| {
        let mut held = held.lock().unwrap();
        let (verb, name) = line.split_once(' ').unwrap();
        let reply = match (verb, held.get(name).copied()) {
            ("g", None) => {
                held.insert(name.to_owned(), number);
                "1 Lock Get Success"
            }
            ("g", Some(holder)) if holder == number => "1 Lock Get Success",
            ("g", Some(_)) => "0 Lock Get Failure",
            ("r", Some(holder)) if holder == number => {
                held.remove(name);
                "1 Lock Release Success"
            }
            _ => "0 Lock Release Failure",
        };
        format!("{reply}: {name}\n").into_bytes()
    }
}

fn load(scenario: Scenario, depth: usize) -> Load {
    let (warm_up, measured) = (Duration::from_millis(10), Duration::from_millis(50));
    Load { scenario, connections: 5, depth, warm_up, measured }
}

/// Goal: every scenario of these two protocols ends, and measures something.
#[test]
fn right_replies_are_counted() {
    for (scenario, depth) in [
        (Scenario::Uncontended, 1),
        (Scenario::Uncontended, 8),
        (Scenario::Fresh, 1),
        (Scenario::Fresh, 8),
        (Scenario::Reconnect, 1),
    ] {
        for target in [serve(Protocol::Echo, |_, _| ECHO_REPLY.to_vec()), serve(Protocol::Elockd, locks())] {
            let mut edges = 0;
            let report = load(scenario, depth).run(target, &mut |_| edges += 1).unwrap();
            assert!(report.operations > 0 && report.total >= report.operations, "{scenario:?} {target:?}");
            assert!(report.latency_us(0.5) > 0.0 && report.rate() > 0.0, "{scenario:?} {target:?}");
            assert_eq!(edges, 2, "{scenario:?} {target:?}");
        }
    }
    let report = load(Scenario::Fight, 1).run(serve(Protocol::Elockd, locks()), &mut |_| {}).unwrap();
    assert!(report.operations > 0);
    let echo = serve(Protocol::Echo, |_, _| ECHO_REPLY.to_vec());
    assert!(load(Scenario::Token, 1).run(echo, &mut |_| {}).unwrap().operations > 0);
}

/// A fake of etcd's gateway. It always gives the same answers to a transaction and to a deletion.
fn gateway(put: &'static str, deleted: &'static str) -> impl Fn(usize, &str) -> Vec<u8> + Send + Sync {
    move |_, line| {
        // A body has no line end, so the next request's first line is on the same line behind it.
        let body = match line.rsplit_once("POST ").map(|(_, what)| what) {
            Some("/v3/kv/txn HTTP/1.1") => put,
            Some("/v3/kv/deleterange HTTP/1.1") => deleted,
            _ => return Vec::new(),
        };
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}

/// Goal: a reply of etcd passes if and only if it says that the key was put or deleted, whatever else it says.
#[test]
fn responses_have_to_say_what_was_done() {
    let put = r#"{"header":{"revision":"7"},"succeeded":true}"#;
    let deleted = r#"{"header":{"revision":"8"},"deleted":"1"}"#;
    let nothing = r#"{"header":{"revision":"8"}}"#;
    let run = |put, deleted| {
        load(Scenario::Uncontended, 1).run(serve(Protocol::Etcd, gateway(put, deleted)), &mut |_| {})
    };
    assert!(run(put, deleted).unwrap().operations > 0);
    for failed in [run(nothing, deleted), run(put, nothing)] {
        assert!(matches!(failed, Err(LoadError::Wrong { .. })), "{failed:?}");
    }
}

/// Goal: wrong servers are found: one that grants a lock to two but releases it only for one, and one that says too
/// little or too much.
#[test]
fn wrong_replies_end_the_run() {
    let everybody_wins = |_: usize, line: &str| {
        let (verb, name) = line.split_once(' ').unwrap();
        let reply = if verb == "g" { "1 Lock Get Success" } else { "0 Lock Release Failure" };
        format!("{reply}: {name}\n").into_bytes()
    };
    let failed = load(Scenario::Fight, 1).run(serve(Protocol::Elockd, everybody_wins), &mut |_| {});
    assert!(matches!(failed, Err(LoadError::Wrong { .. })), "{failed:?}");
    let twice = |_: usize, _: &str| ECHO_REPLY.repeat(2);
    let failed = load(Scenario::Uncontended, 1).run(serve(Protocol::Echo, twice), &mut |_| {});
    assert!(matches!(failed, Err(LoadError::Wrong { .. })), "{failed:?}");
    let failed = load(Scenario::Token, 1).run(serve(Protocol::Elockd, locks()), &mut |_| {});
    assert!(matches!(failed, Err(LoadError::NoSuchScenario { .. })), "{failed:?}");
}

/// Goal: a server that breaks the order of the line is found: two connections swap places between rounds.
#[test]
fn a_turn_out_of_order_ends_the_run() {
    // Grants everything at once, so the order is that in which threads happen to run.
    let at_once = |_: usize, line: &str| match line.split_once(' ').unwrap() {
        ("gw", rest) => format!("1 Lock Get Success: {}\n", rest.split_once(' ').unwrap().1).into_bytes(),
        (_, name) => format!("1 Lock Release Success: {name}\n").into_bytes(),
    };
    let failed = load(Scenario::LineTurns, 1).run(serve(Protocol::Elockd, at_once), &mut |_| {});
    assert!(matches!(failed, Err(LoadError::OutOfTurn { .. })), "{failed:?}");
}

#[test]
fn a_caller_holds_what_it_asked_for() {
    let target = serve(Protocol::Elockd, locks());
    let mut caller = Caller::connect(target).unwrap();
    caller.hold(0..1_000, Grip::Exclusive).unwrap();
    let mut other = Caller::connect(target).unwrap();
    assert!(matches!(other.hold(999..1_001, Grip::Exclusive), Err(LoadError::Wrong { .. })));
    assert!(other.get_and_release(1_001).is_ok());
}
