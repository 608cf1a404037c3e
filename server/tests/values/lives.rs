//! The lives. In each of them some things happen in numbers of their own.

use super::ledger::{Life, memory_of, of_kind};
use crate::support::{Client, Daemon, PATIENCE, poll};
use elockd_core::{Cause, Kind};
use elockd_server::access::{TokenDigest, TokenFile};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

const EXCLUSIVE: Kind = Kind::Exclusive;
const SHARED: Kind = Kind::Shared;
const READ: Kind = Kind::Read;
const WRITE: Kind = Kind::Write;

/// How often each verb succeeds and fails in all, in the life in which everything goes on. Two numbers are the same
/// only where both are 0.
const COMMANDS: [(&str, u64, u64); 40] = [
    ("d", 401, 0),
    ("dump", 409, 0),
    ("f", 419, 421),
    ("g", 941, 433),
    ("gw", 439, 443),
    ("help", 449, 0),
    ("i", 457, 461),
    ("iam", 463, 0),
    ("iw", 853, 857),
    ("kick", 5, 467),
    ("linger", 877, 881),
    ("ls", 479, 0),
    ("me", 487, 0),
    ("ping", 491, 0),
    ("q", 499, 0),
    ("quit", 7, 0),
    ("r", 503, 509),
    ("ra", 10, 521),
    ("resume", 883, 887),
    ("rf", 701, 709),
    ("rg", 1301, 719),
    ("rgw", 727, 733),
    ("ri", 739, 743),
    ("rr", 751, 757),
    ("sd", 523, 0),
    ("sf", 761, 769),
    ("sg", 947, 17),
    ("sgl", 557, 563),
    ("sgw", 569, 571),
    ("si", 577, 587),
    ("siw", 859, 863),
    ("sr", 593, 599),
    ("steal", 8, 601),
    ("wf", 773, 787),
    ("wg", 1319, 797),
    ("wgw", 809, 811),
    ("who", 607, 0),
    ("wi", 821, 823),
    ("wr", 827, 829),
    ("wsteal", 9, 839),
];

/// Gets a lock that has this many holders then.
fn get(life: &mut Life, client: &mut Client, kind: Kind, name: &str, holders: u64) {
    let (verb, words) = match kind {
        EXCLUSIVE => ("g", "Lock"),
        SHARED => ("sg", "Shared Lock"),
        READ => ("rg", "Read Lock"),
        WRITE => ("wg", "Write Lock"),
    };
    life.ask(client, 1, &format!("{verb} {name}"), &format!("{holders} {words} Get Success: {name}"));
    life.got(kind, name, holders);
}

fn release(life: &mut Life, client: &mut Client, kind: Kind, name: &str, holders: u64) {
    let (verb, words) = match kind {
        EXCLUSIVE => ("r", "Lock"),
        SHARED => ("sr", "Shared Lock"),
        READ => ("rr", "Read Lock"),
        WRITE => ("wr", "Write Lock"),
    };
    life.ask(client, 1, &format!("{verb} {name}"), &format!("1 {words} Release Success: {name}"));
    life.lost(kind, name, holders);
}

/// Gets locks that nobody holds.
fn get_all(life: &mut Life, client: &mut Client, kind: Kind, prefix: &str, count: u64) {
    (0..count).for_each(|at| get(life, client, kind, &format!("{prefix}{at}"), 1));
}

/// What a connection held alone is orphaned.
fn orphaned(life: &mut Life, kind: Kind, prefix: &str, count: u64) {
    (0..count).for_each(|at| life.orphaned(kind, &format!("{prefix}{at}"), 1));
}

/// A name of 4,000 bytes and some.
fn long_name(at: u64) -> String {
    format!("{at:03}{}", "x".repeat(4000))
}

