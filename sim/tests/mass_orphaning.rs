//! Goal: mass orphaning is exact, whatever ends the connections. Method: many connections hold many locks, half of
//! them shared by five each, and all end in the same millisecond. Meanwhile five others inspect, get and count, and
//! many wait for these locks. Every wait is granted, and only once. The invariants check everything after every
//! single end; this test checks that the scenario is what it claims. The full size, 2,000 connections with 100,000
//! holds, is `cargo run -p elockd-sim --release -- mass --how crash` (and `half-open`, `shutdown`).

use elockd_core::{Conn, Input, Reason};
use elockd_sim::draw;
use elockd_sim::log::{Event, Told};
use elockd_sim::plan::Orphaning;
use elockd_sim::script::FaultKind;
use elockd_sim::verdict::{self, Verdict};
use std::collections::{BTreeMap, BTreeSet};

const CONNECTIONS: u32 = 300;
const LOCKS: u32 = 9_000;

/// The events of such a run, counted.
#[derive(Debug, Default)]
struct Seen {
    /// The number of holds before the fault.
    holds: usize,
    /// Connections that ended after the fault.
    ends: usize,
    /// Requests of the observers that ran after it.
    observed: usize,
    /// Waits that began.
    waits: usize,
    /// How often each waiting connection was granted its lock.
    grants: BTreeMap<Conn, usize>,
    /// Waits that the shutdown ended.
    drained: usize,
}

fn orphan(how: Orphaning, fault: FaultKind) -> Seen {
    let (plan, script) = draw::mass(1, how, CONNECTIONS, LOCKS);
    let Verdict { report, violation, .. } = verdict::run(&plan, &script);
    assert_eq!(violation, None);
    assert!(report.bites.contains_key(&fault), "{:?}", report.bites);
    let mut seen = Seen::default();
    let (mut is_over, mut is_liveness) = (false, false);
    // Some wait until the observers release their locks, at the latest in the liveness phase.
    let mut waiting = BTreeSet::new();
    let is_got = |told: &Told| matches!(told, Told::Reply(reply) if reply.windows(12).any(|text| text == b" Get Success"));
    for entry in &report.entries {
        match &entry.event {
            Event::Fault(_) => is_over = true,
            Event::LivenessBegins => is_liveness = true,
            Event::Applied(applied) => {
                for (to, told) in &applied.told {
                    let is_own = applied.input.conn() == Some(*to);
                    if is_got(told) && !is_own && (waiting.remove(to) || !is_liveness) {
                        *seen.grants.entry(*to).or_default() += 1;
                    }
                }
                if is_liveness {
                    continue;
                }
                for (to, told) in &applied.told {
                    let is_own = applied.input.conn() == Some(*to);
                    match told {
                        Told::Wait => {
                            seen.waits += 1;
                            waiting.insert(*to);
                        }
                        Told::Disconnect(Reason::Idle) => seen.ends += 1,
                        Told::Reply(reply) if !is_own && reply == b"0 Shutting Down\n" => seen.drained += 1,
                        told if is_got(told) && is_own && !is_over => seen.holds += 1,
                        _ => {}
                    }
                }
                match &applied.input {
                    Input::Closed(..) => seen.ends += usize::from(is_over),
                    Input::Command(..) => seen.observed += usize::from(is_over),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    seen
}

/// Every waiter was granted its lock once.
fn everybody_was_granted_it(seen: &Seen) {
    let waiters = draw::waiters(CONNECTIONS) as usize;
    assert_eq!((seen.waits, seen.grants.len()), (waiters, waiters), "{seen:?}");
    assert!(seen.grants.values().all(|grants| *grants == 1), "{seen:?}");
}

#[test]
fn their_hosts_crash() {
    let seen = orphan(Orphaning::Crash, FaultKind::Crash);
    assert!(seen.holds >= LOCKS as usize, "{seen:?}");
    assert!(seen.ends >= CONNECTIONS as usize, "{seen:?}");
    assert!(seen.observed > 100, "{seen:?}");
    everybody_was_granted_it(&seen);
}

#[test]
fn they_become_half_open_and_the_idle_limit_finds_them() {
    let seen = orphan(Orphaning::HalfOpen, FaultKind::CutOff);
    assert!(seen.holds >= LOCKS as usize, "{seen:?}");
    assert!(seen.ends >= CONNECTIONS as usize, "{seen:?}");
    assert!(seen.observed > 100, "{seen:?}");
    everybody_was_granted_it(&seen);
}

#[test]
fn their_hosts_crash_during_a_shutdown() {
    let seen = orphan(Orphaning::Shutdown, FaultKind::Drain);
    assert!(seen.holds >= LOCKS as usize, "{seen:?}");
    assert!(seen.ends >= CONNECTIONS as usize, "{seen:?}");
    let waiters = draw::waiters(CONNECTIONS) as usize;
    assert_eq!((seen.waits, seen.drained, seen.grants.len()), (waiters, waiters, 0), "{seen:?}");
}
