//! Writes the figures as JSON, for pictures: every round, and the curve of latencies.

use crate::memory::{Connection, Lock};
use crate::rounds::{Results, Turn};
use crate::support::Failure;
use crate::support::goal::Goal;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;

/// Writes everything.
pub(crate) fn write(
    path: &Path,
    about: &str,
    results: &Results,
    (locks, connections): (&[Lock], &[Connection]),
    goals: &[Goal],
) -> Result<(), Failure> {
    let runs: Vec<Value> = results
        .iter()
        .map(|(case, kind, series)| {
            json!({
                "scenario": format!("{:?}", case.scenario),
                "connections": case.connections,
                "depth": case.depth,
                "server": kind.name(),
                "rounds": series.turns.iter().map(turn).collect::<Vec<_>>(),
                "latency_curve_us": series.curve,
            })
        })
        .collect();
    let locks: Vec<Value> =
        locks.iter().map(|Lock { kind, bytes }| json!({ "server": kind.name(), "bytes": bytes })).collect();
    let connections: Vec<Value> = connections
        .iter()
        .map(|Connection { kind, silent_bytes, used_bytes }| {
            json!({ "server": kind.name(), "silent_bytes": silent_bytes, "used_bytes": used_bytes })
        })
        .collect();
    let all = json!({
        "about": about,
        "runs": runs,
        "bytes_of_a_lock": locks,
        "bytes_of_a_connection": connections,
        "goals": goals.iter().map(Goal::to_json).collect::<Vec<_>>(),
    });
    serde_json::to_writer_pretty(File::create(path)?, &all)?;
    Ok(())
}

fn turn(turn: &Turn) -> Value {
    json!({
        "rate": turn.rate,
        "p50_us": turn.p50_us,
        "p99_us": turn.p99_us,
        "p999_us": turn.p999_us,
        "max_us": turn.max_us,
        "server_cpu_us": turn.cpu_us,
    })
}