/// A life in which everything happens but what the other lives are for: what it comes to, and what its shutdown does.
pub(crate) fn busy() -> [BTreeMap<String, u64>; 2] {
    let limits = [
        ("max-connections", 53),
        ("max-locks-per-connection", 173),
        ("max-waiters-per-name", 4),
        ("max-name-bytes", 4099),
    ];
    let patient = ["--shutdown-timeout", "1h"];
    let mut life = Life::start(&limits, |own| Daemon::start(&[own, &patient].concat()));
    let life = &mut life;
    let mut operator = life.operator();

    // Holds, with names of one byte to thousands, up to the limit of one connection.
    let mut hoarder = life.unix();
    (0..150).for_each(|at| get(life, &mut hoarder, EXCLUSIVE, &long_name(at), 1));
    get_all(life, &mut hoarder, SHARED, "h", 23);
    life.ask(&mut hoarder, 11, "g more", "0 Too Many Locks: more");
    life.ask(&mut hoarder, 17, "sg more", "0 Too Many Locks: more");
    *life.ledger.at("locks_refused") += 28;
    *life.ledger.at("peak_connection_holds") = 173;
    let mut other = life.tcp();
    get_all(life, &mut other, EXCLUSIVE, "o", 33);
    let mut sharers = [life.unix(), life.tcp(), life.unix()];
    for (client, holders) in sharers.iter_mut().zip(1..) {
        (0..13).for_each(|at| get(life, client, SHARED, &format!("s{at}"), holders));
    }

    tokens(life, &mut other);
    let waiting = waits(life, &mut other, &mut sharers[0]);
    ends(life, &mut operator);
    let readers = readers_and_writers(life, &mut operator);
    let mut heir = lingering(life);

    let mut filler = life.unix();
    life.invalid(&mut filler, 40, "bogus", "0 Unknown Command: bogus");
    life.invalid(&mut filler, 1, "gw x", "0 Bad Argument: gw");
    fill_up(life, &mut filler, &mut operator, &mut heir);

    // More connections than are allowed. Those of operators do not count.
    let mut stuck = life.unix();
    let mut silent: Vec<Client> = Vec::new();
    while *life.ledger.at("connections") < 54 {
        silent.push(life.unix());
    }
    for _ in 0..27 {
        life.daemon.unix().expect("0 Too Many Connections\n");
        *life.ledger.at("connections_refused") += 1;
        life.wait_for("elockd_connections_refused_total", "connections_refused");
    }
    // One of the locks' owners, one of the sharers, six that wait, and in turn one that ends.
    *life.ledger.at("peak_address_connections") = 9;
    let in_life = life.compare(Some(&mut operator));

    // A shutdown that one client delays, who does not take its answer.
    stuck.send("d\n");
    life.count("d", 1, false);
    // All of it has been collected when the first of it is here.
    poll("the listing", PATIENCE, || stuck.has_reply().then_some(()));
    life.daemon.signal(Signal::TERM);
    drained(life);
    let at_the_end = life.compare(None);
    assert_eq!(stuck.lines().len() as u64, in_life["locks"]);
    drop((waiting, readers, heir, hoarder, silent));
    life.daemon.wait_for_success();
    [in_life, at_the_end]
}

/// 13 tokens, some of them asked for again.
fn tokens(life: &mut Life, holder: &mut Client) {
    for at in 0..13 {
        life.ask_any(holder, 1 + at % 3, &format!("f o{at}"), false);
        *life.ledger.at("tokens_given") += 1;
        *life.ledger.at("tokens_left") -= 1;
    }
}

