//! The schedule of faults. Faults come where and when there is a client that they hit.

use super::Rng;
use crate::script::{Action, Client, Fault, Host, Step};
use std::collections::BTreeMap;

/// A kind of fault that a run may have.
#[derive(Clone, Copy)]
enum Kind {
    Crash,
    Cut,
    CutAndCrash,
    Hold,
    Slow,
    KillServer,
    Drain,
    FillDisk,
    KillAtReserve,
}

/// Draws faults and, for most of them, their ends.
pub(super) fn faults(
    rng: &mut Rng,
    script: &[Step],
    has_tokens: bool,
    settled_ms: u32,
    duration_ms: u32,
) -> Vec<Step> {
    let mut kinds = vec![
        (Kind::Crash, 4),
        (Kind::Cut, 3),
        (Kind::CutAndCrash, 2),
        (Kind::Hold, 3),
        (Kind::Slow, 2),
        (Kind::KillServer, 1),
        (Kind::Drain, 1),
        (Kind::FillDisk, if has_tokens { 2 } else { 0 }),
        (Kind::KillAtReserve, if has_tokens { 2 } else { 0 }),
    ];
    for (_, weight) in &mut kinds {
        if rng.percent(40) {
            *weight = 0;
        }
    }
    if kinds.iter().all(|(_, weight)| *weight == 0) {
        return Vec::new();
    }
    let targets = targets(script);
    let mut faults = Vec::new();
    for _ in 0..rng.between(0, 4) {
        let target = targets[rng.between(0, targets.len() as u32 - 1) as usize];
        let host = target.host;
        let begin_ms = rng.between(target.from_ms, target.until_ms.max(target.from_ms));
        // Before that time nobody is connected. Later, the fault may make no difference any more.
        let begin_ms = begin_ms.clamp(settled_ms, duration_ms - 25);
        let end_ms = begin_ms + rng.between(5, 300);
        let mut at = |at_ms, fault| faults.push(Step { at_ms, action: Action::Fault(fault) });
        match rng.weighted(&kinds) {
            Kind::Crash => {
                at(begin_ms, Fault::Crash(host));
                at(end_ms, Fault::Restart(host));
            }
            Kind::Cut => {
                at(begin_ms, rng.of(&[Fault::CutOff(host), Fault::Mute(host), Fault::Unheard(host)]));
                at(end_ms, Fault::Mend(host));
            }
            // The server never hears of it: half-open peers.
            Kind::CutAndCrash => {
                at(begin_ms, Fault::CutOff(host));
                at(begin_ms + rng.between(0, 3), Fault::Crash(host));
                at(end_ms, Fault::Mend(host));
                at(end_ms, Fault::Restart(host));
            }
            Kind::Hold => {
                at(begin_ms, Fault::Hold(host));
                at(end_ms, Fault::Release(host));
            }
            Kind::Slow => {
                at(begin_ms, Fault::Slow(host, rng.between(5, 150) as u16));
                at(end_ms, Fault::Hasten(host));
            }
            Kind::KillServer => {
                at(begin_ms, Fault::KillServer);
                at(end_ms, Fault::StartServer);
            }
            Kind::FillDisk => {
                at(begin_ms, Fault::FillDisk);
                at(end_ms, Fault::FreeDisk);
            }
            Kind::KillAtReserve => {
                at(begin_ms, Fault::KillAtReserve);
                at(end_ms, Fault::StartServer);
            }
            Kind::Drain => {
                at(begin_ms, Fault::Drain);
                if rng.percent(50) {
                    at(end_ms + 2_000, Fault::StartServer);
                }
            }
        }
    }
    faults
}

/// A client that can be hit: its host, and when it has something to lose.
#[derive(Clone, Copy)]
struct Target {
    host: Host,
    from_ms: u32,
    until_ms: u32,
}

fn targets(script: &[Step]) -> Vec<Target> {
    let mut targets: BTreeMap<Client, Target> = BTreeMap::new();
    for Step { at_ms, action } in script {
        match action {
            Action::Open(client, host) | Action::OpenAsOperator(client, host) => {
                targets.insert(*client, Target { host: *host, from_ms: at_ms + 1, until_ms: at_ms + 1 });
            }
            Action::Say(client, _) => {
                if let Some(target) = targets.get_mut(client) {
                    target.until_ms = *at_ms;
                }
            }
            _ => {}
        }
    }
    targets.into_values().collect()
}
