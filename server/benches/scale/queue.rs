//! A thousand connections wait in line for one lock. They must be served in the same order in each round. A turn out of
//! order is an error.

use crate::Stage;
use crate::outcome::Outcome;
use crate::support::Failure;
use elockd_load::{Caller, Load, Scenario};
use std::time::Duration;

#[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
pub(crate) fn run(stage: &Stage) -> Result<Outcome, Failure> {
    let connections = stage.arguments.crowd_connections;
    let server = stage.daemon()?;
    let load = Load {
        scenario: Scenario::LineTurns,
        connections,
        depth: 1,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs_f64(stage.arguments.crowd_seconds / 10.0),
    };
    let report = load.run(server.target, &mut |_| {})?;
    let figures = Caller::connect(server.target)?.figures()?;
    if (figures["locks"], figures["waiters"]) != (0, 0) {
        return Err("somebody still holds the lock, or waits for it".into());
    }
    let mut outcome = Outcome::new(format!("{connections} connections in line for one lock"));
    outcome.add("turns, all in order", report.total as f64, "");
    outcome.add("the most that waited", figures["peak_waiters"] as f64, "");
    outcome.add("rate", report.rate(), "/s");
    outcome.add("from one holder to the next, p50", report.latency_us(0.5), "µs");
    outcome.add("from one holder to the next, p99", report.latency_us(0.99), "µs");
    outcome.add("from one holder to the next, worst", report.latency_us(1.0), "µs");
    Ok(outcome)
}
