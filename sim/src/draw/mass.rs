//! Mass orphaning: many connections get many locks, half of them shared, and all end in the same millisecond.
//! Meanwhile others inspect the locks, get them and wait for them.

use super::{LIVENESS_MS, Rng};
use crate::plan::{Network, Orphaning, Plan, Scenario, Settings};
use crate::script::{Action, Client, Fault, Host, Step};

/// The number of clients that wait for the locks of `connections` connections.
#[must_use]
pub const fn waiters(connections: u32) -> u32 {
    connections / 4
}

/// Draws a mass orphaning: `connections` connections that have `locks` holds together.
#[must_use]
pub fn mass(seed: u64, how: Orphaning, connections: u32, locks: u32) -> (Plan, Vec<Step>) {
    /// When connections open and get their locks, and when they end, in milliseconds.
    const OPENING_MS: u32 = 100;
    const END_MS: u32 = 300;
    let mut rng = Rng::new(seed);
    // The cost of a step of the simulation grows with the square of the hosts.
    let hosts = connections.div_ceil(50).clamp(1, 40) as u8;
    // One more host, for the other clients.
    let observers_host = Host(hosts);
    let each = locks / connections.max(1);
    let mut script = Vec::new();
    let mut at = |at_ms, action| script.push(Step { at_ms, action });
    for number in 0..connections {
        let client = Client(number);
        at(rng.between(0, OPENING_MS), Action::Open(client, Host((number % u32::from(hosts)) as u8)));
        let mut lines = Vec::new();
        for lock in 0..each {
            // Half of the holds alone, half shared by five.
            lines.extend(if lock % 2 == 0 {
                format!("g x.{number}.{lock}\n").into_bytes()
            } else {
                format!("sg s.{}.{lock}\n", number / 5).into_bytes()
            });
        }
        at(OPENING_MS + rng.between(10, 100), Action::Say(client, lines));
    }
    for host in (0..hosts).map(Host) {
        match how {
            Orphaning::Crash => at(END_MS, Action::Fault(Fault::Crash(host))),
            Orphaning::HalfOpen => {
                at(END_MS, Action::Fault(Fault::CutOff(host)));
                at(END_MS, Action::Fault(Fault::Crash(host)));
            }
            Orphaning::Shutdown => {
                if host.0 == 0 {
                    at(END_MS, Action::Fault(Fault::Drain));
                }
                at(END_MS + rng.between(0, 1), Action::Fault(Fault::Crash(host)));
            }
        }
    }
    let idle_ms = 500;
    // With half-open peers, the end comes when the idle limit is reached.
    let from_ms = END_MS - 20;
    let until_ms = if how == Orphaning::HalfOpen { END_MS + idle_ms + 50 } else { END_MS + 60 };
    for observer in 0..5 {
        let client = Client(connections + observer);
        at(0, Action::Open(client, observers_host));
        for at_ms in (OPENING_MS..until_ms).filter(|at_ms| *at_ms < OPENING_MS + 5 || *at_ms > from_ms) {
            let number = rng.between(0, connections - 1);
            let lock = rng.between(0, each.max(1) - 1);
            let line = match rng.between(0, 5) {
                0 => format!("i x.{number}.{lock}\n"),
                1 => format!("si s.{}.{lock}\n", number / 5),
                2 => format!("g x.{number}.{lock}\n"),
                3 => format!("sg s.{}.{lock}\n", number / 5),
                4 => "q\n".to_owned(),
                _ => format!("r x.{number}.{lock}\n"),
            };
            at(at_ms, Action::Say(client, line.into_bytes()));
        }
    }
    for waiter in 0..waiters(connections) {
        let client = Client(connections + 5 + waiter);
        at(rng.between(0, OPENING_MS), Action::Open(client, observers_host));
        let lines = wait(waiter, connections, each);
        at(OPENING_MS + rng.between(120, 150), Action::Say(client, lines.into_bytes()));
    }
    script.sort_by_key(|step| step.at_ms);
    let server = settings(connections, locks, if how == Orphaning::HalfOpen { idle_ms } else { 0 });
    let network = network();
    let names = [b"x.0.0".to_vec(), b"s.0.1".to_vec(), b"new".to_vec()].to_vec();
    let scenario = Scenario::MassOrphaning(how);
    let duration_ms = until_ms + 20;
    (
        Plan {
            seed,
            scenario,
            hosts: hosts + 1,
            network,
            server,
            duration_ms,
            liveness_ms: LIVENESS_MS,
            names,
        },
        script,
    )
}

/// The requests of one waiting client. Three clients at a time want a lock of the same connection, or five share one,
/// and release it again.
fn wait(waiter: u32, connections: u32, each: u32) -> String {
    let (number, lock) = (waiter / 3 % connections, waiter / 3 % each.max(1));
    if lock.is_multiple_of(2) {
        format!("gw 60000 x.{number}.{lock}\nr x.{number}.{lock}\n")
    } else {
        format!("sgw 60000 1 s.{0}.{lock}\nsr s.{0}.{lock}\n", number / 5)
    }
}

fn settings(connections: u32, locks: u32, idle_ms: u32) -> Settings {
    Settings {
        connections: connections * 2 + 100,
        locks: locks + 10_000,
        locks_per_connection: 1_000_000,
        connections_per_address: 0,
        memory_bytes: u32::MAX,
        waiters: 1_000_000,
        waiters_per_name: 1_000_000,
        name_bytes: 40,
        idle_ms,
        linger_ms: 0,
        admin: false,
        tokens: 0,
        verbose: false,
        dump: true,
        registry: true,
        silent_errors: false,
        smallest_storage: false,
        line_bytes: 104,
        listing_bytes: 64 << 20,
        write_timeout_ms: 15_000,
        shutdown_timeout_ms: 5_000,
    }
}

fn network() -> Network {
    Network {
        latency_us: (0, 2_000),
        window_bytes: 1 << 20,
        read_bytes: 16 << 10,
        accept_fails_every: 0,
        // Makes the idle limit, and nothing else, find half-open peers.
        peer_timeout_ms: 15_000,
    }
}