/// Waits of every sort. Those that go on are of the clients that this gives.
fn waits(life: &mut Life, other: &mut Client, sharer: &mut Client) -> Vec<Client> {
    let (mut one, mut two) = (life.unix(), life.tcp());
    for (at, answer) in [(0, 3), (1, 3)] {
        let name = format!("o{at}");
        for _ in 0..answer {
            life.waits(EXCLUSIVE, &mut one, &format!("gw 60000 {name}"));
            release(life, other, EXCLUSIVE, &name, 1);
            one.expect(format!("1 Lock Get Success: {name}\n"));
            life.got(EXCLUSIVE, &name, 1);
            life.waited(EXCLUSIVE, "succeeded", "waits_granted");
            release(life, &mut one, EXCLUSIVE, &name, 1);
            get(life, other, EXCLUSIVE, &name, 1);
        }
    }
    get(life, sharer, SHARED, "limited", 1);
    for _ in 0..3 {
        life.waits(SHARED, &mut one, "sgw 60000 1 limited");
        release(life, sharer, SHARED, "limited", 1);
        one.expect("1 Shared Lock Get Success: limited\n");
        life.got(SHARED, "limited", 1);
        life.waited(SHARED, "succeeded", "waits_granted");
        release(life, &mut one, SHARED, "limited", 1);
        get(life, sharer, SHARED, "limited", 1);
    }
    for _ in 0..8 {
        life.waits(EXCLUSIVE, &mut one, "gw 1 o2");
        one.expect("0 Lock Get Timeout: o2\n");
        life.waited(EXCLUSIVE, "failed", "waits_timed_out");
    }
    for _ in 0..7 {
        life.waits(SHARED, &mut two, "sgw 1 1 limited");
        two.expect("0 Shared Lock Get Timeout: limited\n");
        life.waited(SHARED, "failed", "waits_timed_out");
    }
    for _ in 0..4 {
        let mut gone = life.tcp();
        life.waits(EXCLUSIVE, &mut gone, "gw 60000 o3");
        gone.reset();
        life.waited(EXCLUSIVE, "succeeded", "waits_disconnected");
        life.closed(Cause::Error);
    }
    // One waits for two, and two may not wait for one.
    get(life, &mut one, EXCLUSIVE, "of one", 1);
    get(life, &mut two, EXCLUSIVE, "of two", 1);
    life.waits(EXCLUSIVE, &mut one, "gw 60000 of two");
    life.ask(&mut two, 25, "gw 60000 of one", "0 Lock Get Deadlock: of one");
    *life.ledger.at("deadlocks_refused") += 25;
    let mut waiting = vec![one];
    for _ in 0..4 {
        let mut client = life.unix();
        life.waits(EXCLUSIVE, &mut client, "gw 60000 o4");
        waiting.push(client);
    }
    for name in ["o5", "o6"] {
        let mut client = life.tcp();
        life.waits(EXCLUSIVE, &mut client, &format!("gw 60000 {name}"));
        waiting.push(client);
    }
    for _ in 0..3 {
        let mut client = life.tcp();
        life.waits(SHARED, &mut client, "sgw 60000 1 s0");
        waiting.push(client);
    }
    life.ask(&mut two, 21, "gw 60000 o4", "0 Lock Get Queue Full: o4");
    *life.ledger.at("queue_full") += 21;
    waiting.push(two);
    waiting
}

