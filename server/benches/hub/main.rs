//! What the hub's one lock costs. Threads run batches without any sockets. From that it estimates where the lock
//! becomes the limit, even for more cores than there are here. `docs/benchmarks.md` says how to run and read it.

mod arguments;
mod crew;
mod player;
mod results;
mod table;

#[path = "../support/mod.rs"]
mod support;

use arguments::Arguments;
use clap::Parser;
use crew::{Times, Work};
use player::Stage;
use results::{Case, Results};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;
use support::{Failure, machine};

fn main() -> ExitCode {
    support::end("hub", run())
}

fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    arguments.check()?;
    let Arguments { rounds, seconds, names, .. } = arguments;
    let processors = available_parallelism()?;
    println!(
        "{}; {processors} processors for this process; {rounds} rounds of {seconds} s; locks of each thread: {names}\n",
        machine::describe()
    );
    let results = measure(&arguments)?;
    table::print(&results, &arguments);
    Ok(())
}

/// Runs all rounds of all cases. Cases that are compared take turns.
fn measure(arguments: &Arguments) -> Result<Results, Failure> {
    let times = Times {
        warm_up: Duration::from_secs_f64(arguments.warm_up),
        measured: Duration::from_secs_f64(arguments.seconds),
    };
    let threads = arguments.threads()?;
    let works: Vec<_> = arguments.outside_us.iter().map(|&us| Work::of_us(us)).collect();
    let stage = Stage::new(arguments.names)?;
    let mut results = Results::default();
    for round in 1..=arguments.rounds {
        for &size in &arguments.batches {
            eprint!("\rround {round}, batches of {size} …\x1b[K");
            results.add_held(size, crew::held_ns(&stage, size, times)?);
            for (nth, &work) in works.iter().enumerate() {
                for &threads in &threads {
                    let pace = crew::run(&stage, (threads, size), work, times)?;
                    results.add(Case { outside: nth, size, threads }, pace);
                }
            }
        }
    }
    eprint!("\r\x1b[K");
    Ok(results)
}
