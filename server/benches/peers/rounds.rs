//! Rounds: in each, every run of a group has one turn.

use crate::arguments::Arguments;
use crate::cases::{Case, Group};
use crate::support::Failure;
use crate::support::kind::Kind;
use crate::support::servers::Server;
use crate::support::spread::Spread;
use elockd_load::{Load, Report};
use std::collections::BTreeMap;
use std::time::Duration;

/// The result of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) rate: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub(crate) max_us: f64,
    /// Processor time of the server for an operation.
    pub(crate) cpu_us: f64,
}

/// All turns of one server in one case.
pub(crate) struct Series {
    pub(crate) turns: Vec<Turn>,
    /// Pairs of a part of all operations and the latency in microseconds that it did not exceed, over all turns.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// All that was measured.
pub(crate) struct Results(BTreeMap<(Case, Kind), Series>);

impl Results {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Case, Kind, &Series)> {
        self.0.iter().map(|((case, kind), series)| (case, *kind, series))
    }

    /// The ratio of one run's figure to another's, round by round. `None` if one of them was not measured.
    pub(crate) fn ratio(
        &self,
        one: (Case, Kind),
        other: (Case, Kind),
        of: impl Fn(&Turn) -> f64,
    ) -> Option<Spread> {
        let (one, other) = (self.0.get(&one)?, self.0.get(&other)?);
        Spread::of(one.turns.iter().zip(&other.turns).map(|(one, other)| of(one) / of(other)))
    }

    /// All cases.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<_> = self.0.keys().map(|(case, _)| *case).collect();
        cases.dedup();
        cases
    }
}

impl Series {
    pub(crate) fn spread(&self, of: impl Fn(&Turn) -> f64) -> Option<Spread> {
        Spread::of(self.turns.iter().map(of))
    }
}

/// Runs all rounds of all groups, with the servers that run already, and with those that `start` starts for a turn.
pub(crate) fn run(
    groups: &[Group],
    servers: &[Server],
    start: &dyn Fn(Kind) -> Result<Option<Server>, Failure>,
    arguments: &Arguments,
) -> Result<Results, Failure> {
    let mut results = BTreeMap::new();
    for group in groups {
        let mut reports: BTreeMap<(Case, Kind), (Vec<Turn>, Option<Report>)> = BTreeMap::new();
        for round in 1..=arguments.rounds {
            eprint!("\r{}, round {round} …\x1b[K", group[0].1.name());
            for &(kind, case) in group {
                let guest = if kind.is_restless() { start(kind)? } else { None };
                let is_it = |server: &&Server| server.kind == kind;
                let Some(server) = servers.iter().chain(&guest).find(is_it) else { continue };
                let (turn, report) = turn(server, case, arguments)
                    .map_err(|failure| format!("{}, {}: {failure}", kind.name(), case.name()))?;
                let (turns, all) = reports.entry((case, kind)).or_default();
                turns.push(turn);
                match all {
                    Some(all) => all.latency_ns.add(&report.latency_ns)?,
                    None => *all = Some(report),
                }
            }
        }
        for (key, (turns, report)) in reports {
            let curve = report.as_ref().map(curve).unwrap_or_default();
            results.insert(key, Series { turns, curve });
        }
    }
    eprint!("\r\x1b[K");
    Ok(Results(results))
}

fn turn(server: &Server, case: Case, arguments: &Arguments) -> Result<(Turn, Report), Failure> {
    let load = Load {
        scenario: case.scenario,
        connections: case.connections,
        depth: case.depth,
        warm_up: Duration::from_secs_f64(arguments.warm_up),
        measured: Duration::from_secs_f64(arguments.seconds),
    };
    let mut cpu_seconds = Vec::with_capacity(2);
    let report = load.run(server.target, &mut |_| cpu_seconds.push(server.cpu_seconds()))?;
    let mut cpu_seconds = cpu_seconds.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
    let (Some(before), Some(after)) = (cpu_seconds.next(), cpu_seconds.next()) else {
        return Err("the turn has no two edges".into());
    };
    #[allow(clippy::cast_precision_loss, reason = "counts of one turn are far below 2^52")]
    let operations = report.operations as f64;
    let turn = Turn {
        rate: report.rate(),
        p50_us: report.latency_us(0.5),
        p99_us: report.latency_us(0.99),
        p999_us: report.latency_us(0.999),
        max_us: report.latency_us(1.0),
        cpu_us: (after - before) * 1e6 / operations,
    };
    Ok((turn, report))
}

/// The points of a picture of percentiles. They get ever closer to 100 %.
fn curve(report: &Report) -> Vec<(f64, f64)> {
    let exponents = (0..=60).map(|step| f64::from(step) / 10.0);
    let parts = exponents.map(|exponent| 1.0 - 10_f64.powf(-exponent));
    parts.map(|part| (part, report.latency_us(part))).collect()
}