/// Connections that end in every way, most of them with locks.
fn ends(life: &mut Life, operator: &mut Client) {
    for _ in 0..2 {
        let mut client = life.unix();
        get_all(life, &mut client, EXCLUSIVE, "ra", 16);
        get_all(life, &mut client, SHARED, "ra", 20);
        life.ask(&mut client, 1, "ra", "36 Locks Released");
        for (kind, count) in [(EXCLUSIVE, 16), (SHARED, 20)] {
            (0..count).for_each(|at| life.lost(kind, &format!("ra{at}"), 1));
            *life.ledger.at(&of_kind(kind, "released_together")) += count;
        }
        client.half_close();
        client.expect_end();
        life.closed(Cause::Eof);
    }
    for round in 0..7 {
        let mut client = life.tcp();
        get_all(life, &mut client, EXCLUSIVE, "e", 4);
        get_all(life, &mut client, SHARED, "e", 5 + round);
        drop(client);
        orphaned(life, EXCLUSIVE, "e", 4);
        orphaned(life, SHARED, "e", 5 + round);
        life.closed(Cause::Eof);
    }
    for _ in 0..8 {
        let client = life.tcp();
        client.reset();
        life.closed(Cause::Error);
    }
    for _ in 0..7 {
        let mut client = life.unix();
        client.send("quit\n");
        client.expect_end();
        life.count("quit", 1, false);
        life.closed(Cause::Quit);
    }
    let mut both = [life.tcp(), life.unix()];
    for client in &mut both {
        life.ask(client, 1, "iam both", "1 ok");
    }
    life.ask(operator, 1, "kick both", "2 Kick Success: both");
    both.iter_mut().for_each(Client::expect_end);
    life.all_closed(Cause::Kicked, 2);
    for _ in 0..4 {
        let mut client = life.tcp();
        get_all(life, &mut client, EXCLUSIVE, "k", 2);
        let address = client.address();
        life.ask(operator, 1, &format!("kick {address}"), &format!("1 Kick Success: {address}"));
        client.expect_end();
        orphaned(life, EXCLUSIVE, "k", 2);
        life.closed(Cause::Kicked);
    }
    let mut victim = life.unix();
    for _ in 0..8 {
        get(life, &mut victim, EXCLUSIVE, "stolen", 1);
        life.ask(operator, 1, "steal stolen", "1 Lock Steal Success: stolen");
        life.lost(EXCLUSIVE, "stolen", 1);
    }
    drop(victim);
    life.closed(Cause::Eof);
}

/// Readers and writers: those that hold and those that wait when this is over.
fn readers_and_writers(life: &mut Life, operator: &mut Client) -> Vec<Client> {
    let [mut writer, mut one, mut two] = [life.unix(), life.unix(), life.unix()];
    get_all(life, &mut writer, WRITE, "w", 37);
    get_all(life, &mut one, READ, "r", 41);
    (0..29).for_each(|at| get(life, &mut two, READ, &format!("r{at}"), 2));
    // Who holds a lock alone goes on in another way.
    get(life, &mut writer, WRITE, "changes", 1);
    for at in 0..53 {
        let (before, after, verb, words) = match at % 2 {
            0 => (WRITE, READ, "rg", "Read"),
            _ => (READ, WRITE, "wg", "Write"),
        };
        life.ask(&mut writer, 1, &format!("{verb} changes"), &format!("1 {words} Lock Get Success: changes"));
        life.changed(before, after, "changes");
    }
    life.ask_any(&mut writer, 1, "wf w7", false);
    *life.ledger.at("tokens_given") += 1;
    *life.ledger.at("tokens_left") -= 1;
    // Waits that are granted, and others that are over in vain.
    for (kind, verb, words, times) in [(READ, "rgw", "Read", 14), (WRITE, "wgw", "Write", 16)] {
        for _ in 0..times {
            life.waits(kind, &mut two, &format!("{verb} 60000 w0"));
            release(life, &mut writer, WRITE, "w0", 1);
            two.expect(format!("1 {words} Lock Get Success: w0\n"));
            life.got(kind, "w0", 1);
            life.waited(kind, "succeeded", "waits_granted");
            release(life, &mut two, kind, "w0", 1);
            get(life, &mut writer, WRITE, "w0", 1);
        }
    }
    for (kind, verb, words, times) in [(READ, "rgw", "Read", 12), (WRITE, "wgw", "Write", 10)] {
        for _ in 0..times {
            life.waits(kind, &mut two, &format!("{verb} 1 w1"));
            two.expect(format!("0 {words} Lock Get Timeout: w1\n"));
            life.waited(kind, "failed", "waits_timed_out");
        }
    }
    // What is released together, orphaned and stolen.
    let rounds =
        [(READ, 61), (WRITE, 67), (READ, 71), (WRITE, 73), (READ, 1), (WRITE, 2), (READ, 3), (WRITE, 5)];
    for (kind, count) in rounds {
        let mut client = life.unix();
        get_all(life, &mut client, kind, "rra", count);
        life.ask(&mut client, 1, "ra", &format!("{count} Locks Released"));
        (0..count).for_each(|at| life.lost(kind, &format!("rra{at}"), 1));
        *life.ledger.at(&of_kind(kind, "released_together")) += count;
        get_all(life, &mut client, kind, "re", count + 12);
        drop(client);
        orphaned(life, kind, "re", count + 12);
        life.closed(Cause::Eof);
    }
    for _ in 0..9 {
        get(life, &mut two, WRITE, "stolen", 1);
        life.ask(operator, 1, "wsteal stolen", "1 Write Lock Steal Success: stolen");
        life.lost(WRITE, "stolen", 1);
    }
    // Ends that come, that do not come in time, and that are waited for when this is over.
    get(life, &mut writer, EXCLUSIVE, "ends", 1);
    get(life, &mut writer, SHARED, "ends", 1);
    for (kind, verb, words, times) in [(EXCLUSIVE, "iw", "Lock", 18), (SHARED, "siw", "Shared Lock", 22)] {
        for _ in 0..times {
            life.awaits_end(&mut two, &format!("{verb} 60000 ends"));
            release(life, &mut writer, kind, "ends", 1);
            two.expect(format!("1 {words} Ended: ends\n"));
            life.end_awaited(kind, verb, "succeeded", "waits_granted");
            get(life, &mut writer, kind, "ends", 1);
            life.awaits_end(&mut two, &format!("{verb} 1 ends"));
            two.expect(format!("0 {words} Wait Timeout: ends\n"));
            life.end_awaited(kind, verb, "failed", "waits_timed_out");
        }
    }
    let mut clients = vec![writer, one, two];
    for (request, times) in [("iw 60000 ends", 4), ("siw 60000 ends", 4)] {
        for _ in 0..times {
            let mut client = life.unix();
            life.awaits_end(&mut client, request);
            clients.push(client);
        }
    }
    for (kind, request, times) in [
        (READ, "rgw 60000 w2", 4),
        (READ, "rgw 60000 w6", 2),
        (WRITE, "wgw 60000 w3", 1),
        (WRITE, "wgw 60000 w4", 4),
    ] {
        for _ in 0..times {
            let mut client = life.unix();
            life.waits(kind, &mut client, request);
            clients.push(client);
        }
    }
    clients
}

