//! The program `elock`: locks of elockd on the command line. Each command has a file of its own; this one reads the
//! command line and says how it ended.

mod job;
mod link;
mod name;
mod on_lost;
mod operate;
mod output;
mod rows;
mod settings;
mod signals;
mod span;
mod status;
mod view;

use clap::{Parser, Subcommand};
use settings::{Common, Settings};
use status::{Failure, Outcome, USAGE};
use std::process::ExitCode;
use view::View;

/// Locks by name, over the network: run commands while a lock is held, see who holds what.
#[derive(Debug, Parser)]
#[command(name = "elock", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Action,
    #[command(flatten)]
    common: Common,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
enum Action {
    /// List who holds what, who waits, and for how long.
    Ls(view::LsArgs),
    /// Show one lock. Exit status 0 if it is held, 1 if it is free.
    Inspect(view::InspectArgs),
    /// List the connections that have registered a name.
    Who(view::WhoArgs),
    /// Show the daemon's statistics.
    Stats(view::StatsArgs),
    /// Ask the daemon whether it is there, and how long that takes.
    Ping(view::PingArgs),
    /// Close a connection, which releases its locks (operators only).
    Kick(operate::KickArgs),
    /// Take a lock from its holder (operators only).
    Steal(operate::StealArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { USAGE } else { 0 };
            // If nobody takes it, nobody is told.
            let _ = error.print();
            return status.into();
        }
    };
    match cli.common.settings().and_then(|settings| run(cli.command, &settings)) {
        Ok(status) => status,
        Err(Failure { status, message }) => {
            output::tell(message);
            status.into()
        }
    }
}

fn run(action: Action, settings: &Settings) -> Outcome {
    match action {
        Action::Ls(args) => block_on(View::Ls(args).run(settings)),
        Action::Inspect(args) => block_on(View::Inspect(args).run(settings)),
        Action::Who(args) => block_on(View::Who(args).run(settings)),
        Action::Stats(args) => block_on(View::Stats(args).run(settings)),
        Action::Ping(args) => block_on(View::Ping(args).run(settings)),
        Action::Kick(args) => block_on(operate::kick(settings, &args)),
        Action::Steal(args) => block_on(operate::steal(settings, &args)),
    }
}

/// Runs it in this thread.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::system("start the runtime", error))?.block_on(work)
}
