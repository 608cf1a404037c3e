//! Goal: mass orphaning is exact, whatever ends the connections. Method: many connections hold many locks,
//! half of them shared by five each, and all end in the same millisecond, while five others inspect, get and
//! count. The invariants look at everything after every single end; here it is made sure that the scenario is
//! what it says. The full size, 2,000 connections with 100,000 holds, is
//! `cargo run -p elockd-sim --release -- mass --how crash` (and `half-open`, `shutdown`).

use elockd_core::{Command, Input, Reason};
use elockd_sim::draw;
use elockd_sim::log::{Event, Told};
use elockd_sim::plan::Orphaning;
use elockd_sim::script::FaultKind;
use elockd_sim::verdict::{self, Verdict};

const CONNECTIONS: u32 = 300;
const LOCKS: u32 = 9_000;

/// Runs it, and says how many holds there were, how many connections ended after the fault, and how many
/// requests of the observers ran after it.
fn orphan(how: Orphaning, fault: FaultKind) -> (usize, usize, usize) {
    let (plan, script) = draw::mass(1, how, CONNECTIONS, LOCKS);
    let Verdict { report, violation, .. } = verdict::run(&plan, &script);
    assert_eq!(violation, None);
    assert!(report.bites.contains_key(&fault), "{:?}", report.bites);
    let (mut holds, mut ends, mut observed) = (0, 0, 0);
    let mut is_over = false;
    for entry in &report.entries {
        match &entry.event {
            Event::Fault(_) => is_over = true,
            Event::LivenessBegins => break,
            Event::Applied(applied) => {
                let is_got = |told: &Told| matches!(told, Told::Reply(reply) if reply.windows(12).any(|text| text == b" Get Success"));
                match &applied.input {
                    Input::Closed(conn, _) if conn.serial() <= u64::from(CONNECTIONS + 5) => {
                        ends += usize::from(is_over);
                    }
                    Input::Command(_, Command::Get(..)) if !is_over => {
                        holds += applied.told.iter().filter(|(_, told)| is_got(told)).count();
                    }
                    Input::Command(..) => observed += usize::from(is_over),
                    _ => {}
                }
                let is_idle = |told: &Told| *told == Told::Disconnect(Reason::Idle);
                ends += applied.told.iter().filter(|(_, told)| is_idle(told)).count();
            }
            _ => {}
        }
    }
    (holds, ends, observed)
}

#[test]
fn their_hosts_crash() {
    let (holds, ends, observed) = orphan(Orphaning::Crash, FaultKind::Crash);
    assert!(holds >= LOCKS as usize, "{holds} holds");
    assert!(ends >= CONNECTIONS as usize, "{ends} ends");
    assert!(observed > 100, "{observed} requests while they were orphaned");
}

#[test]
fn they_become_half_open_and_the_idle_limit_finds_them() {
    let (holds, ends, observed) = orphan(Orphaning::HalfOpen, FaultKind::CutOff);
    assert!(holds >= LOCKS as usize, "{holds} holds");
    assert!(ends >= CONNECTIONS as usize, "{ends} ends");
    assert!(observed > 100, "{observed} requests while they were orphaned");
}

#[test]
fn their_hosts_crash_during_a_shutdown() {
    let (holds, ends, _) = orphan(Orphaning::Shutdown, FaultKind::Drain);
    assert!(holds >= LOCKS as usize, "{holds} holds");
    assert!(ends >= CONNECTIONS as usize, "{ends} ends");
}