/// What lingers, and what is resumed from open connections and from others. Gives the last that resumed, and its key.
fn lingering(life: &mut Life) -> (Client, String) {
    let mut holder = life.unix();
    let key = linger(life, &mut holder);
    get(life, &mut holder, EXCLUSIVE, "passed on", 1);
    for round in 0..35 {
        let mut next = life.unix();
        let mut old = Some(holder).filter(|_| round < 15);
        if old.is_none() {
            life.closed(Cause::Eof);
        }
        life.ask(&mut next, 1, &format!("resume {key}"), "1 Resume Success: 1");
        *life.ledger.at("resumed") += 1;
        if let Some(old) = &mut old {
            old.expect_end();
            life.closed(Cause::Resumed);
        }
        holder = next;
    }
    release(life, &mut holder, EXCLUSIVE, "passed on", 1);
    for at in 0..21 {
        let mut client = life.unix();
        linger(life, &mut client);
        let count = if at == 0 { 7 } else { 2 };
        get_all(life, &mut client, EXCLUSIVE, &format!("left {at} "), count);
        drop(client);
        *life.ledger.at("lingering") += 1;
        *life.ledger.at("lingering_holds") += count;
        life.closed(Cause::Eof);
    }
    (holder, key)
}

/// Has the holds of a client linger. Returns the key.
fn linger(life: &mut Life, client: &mut Client) -> String {
    let answer = client.ask("linger 3600000");
    life.count("linger", 1, false);
    let key = answer.strip_prefix("1 Linger Success: ").and_then(|rest| rest.strip_suffix(" 3600000"));
    key.unwrap_or_else(|| panic!("no key: {answer}")).to_owned()
}

