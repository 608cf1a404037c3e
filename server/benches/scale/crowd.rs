//! A crowd that fights for locks, exclusive and shared. Each reply is checked. Afterwards nobody may hold anything, and
//! every request must have been counted once.

use crate::Stage;
use crate::outcome::Outcome;
use crate::support::Failure;
use elockd_load::{Caller, Load, Scenario};
use std::time::Duration;

#[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
pub(crate) fn run(stage: &Stage) -> Result<Outcome, Failure> {
    let (connections, names) = (stage.arguments.crowd_connections, stage.arguments.crowd_names);
    let server = stage.daemon()?;
    let load = Load {
        scenario: Scenario::Crowd { names },
        connections,
        depth: 1,
        warm_up: Duration::ZERO,
        measured: Duration::from_secs_f64(stage.arguments.crowd_seconds),
    };
    let report = load.run(server.target, &mut |_| {})?;
    let mut look = Caller::connect(server.target)?;
    look.see_free(0..names)?;
    let figures = look.figures()?;
    for key in ["locks", "shared_locks", "holds", "shared_holds", "orphans", "shared_orphans", "lock_bytes"] {
        if figures[key] != 0 {
            return Err(format!("after everybody has left, {key} is {}", figures[key]).into());
        }
    }
    let counted: u64 =
        ["command_g", "command_r", "command_sg", "command_sr"].iter().map(|&key| figures[key]).sum();
    if counted != report.total {
        return Err(format!("{counted} requests were counted, and {} answered", report.total).into());
    }
    let mut outcome = Outcome::new(format!("{connections} connections among {names} names"));
    outcome.add("requests, each counted and answered once", report.total as f64, "");
    outcome.add("rate", report.rate(), "/s");
    outcome.add("gets that failed", figures["failed_g"] as f64, "");
    outcome.add("p50", report.latency_us(0.5), "µs");
    outcome.add("p99", report.latency_us(0.99), "µs");
    outcome.add("worst", report.latency_us(1.0), "µs");
    Ok(outcome)
}
