//! The daemon compared with the ceiling of this computer and with alternatives, in one run. They take turns in rounds,
//! so that a disturbance affects all. Only ratios are judged, never absolute times. `docs/benchmarks.md` says how to
//! run and read it.

mod arguments;
mod cases;
mod goals;
mod json;
mod memory;
mod rounds;
mod table;

#[path = "../support/mod.rs"]
mod support;

use arguments::{Arguments, Part};
use clap::Parser;
use std::process::ExitCode;
use support::kind::Kind;
use support::servers::Server;
use support::{Failure, ceiling, machine};

fn main() -> ExitCode {
    support::end("peers", ceiling::run_if_asked().map_err(Into::into).and_then(|()| run()))
}

fn run() -> Result<(), Failure> {
    support::go_to_the_top()?;
    let arguments = Arguments::parse();
    machine::raise_file_limit();
    let cores = arguments.common.cores()?;
    let about = format!(
        "{}; {}; {} rounds of {} s",
        machine::describe(),
        cores.describe(),
        arguments.rounds,
        arguments.seconds
    );
    println!("{about}\n");
    let daemon = arguments.common.daemon();
    let mut servers = Server::start_all(&Kind::ALL, &cores, &daemon)?;
    let kinds: Vec<Kind> = servers.iter().map(|server| server.kind).collect();
    servers.retain(|server| !server.kind.is_restless());
    let start = |kind| Server::start(kind, &cores, &daemon);
    let results = rounds::run(&cases::groups(&arguments), &servers, &start, &arguments)?;
    // Memory is measured with servers that have done nothing yet.
    drop(servers);
    let locks = if arguments.has(Part::Locks) {
        memory::of_locks(&kinds, &cores, &daemon, arguments.locks)?
    } else {
        Vec::new()
    };
    let connections = if arguments.has(Part::Idle) {
        memory::of_connections(&kinds, &cores, &daemon, arguments.idle_connections)?
    } else {
        Vec::new()
    };
    let goals = goals::all(&results, &locks, &connections);
    table::print(&results, &locks, &connections, &goals);
    if let Some(path) = &arguments.common.json {
        json::write(path, &about, &results, (&locks, &connections), &goals)?;
    }
    Ok(())
}