/// Says each verb until it was said as often as in the table.
fn fill_up(life: &mut Life, filler: &mut Client, operator: &mut Client, (heir, key): &mut (Client, String)) {
    get(life, filler, EXCLUSIVE, "mine", 1);
    get(life, filler, SHARED, "mine", 1);
    get(life, filler, READ, "mine r", 1);
    get(life, filler, WRITE, "mine w", 1);
    for (verb, kind) in [("r", EXCLUSIVE), ("sr", SHARED), ("rr", READ), ("wr", WRITE)] {
        let wanted = COMMANDS.iter().find(|(of, ..)| *of == verb).unwrap().1;
        while *life.ledger.at(&format!("succeeded_{verb}")) < wanted {
            get(life, filler, kind, "x", 1);
            release(life, filler, kind, "x", 1);
        }
    }
    for (verb, successes, failures) in COMMANDS {
        if verb == "ra" {
            let mut empty = life.unix();
            life.ask(&mut empty, failures, "ra", "0 Locks Released");
            drop(empty);
            life.closed(Cause::Eof);
            continue;
        }
        if verb == "resume" {
            life.ask_until("failed", failures, filler, "resume nothing");
            life.ask_until("succeeded", successes, heir, &format!("resume {key}"));
            continue;
        }
        let (right, wrong) = requests(verb);
        let client = if ["steal", "wsteal", "kick"].contains(&verb) { &mut *operator } else { &mut *filler };
        life.ask_until("failed", failures, client, &wrong);
        // The last `q full` is that of the comparison.
        life.ask_until("succeeded", successes - u64::from(verb == "q"), client, &right);
        if ["f", "sf", "rf", "wf"].contains(&verb) {
            *life.ledger.at("tokens_given") += 1;
            *life.ledger.at("tokens_left") -= 1;
        }
    }
}

/// What succeeds and what fails with this verb, said by one that holds `mine`, reads `mine r` and writes `mine w`, when
/// others hold `o20` and `s1` and write `w5`.
fn requests(verb: &str) -> (String, String) {
    let (right, wrong) = match verb {
        "d" | "sd" | "ls" | "who" => ("nobody", ""),
        "f" | "g" | "sg" | "sf" => ("mine", "o20"),
        "rg" | "rf" => ("mine r", "w5"),
        "wg" | "wf" => ("mine w", "w5"),
        "ri" => ("mine r", "nothing"),
        "wi" => ("mine w", "nothing"),
        "rgw" => ("0 mine r", "0 w5"),
        "wgw" => ("0 mine w", "0 w5"),
        "i" | "si" => ("mine", "nothing"),
        "gw" => ("0 mine", "0 o20"),
        "iw" => ("0 nothing", "0 o20"),
        "siw" => ("0 nothing", "0 s1"),
        "linger" => ("0", "4294967295"),
        "sgl" => ("1 mine", "1 s1"),
        "sgw" => ("0 1 mine", "0 1 s1"),
        "r" | "sr" | "rr" | "wr" | "steal" | "wsteal" | "kick" => ("", "nothing"),
        _ => ("", ""),
    };
    (format!("{verb} {right}"), format!("{verb} {wrong}"))
}

/// All connections but the one amid its listing are closed, all waits are over and all locks are gone.
fn drained(life: &mut Life) {
    for (kind, verb, times) in [(EXCLUSIVE, "iw", 4), (SHARED, "siw", 4)] {
        for _ in 0..times {
            life.end_awaited(kind, verb, "failed", "waits_drained");
        }
    }
    for kind in Kind::ALL {
        while *life.ledger.at(&of_kind(kind, "waiters")) > 0 {
            life.waited(kind, "failed", "waits_drained");
        }
        // What lingers stays.
        let left = if kind == EXCLUSIVE { *life.ledger.at("lingering_holds") } else { 0 };
        let holds = *life.ledger.at(&of_kind(kind, "holds")) - left;
        *life.ledger.at(&of_kind(kind, "orphans")) += holds;
        *life.ledger.at(&of_kind(kind, "hold_times")) += holds;
        *life.ledger.at(&of_kind(kind, "holds")) = left;
        *life.ledger.at(&of_kind(kind, "locks")) = left;
    }
    life.lost_all();
    let closed = *life.ledger.at("connections") - 1;
    *life.ledger.at("closed_shutdown") += closed;
    *life.ledger.at("connections") = 1;
    life.wait_for("elockd_connections", "connections");
}

