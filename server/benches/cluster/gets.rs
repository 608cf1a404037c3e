//! Gets and releases, a lock for each connection, with one request under way on each. Connections are spread evenly
//! over the nodes; one alone is at a follower. Processor time is that of all nodes together.

use crate::arguments::Arguments;
use crate::cluster::Cluster;
use crate::figures::Turn;
use crate::support::Failure;
use elockd_load::{Load, Scenario};

/// The names of the figures for a number of connections.
pub(crate) fn rate(connections: usize) -> String {
    format!("get or release, {connections} in flight: a second")
}

pub(crate) fn p99(connections: usize) -> String {
    format!("get or release, {connections} in flight: p99, ms")
}

#[allow(clippy::cast_precision_loss, reason = "counts of one turn are far below 2^52")]
pub(crate) fn run(cluster: &Cluster, arguments: &Arguments) -> Result<Turn, Failure> {
    let mut turn = Turn::new();
    let all = cluster.addresses();
    let addresses: Vec<_> = cluster.followers_first()?.into_iter().map(|nth| all[nth]).collect();
    for &connections in &arguments.connections {
        let load = Load {
            scenario: Scenario::Uncontended,
            connections,
            depth: 1,
            warm_up: arguments.warm_up(),
            measured: arguments.measured(),
        };
        let mut cpu_seconds = Vec::with_capacity(2);
        let mut at_edge = |_| cpu_seconds.push(cluster.cpu_seconds());
        let report = load.run_over(&addresses, cluster.system.protocol(), &mut at_edge)?;
        let cpu_seconds = cpu_seconds.into_iter().collect::<Result<Vec<_>, _>>()?;
        let [before, after] = cpu_seconds[..] else { return Err("the turn has no two edges".into()) };
        let of = |figure: &str| format!("get or release, {connections} in flight: {figure}");
        turn.push((rate(connections), report.rate()));
        turn.push((of("median, ms"), report.latency_us(0.5) / 1e3));
        turn.push((p99(connections), report.latency_us(0.99) / 1e3));
        turn.push((
            of("servers' processor time for one, µs"),
            (after - before) * 1e6 / report.operations as f64,
        ));
    }
    Ok(turn)
}
