//! What the daemon has to reach, and what it reaches: ratios of the rounds of one run, and bytes.

use crate::cases::Case;
use crate::memory::{Connection, Lock};
use crate::rounds::{Results, Turn};
use crate::support::servers::Kind;
use crate::support::spread::Spread;
use elockd_client::load::Scenario;

/// A goal, and how far it is reached. It counts as reached by the median.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    pub(crate) measured: Spread,
}

/// Where a figure has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(crate) fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.measured.median >= bound,
            Bound::AtMost(bound) => self.measured.median <= bound,
        }
    }
}

/// Every goal of which something was measured.
pub(crate) fn all(results: &Results, locks: &[Lock], connections: &[Connection]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for case in results.cases() {
        of_case(case, results, &mut goals);
    }
    let bytes = |what: &str, bytes: f64, most: f64| {
        let measured = Spread { median: bytes, min: bytes, max: bytes };
        Goal { what: what.to_owned(), bound: Bound::AtMost(most), measured }
    };
    if let Some(lock) = locks.iter().find(|lock| lock.kind == Kind::Elockd) {
        goals.push(bytes("bytes of a held lock", lock.bytes, 64.0));
    }
    if let Some(connection) = connections.iter().find(|connection| connection.kind == Kind::Elockd) {
        goals.push(bytes("bytes of a silent connection", connection.silent_bytes, 1024.0));
        goals.push(bytes("bytes of a connection after its first request", connection.used_bytes, 1024.0));
    }
    goals
}

fn of_case(case: Case, results: &Results, goals: &mut Vec<Goal>) {
    let Case { scenario, connections, depth } = case;
    let rate = |turn: &Turn| turn.rate;
    let mut add = |what: String, bound: Bound, measured: Option<Spread>| {
        if let Some(measured) = measured {
            goals.push(Goal { what: format!("{}: {what}", case.name()), bound, measured });
        }
    };
    let own = (case, Kind::Elockd);
    // With a thousand connections the same ratios hold within five points.
    let leeway = if connections > 100 { 0.05 } else { 0.0 };
    match scenario {
        Scenario::Uncontended => {
            let (of_ceiling, of_peers) = match depth {
                1 => (0.95, 1.0),
                2..=16 => (0.9, 1.5),
                _ => (0.75, 1.5),
            };
            let ceiling = (case, Kind::Ceiling);
            let bound = Bound::AtLeast(of_ceiling - leeway);
            add("rate by the ceiling's".to_owned(), bound, results.ratio(own, ceiling, rate));
            for peer in Kind::PEERS {
                let bound = Bound::AtLeast(of_peers - leeway);
                add(format!("rate by {}'s", peer.name()), bound, results.ratio(own, (case, peer), rate));
            }
            let most = if depth == 1 { 1.05 } else { 1.2 };
            let cpu = results.ratio(own, ceiling, |turn| turn.cpu_us);
            if depth <= 16 {
                add("processor time by the ceiling's".to_owned(), Bound::AtMost(most + leeway), cpu);
            }
        }
        Scenario::Reconnect => {
            let ceiling = results.ratio(own, (case, Kind::Ceiling), rate);
            add("rate by the ceiling's".to_owned(), Bound::AtLeast(0.9), ceiling);
            for peer in Kind::PEERS {
                let ratio = results.ratio(own, (case, peer), rate);
                add(format!("rate by {}'s", peer.name()), Bound::AtLeast(1.0), ratio);
            }
        }
        Scenario::Fight | Scenario::LinePipelined => {
            let uncontended = (Case::new(Scenario::Uncontended, connections, depth), Kind::Elockd);
            let ratio = results.ratio(own, uncontended, rate);
            add("rate by the uncontended".to_owned(), Bound::AtLeast(0.9), ratio);
        }
        Scenario::LineTurns => {
            let token = (Case::new(Scenario::Token, connections, depth), Kind::Ceiling);
            let ratio = results.ratio(own, token, rate);
            add("rate by the token's".to_owned(), Bound::AtLeast(0.9), ratio);
        }
        Scenario::Token | Scenario::Mixed | Scenario::Crowd { .. } => {}
    }
}
