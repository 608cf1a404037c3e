//! A cluster of elockd beside one of etcd: three nodes each, on this machine, with their logs on one disk and every
//! change synced. They take turns in rounds, so that a disturbance affects both, and only one of them runs at a time.
//! `docs/benchmarks.md` says how to run and read it.

mod arguments;
mod client;
mod cluster;
mod death;
mod disk;
mod etcd;
mod figures;
mod gets;
mod goals;
mod line;
mod orphans;
mod ours;
mod system;
mod watching;

#[path = "../support/mod.rs"]
mod support;

use arguments::{Arguments, Part};
use clap::Parser;
use cluster::Cluster;
use figures::{Figures, Turn};
use serde_json::json;
use std::fs::File;
use std::process::ExitCode;
use support::goal::{self, Goal};
use support::{Failure, machine};
use system::System;

fn main() -> ExitCode {
    support::end("cluster", run())
}

fn run() -> Result<(), Failure> {
    support::go_to_the_top()?;
    let arguments = Arguments::parse();
    machine::raise_file_limit();
    let sync_ms = disk::sync_ms(&arguments.folder)?;
    let about = format!(
        "{}; a sync of the disk takes {sync_ms:.2} ms; {} rounds",
        machine::describe(),
        arguments.rounds
    );
    println!("{about}; load average {}\n", machine::load_average());
    let systems = arguments.systems();
    let mut figures = Figures::default();
    for part in arguments.parts() {
        for round in 0..arguments.rounds {
            for &system in systems.iter().filter(|system| part.is_for(**system)) {
                eprint!("\r{part:?}, {}, round {} …\x1b[K", system.name(), round + 1);
                let turn = turn(part, system, round, &arguments)
                    .map_err(|failure| format!("{part:?}, {}: {failure}", system.name()))?;
                figures.add(system, turn);
            }
        }
    }
    eprint!("\r\x1b[K");
    figures.print(&systems);
    let goals = goals::all(&figures);
    goal::print(&goals);
    println!("\nload average at the end: {}", machine::load_average());
    if let Some(path) = &arguments.json {
        let goals: Vec<_> = goals.iter().map(Goal::to_json).collect();
        let all = json!({ "about": about, "cluster": figures.to_json(), "goals": goals });
        serde_json::to_writer_pretty(File::create(path)?, &all)?;
    }
    Ok(())
}

/// Starts a cluster that has done nothing yet, and measures one part with it.
fn turn(part: Part, system: System, round: u32, arguments: &Arguments) -> Result<Turn, Failure> {
    let cluster = Cluster::start(system, arguments)?;
    match part {
        Part::Gets => gets::run(&cluster, arguments),
        Part::Line => line::run(&cluster, arguments),
        Part::Orphans => orphans::run(&cluster, arguments),
        Part::Follower => death::run(cluster, death::Victim::Follower, round, arguments),
        Part::Leader => death::run(cluster, death::Victim::Leader, round, arguments),
    }
}
