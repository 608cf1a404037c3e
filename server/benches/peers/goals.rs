//! The goals of the daemon, and what it reaches: ratios of the rounds of one run, and bytes. Some ratios are for
//! information only, and have no goal.

use crate::cases::Case;
use crate::memory::{Connection, Lock};
use crate::rounds::{Results, Turn};
use crate::support::goal::{Bound, Goal};
use crate::support::kind::Kind;
use crate::support::spread::Spread;
use elockd_load::Scenario;

/// Every goal that was measured, and the figures without a goal.
pub(crate) fn all(results: &Results, locks: &[Lock], connections: &[Connection]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for case in results.cases() {
        of_case(case, results, &mut goals);
    }
    if let Some(lock) = locks.iter().find(|lock| lock.kind == Kind::Elockd) {
        goals.push(Goal::at_most("bytes of a held lock", 64.0, lock.bytes));
    }
    if let Some(connection) = connections.iter().find(|connection| connection.kind == Kind::Elockd) {
        goals.push(Goal::at_most("bytes of a silent connection", 1024.0, connection.silent_bytes));
        goals.push(Goal::at_most(
            "bytes of a connection after its first request",
            1024.0,
            connection.used_bytes,
        ));
    }
    goals
}

fn of_case(case: Case, results: &Results, goals: &mut Vec<Goal>) {
    let Case { scenario, connections, depth } = case;
    let rate = |turn: &Turn| turn.rate;
    let own = (case, Kind::Elockd);
    let mut tell = |what: String, bound: Option<Bound>, measured: Option<Spread>| {
        if let Some(measured) = measured {
            goals.push(Goal { what: format!("{}: {what}", case.name()), bound, measured });
        }
    };
    // With a thousand connections the same goals apply, less five points.
    let leeway = if connections > 100 { 0.05 } else { 0.0 };
    let before = (case, Kind::Before);
    tell("rate ÷ the build before".to_owned(), None, results.ratio(own, before, rate));
    let cpu = |turn: &Turn| turn.cpu_us;
    tell("processor time ÷ the build before".to_owned(), None, results.ratio(own, before, cpu));
    let mut add = |what: String, bound: Bound, measured| tell(what, Some(bound), measured);
    match scenario {
        Scenario::Uncontended => {
            let (of_ceiling, of_peers) = match depth {
                1 => (0.95, Some(1.0)),
                2..=16 => (0.9, Some(1.5)),
                _ => (0.75, None),
            };
            let ceiling = (case, Kind::Ceiling);
            let bound = Bound::AtLeast(of_ceiling - leeway);
            add("rate ÷ ceiling".to_owned(), bound, results.ratio(own, ceiling, rate));
            for (peer, least) in Kind::PEERS.into_iter().filter_map(|peer| Some((peer, of_peers?))) {
                let bound = Bound::AtLeast(least - leeway);
                add(format!("rate ÷ {}", peer.name()), bound, results.ratio(own, (case, peer), rate));
            }
            let most = if depth == 1 { 1.05 } else { 1.2 };
            let cpu = results.ratio(own, ceiling, |turn| turn.cpu_us);
            if depth <= 16 {
                add("processor time ÷ ceiling".to_owned(), Bound::AtMost(most + leeway), cpu);
            }
        }
        Scenario::Fresh => {
            let uncontended = (Case::new(Scenario::Uncontended, connections, depth), Kind::Elockd);
            tell("rate ÷ ceiling".to_owned(), None, results.ratio(own, (case, Kind::Ceiling), rate));
            for peer in Kind::PEERS {
                tell(format!("rate ÷ {}", peer.name()), None, results.ratio(own, (case, peer), rate));
            }
            tell("rate ÷ uncontended".to_owned(), None, results.ratio(own, uncontended, rate));
        }
        Scenario::Reconnect => {
            let ceiling = results.ratio(own, (case, Kind::Ceiling), rate);
            add("rate ÷ ceiling".to_owned(), Bound::AtLeast(0.9), ceiling);
            for peer in Kind::PEERS {
                let ratio = results.ratio(own, (case, peer), rate);
                add(format!("rate ÷ {}", peer.name()), Bound::AtLeast(1.0), ratio);
            }
        }
        Scenario::Fight | Scenario::LinePipelined => {
            let uncontended = (Case::new(Scenario::Uncontended, connections, depth), Kind::Elockd);
            let ratio = results.ratio(own, uncontended, rate);
            add("rate ÷ uncontended".to_owned(), Bound::AtLeast(0.9), ratio);
        }
        Scenario::LineTurns => {
            let token = (Case::new(Scenario::Token, connections, depth), Kind::Ceiling);
            let ratio = results.ratio(own, token, rate);
            add("rate ÷ token".to_owned(), Bound::AtLeast(0.9), ratio);
        }
        Scenario::Token | Scenario::Mixed | Scenario::Crowd { .. } => {}
    }
}
