//! A line for one lock. The one that gets it releases it at once and joins the line again. elockd's order must be
//! exact: the load ends with an error if it is not. Of etcd only that nobody shares the lock is checked.

use crate::arguments::Arguments;
use crate::cluster::Cluster;
use crate::figures::Turn;
use crate::support::Failure;
use elockd_load::{Load, Scenario};

/// The name of the figure.
pub(crate) fn rate(contenders: usize) -> String {
    format!("turns of {contenders} in line for one lock: a second")
}

pub(crate) fn run(cluster: &Cluster, arguments: &Arguments) -> Result<Turn, Failure> {
    let contenders = arguments.contenders;
    let load = Load {
        scenario: Scenario::LineTurns,
        connections: contenders,
        depth: 1,
        warm_up: arguments.warm_up(),
        measured: arguments.measured(),
    };
    let report = load.run_over(&cluster.addresses(), cluster.system.protocol(), &mut |_| {})?;
    let of = |figure: &str| format!("turns of {contenders} in line for one lock: {figure}");
    Ok(vec![
        (rate(contenders), report.rate()),
        (of("median, ms"), report.latency_us(0.5) / 1e3),
        (of("p99, ms"), report.latency_us(0.99) / 1e3),
    ])
}