/// Clients that say nothing for long, and others that take no answers.
pub(crate) fn idle_and_stalled() -> BTreeMap<String, u64> {
    let flags = ["--write-timeout", "300ms"];
    let limits = [("idle-timeout", 1500)];
    let mut life = Life::start(&limits, |own| Daemon::start(&[own, &flags].concat()));
    let life = &mut life;
    let mut hoarder = life.unix();
    (0..150).for_each(|at| get(life, &mut hoarder, EXCLUSIVE, &long_name(at), 1));
    let mut stalled = [life.unix(), life.unix()];
    for (client, at) in stalled.iter_mut().zip(0..) {
        get_all(life, client, SHARED, &format!("stalled{at} "), 3);
        client.send("d\n");
        life.count("d", 1, false);
    }
    let mut idle = [life.tcp(), life.unix(), life.tcp()];
    for (client, at) in idle.iter_mut().zip(0..) {
        get_all(life, client, SHARED, &format!("idle{at} "), 7);
    }
    for at in 0..2 {
        orphaned(life, SHARED, &format!("stalled{at} "), 3);
        *life.ledger.at("closed_stalled") += 1;
    }
    for at in 0..3 {
        orphaned(life, SHARED, &format!("idle{at} "), 7);
        *life.ledger.at("closed_idle") += 1;
    }
    (0..150).for_each(|at| life.orphaned(EXCLUSIVE, &long_name(at), 1));
    *life.ledger.at("closed_idle") += 1;
    *life.ledger.at("connections") = 0;
    *life.ledger.at("peak_connection_holds") = 150;
    life.wait_for("elockd_connections", "connections");
    life.wait_for("elockd_connections_closed_total{cause=\"idle\"}", "closed_idle");
    *life.ledger.at("peak_address_connections") = 2;
    let mut last = life.unix();
    life.compare(Some(&mut last))
}

/// No room for listings, none for a record of tokens, and holds that are too old.
pub(crate) fn listings_and_tokens_refused() -> BTreeMap<String, u64> {
    let state = TempDir::new().unwrap();
    let flags = ["--max-listing-bytes=1", "--warn-held=1s", "--state-dir", state.path().to_str().unwrap()];
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_elockd")]);
    let mut life = Life::start(&[], |own| Daemon::start_by(command, &[own, &flags].concat()));
    let life = &mut life;
    let mut client = life.unix();
    get_all(life, &mut client, EXCLUSIVE, "a", 6);
    get_all(life, &mut client, SHARED, "a", 5);
    for request in ["d", "sd", "ls", "ls a", "d a0", "ls", "d", "sd"] {
        client.send(format!("{request}\n"));
        assert_eq!(client.lines(), ["0 Too Large"]);
        life.count(request, 1, false);
        *life.ledger.at("listings_refused") += 1;
    }
    life.ask(&mut client, 4, "f a0", "0 No Tokens");
    *life.ledger.at("tokens_left") = 0;
    *life.ledger.at("token_failures") = 1;
    *life.ledger.at("long_holds") = 11;
    *life.ledger.at("peak_connection_holds") = 11;
    life.wait_for("elockd_long_holds", "long_holds");
    life.compare(Some(&mut client))
}

/// Commands that a switch has taken away.
pub(crate) fn switched_off() -> BTreeMap<String, u64> {
    let flags = ["--dump=false", "--registry=false"];
    let mut life = Life::start(&[], |own| Daemon::start(&[own, &flags].concat()));
    let mut client = life.unix();
    for (request, times) in [("d", 2), ("dump", 3), ("sd", 5), ("ls", 7), ("who", 11), ("iam x", 13)] {
        life.ask_any(&mut client, times, request, true);
    }
    // These too may fail where they succeed elsewhere.
    for (request, times) in [("kick x", 17), ("steal x", 19)] {
        life.ask_any(&mut client, times, request, true);
    }
    life.compare(Some(&mut client))
}

