//! One long line: very many connections on several hosts wait for one lock. Each passes it on as it gets it, and
//! leaves.

use super::{LIVENESS_MS, Rng, mass};
use crate::plan::{Orphaning, Plan, Scenario};
use crate::script::{Action, Client, Host, Step};

/// Draws a line of `waiters` connections on `hosts` hosts. Each has sent its release and its end beforehand, so it
/// passes the lock on as soon as it gets it.
#[must_use]
pub fn line(seed: u64, waiters: u32, hosts: u8) -> (Plan, Vec<Step>) {
    const OPENING_MS: u32 = 50;
    const RELEASE_MS: u32 = 200;
    let mut rng = Rng::new(seed);
    let mut script = Vec::new();
    let mut at = |at_ms, action| script.push(Step { at_ms, action });
    let holder = Client(0);
    at(0, Action::Open(holder, Host(0)));
    at(OPENING_MS, Action::Say(holder, b"g job\n".to_vec()));
    for number in 1..=waiters {
        let host = Host((number % u32::from(hosts)) as u8);
        at(rng.between(0, OPENING_MS - 5), Action::Open(Client(number), host));
        let wait = b"gw 60000 job\nr job\nquit\n".to_vec();
        at(OPENING_MS + rng.between(10, 120), Action::Say(Client(number), wait));
    }
    at(RELEASE_MS, Action::Say(holder, b"r job\n".to_vec()));
    script.sort_by_key(|step| step.at_ms);
    let (plan, _) = mass(seed, Orphaning::Crash, waiters, 0);
    let names = vec![b"job".to_vec()];
    let (scenario, duration_ms) = (Scenario::Line, RELEASE_MS + 100);
    (Plan { scenario, hosts, names, duration_ms, liveness_ms: LIVENESS_MS, ..plan }, script)
}
