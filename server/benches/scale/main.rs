//! The daemon at scale: a million locks, thousands of connections, and all of them gone at once. Fifty other
//! connections get and release meanwhile, and every latency of theirs is recorded. `docs/benchmarks.md` says how to run
//! and read it.

mod arguments;
mod crowd;
mod death;
mod growth;
mod listing;
mod many;
mod observer;
mod outcome;
mod queue;
mod storm;

#[path = "../support/mod.rs"]
mod support;

use arguments::{Arguments, Part};
use clap::Parser;
use outcome::Outcome;
use serde_json::{Value, json};
use std::fs::File;
use std::process::ExitCode;
use support::cores::Cores;
use support::kind::Daemon;
use support::servers::Server;
use support::{Failure, goal, machine};

/// What every part needs.
struct Stage {
    cores: Cores,
    daemon: Daemon,
    arguments: Arguments,
}

impl Stage {
    /// A daemon that has done nothing yet.
    fn daemon(&self) -> Result<Server, Failure> {
        Server::start_elockd(&self.cores, &self.daemon)
    }
}

fn main() -> ExitCode {
    support::end("scale", run())
}

fn run() -> Result<(), Failure> {
    support::go_to_the_top()?;
    let arguments = Arguments::parse();
    machine::raise_file_limit();
    let cores = arguments.common.cores()?;
    let about = format!("{}; {}", machine::describe(), cores.describe());
    println!("{about}");
    let stage = Stage { cores, daemon: arguments.common.daemon(), arguments };
    let mut outcomes: Vec<Outcome> = Vec::new();
    for part in stage.arguments.parts() {
        let outcome = match part {
            Part::Storm => storm::run(&stage),
            Part::Sole => death::of_sole(&stage),
            Part::Tied => death::of_tied(&stage),
            Part::Growth => growth::run(&stage, stage.arguments.locks),
            Part::Huge => growth::run(&stage, stage.arguments.huge_locks),
            Part::Many => many::run(&stage),
            Part::Crowd => crowd::run(&stage),
            Part::Queue => queue::run(&stage),
            Part::Listing => listing::run(&stage),
        };
        let outcome = outcome.map_err(|failure| format!("{part:?}: {failure}"))?;
        outcome.print();
        outcomes.push(outcome);
    }
    goal::print(&outcomes.iter_mut().flat_map(|outcome| outcome.goals.drain(..)).collect::<Vec<_>>());
    if let Some(path) = &stage.arguments.common.json {
        let parts: Vec<Value> = outcomes.iter().map(Outcome::to_json).collect();
        serde_json::to_writer(File::create(path)?, &json!({ "about": about, "parts": parts }))?;
    }
    Ok(())
}