/// Logins that succeed and fail, and connections that are closed because they may not stay.
pub(crate) fn with_accounts() -> BTreeMap<String, u64> {
    let dir = TempDir::new().unwrap();
    let (tokens, config) = (dir.path().join("tokens"), dir.path().join("elockd.toml"));
    let line = |account: &str| TokenFile::line(account, &TokenDigest::of(account.as_bytes()), "");
    std::fs::write(&tokens, line("web") + &line("none")).unwrap();
    std::fs::set_permissions(&tokens, Permissions::from_mode(0o600)).unwrap();
    let rules = "[accounts.web]\nallow = ['q']\nall-figures = true\n[accounts.none]\nallow = []\nmax-connections = 0\n";
    std::fs::write(&config, rules).unwrap();
    let flags = ["--token-file", tokens.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let mut life = Life::start(&[], |own| Daemon::start(&[own, &flags].concat()));
    let mut client = life.unix();
    life.ask(&mut client, 5, "auth web", "1 Auth Success: web");
    life.ask(&mut client, 2, "auth nobody", "0 Auth Failure");
    let mut one_too_many = life.unix();
    life.ask(&mut one_too_many, 1, "auth none", "0 Too Many Connections");
    life.closed(Cause::Refused);
    for _ in 0..6 {
        let mut stranger = life.tcp();
        stranger.send(" ".repeat(5000));
        *life.ledger.at("unauthenticated_closed") += 1;
        *life.ledger.at("peak_address_connections") = 1;
        life.closed(Cause::Refused);
    }
    life.compare(Some(&mut client))
}

/// What one client may take: connections of its address, memory, and the time of others.
pub(crate) fn too_much() -> BTreeMap<String, u64> {
    let limits = [("max-memory", 1 << 20), ("max-connections-per-address", 3), ("max-step-holds", 2)];
    let mut life = Life::start(&limits, Daemon::start);
    let life = &mut life;
    let mut sharers = [life.tcp(), life.tcp(), life.tcp()];
    *life.ledger.at("peak_address_connections") = 3;
    for _ in 0..23 {
        life.daemon.tcp().expect("0 Too Many Connections\n");
        *life.ledger.at("address_refused") += 1;
        life.wait_for("elockd_address_connections_refused_total", "address_refused");
    }
    // The lock has three holders, which is more than a search may look at. There is a search because somebody waits for
    // a lock of the asker.
    for (client, holders) in sharers.iter_mut().zip(1..) {
        get(life, client, SHARED, "s", holders);
    }
    let (mut asker, mut waiter) = (life.unix(), life.unix());
    get(life, &mut asker, EXCLUSIVE, "x", 1);
    life.waits(EXCLUSIVE, &mut waiter, "gw 60000 x");
    life.ask(&mut asker, 29, "sgw 60000 1 s", "0 Shared Lock Get Queue Full: s");
    for key in ["queue_full", "searches_refused"] {
        *life.ledger.at(key) += 29;
    }
    life.ask(&mut asker, 2, "sgw 60000 0 s", "4 Shared Lock Get Success: s");
    life.got(SHARED, "s", 4);
    let room = (1 << 20) - *life.ledger.at("memory_bytes");
    let names = room / memory_of(&long_name(0), 1);
    (0..names).for_each(|at| get(life, &mut asker, EXCLUSIVE, &long_name(at), 1));
    life.ask(
        &mut asker,
        31,
        &format!("g {}", long_name(names)),
        &format!("0 Out Of Memory: {}", long_name(names)),
    );
    *life.ledger.at("memory_refused") += 31;
    *life.ledger.at("peak_connection_holds") = names + 2;
    life.compare(Some(&mut asker))
}
