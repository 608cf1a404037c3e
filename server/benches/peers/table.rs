//! The figures as tables in Markdown, which can be copied into a document.

use crate::memory::{Connection, Lock};
use crate::rounds::{Results, Turn};
use crate::support::goal::{self, Goal};

/// Prints everything.
pub(crate) fn print(results: &Results, locks: &[Lock], connections: &[Connection], goals: &[Goal]) {
    println!("Medians, and in brackets the lowest and the highest round. Rates in operations a second.\n");
    if !results.cases().is_empty() {
        println!("| | server | rate | p50 µs | p99 µs | p99.9 µs | max µs | server's CPU µs |");
        println!("|---|---|---|---|---|---|---|---|");
    }
    for (case, kind, series) in results.iter() {
        let show =
            |of: fn(&Turn) -> f64| series.spread(of).map_or_else(String::new, |spread| spread.to_string());
        let median = |of: fn(&Turn) -> f64| series.spread(of).map_or(0.0, |spread| spread.median);
        println!(
            "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
            case.name(),
            kind.name(),
            show(|turn| turn.rate),
            median(|turn| turn.p50_us),
            median(|turn| turn.p99_us),
            median(|turn| turn.p999_us),
            median(|turn| turn.max_us),
            show(|turn| turn.cpu_us),
        );
    }
    if !locks.is_empty() {
        println!("\n| server | bytes of a held lock |\n|---|---|");
        for Lock { kind, bytes } in locks {
            println!("| {} | {bytes:.1} |", kind.name());
        }
    }
    if !connections.is_empty() {
        println!("\n| server | bytes of a silent connection | after its first request |\n|---|---|---|");
        for Connection { kind, silent_bytes, used_bytes } in connections {
            println!("| {} | {silent_bytes:.0} | {used_bytes:.0} |", kind.name());
        }
    }
    goal::print(goals);
}
