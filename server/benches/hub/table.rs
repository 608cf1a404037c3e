//! The figures as tables in Markdown, which can be copied into a document.

use crate::arguments::Arguments;
use crate::results::{Case, Results, Round};
use crate::support::spread::Spread;

/// Prints everything.
pub(crate) fn print(results: &Results, arguments: &Arguments) {
    println!("Medians, and in brackets the lowest and the highest round.\n");
    measured(results);
    held(results);
    estimated(results, arguments);
}

/// Prints the results of the threads.
fn measured(results: &Results) {
    println!(
        "| commands in a batch | outside µs | threads | commands a second | in the hub, ns a batch \
         | more than alone, ns | waiting, % of a thread's time | lock held, % |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut cases: Vec<_> = results.cases().collect();
    cases.sort_by_key(|case| (case.size, case.outside, case.threads));
    for case in cases {
        let show = |of: &dyn Fn(&Round) -> f64| {
            results.spread(case, of).map_or_else(String::new, |spread| spread.to_string())
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            case.size,
            show(&|round| round.pace.outside_ns / 1e3),
            case.threads,
            show(&|round| round.pace.rate * count(case.size)),
            show(&|round| round.pace.inside_ns),
            show(&|round| round.waiting_ns),
            show(&Round::waiting_percent),
            show(&Round::held_percent),
        );
    }
}

/// Prints how long the lock is held.
fn held(results: &Results) {
    println!(
        "\n| commands in a batch | lock held, ns | commands a second at which it would always be held |"
    );
    println!("|---|---|---|");
    for (size, held) in results.held_ns() {
        println!("| {size} | {held} | {:.0} |", count(size) * 1e9 / held.median);
    }
}

/// Prints where the lock is the limit, by the formula of `docs/benchmarks.md`. A turn of a core is S outside the lock
/// and h within it, and the handover is added. Cases without work outside are left out: no turn of a server is like
/// that.
fn estimated(results: &Results, arguments: &Arguments) {
    let Arguments { outside_us, handover_ns, cores, .. } = arguments;
    let with_work: Vec<usize> = (0..outside_us.len()).filter(|&nth| outside_us[nth] > 0.0).collect();
    if with_work.is_empty() {
        return;
    }
    print!(
        "\n| commands in a batch | outside µs | handover ns | limit, commands a second | reached with, cores |"
    );
    for number in cores {
        print!(" lock held with {number} cores, % |");
    }
    println!("\n|---|---|---|---|---|{}", "---|".repeat(cores.len()));
    for (size, Spread { median: held_ns, .. }) in results.held_ns() {
        for &outside in &with_work {
            let alone = Case { outside, size, threads: 1 };
            let Some(outside) = results.spread(alone, |round| round.pace.outside_ns) else { continue };
            for handover_ns in handover_ns {
                let within_ns = held_ns + handover_ns;
                let limit = (outside.median + within_ns) / within_ns;
                let rate = count(size) * 1e9 / within_ns;
                let outside_us = outside.median / 1e3;
                print!("| {size} | {outside_us:.2} | {handover_ns:.0} | {rate:.0} | {limit:.1} |");
                for &number in cores {
                    print!(" {:.0} |", (100.0 * f64::from(number) / limit).min(100.0));
                }
                println!();
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
fn count(size: usize) -> f64 {
    size as f64
}
