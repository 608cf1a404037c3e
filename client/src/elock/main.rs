//! The program `elock`: locks of elockd on the command line. Each command has a file of its own; this one reads the
//! command line and says how it ended.

#![allow(clippy::doc_markdown, reason = "what help says is read on a terminal")]

mod bench;
mod channel;
mod check;
mod get;
mod hold;
mod identity;
mod inherited;
mod job;
mod lead;
mod lock;
mod name;
mod on_lost;
mod operate;
mod options;
mod output;
mod pages;
mod progress;
mod rate;
mod remote;
mod rows;
mod run;
mod secret;
mod shell;
mod signals;
mod silence;
mod span;
mod ssh;
mod status;
mod supervise;
mod tls;
mod token;
mod top;
mod tunnel;
mod view;
mod wait;

use clap::{Parser, Subcommand};
use options::{Common, Options};
use signals::Signals;
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
    /// Run a command while a lock is held.
    Run(run::RunArgs),
    /// Run a command whenever this machine has the lock, for ever.
    Lead(lead::LeadArgs),
    /// Run a command, but not more often than a rate allows on all machines together.
    Rate(rate::RateArgs),
    /// Get a lock, print its fencing token, and hold it until a signal or the end of a pipe.
    Get(get::GetArgs),
    /// Hold a lock in the background, over several commands and terminals, until it is released.
    Hold(hold::HoldArgs),
    /// Release a lock that `elock hold` holds.
    Release(hold::ReleaseArgs),
    /// Show what `elock hold` holds. Exit status 0 if the lock is held so, 1 if not.
    Status(hold::StatusArgs),
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
    /// Wait until whoever holds a lock now is done, without getting the lock.
    Wait(wait::WaitArgs),
    /// Watch a daemon live: rates, locks, who holds and who waits.
    Top(top::TopArgs),
    /// Have ports here lead to ports at the other side of an SSH host, and connect again whenever that breaks.
    Tunnel(tunnel::TunnelArgs),
    /// Speak the protocol by hand, with history, completion and help.
    Shell,
    /// Ask the daemon as fast as it answers, and draw how long that takes.
    Bench(bench::BenchArgs),
    /// Lock and unlock with many clients, and judge whether a lock was ever held twice.
    Check(check::CheckArgs),
    /// Close a connection, which releases its locks (operators only).
    Kick(operate::KickArgs),
    /// Take a lock from its holder (operators only).
    Steal(operate::StealArgs),
    /// Print completions for a shell.
    Completions(pages::CompletionsArgs),
    /// Write the pages for man(1) into a folder.
    Man(pages::ManArgs),
}

fn main() -> ExitCode {
    // The program of OpenSSH may have run this program to ask for a password.
    elockd_client::ssh::init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            match error.to_string().strip_prefix("error: ") {
                Some(text) => output::tell(text.trim_end()),
                // It is help. If nobody takes it, nobody is told.
                None => drop(error.print()),
            }
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match cli.common.options().and_then(|options| run(cli.command, &options)) {
        Ok(status) => status,
        Err(Failure { status, message }) => {
            output::tell(message);
            status.into()
        }
    }
}

fn run(action: Action, options: &Options) -> Outcome {
    match action {
        Action::Run(args) => with_signals(async |signals| run::run(options, &args, signals).await),
        Action::Lead(args) => with_signals(async |signals| lead::lead(options, args, signals).await),
        Action::Rate(args) => block_on(rate::rate(options, &args)),
        Action::Get(args) => with_signals(async |signals| get::get(options, &args, signals).await),
        Action::Hold(args) => hold::hold(options, args),
        Action::Release(args) => hold::release(options, &args),
        Action::Status(args) => hold::status(options, &args),
        Action::Ls(args) => block_on(View::Ls(args).run(options)),
        Action::Inspect(args) => block_on(View::Inspect(args).run(options)),
        Action::Who(args) => block_on(View::Who(args).run(options)),
        Action::Stats(args) => block_on(View::Stats(args).run(options)),
        Action::Ping(args) => block_on(View::Ping(args).run(options)),
        Action::Wait(args) => block_on(wait::wait(options, &args)),
        Action::Top(args) => top::top(options, &args),
        Action::Tunnel(args) => with_signals(async |signals| tunnel::tunnel(options, &args, signals).await),
        Action::Shell => shell::shell(options),
        Action::Bench(args) => on_all_cores(bench::bench(options, args)),
        Action::Check(args) => with_signals(async |signals| check::check(options, &args, signals).await),
        Action::Kick(args) => block_on(operate::kick(options, &args)),
        Action::Steal(args) => block_on(operate::steal(options, &args)),
        Action::Completions(args) => pages::completions::<Cli>(&args),
        Action::Man(args) => pages::man::<Cli>(&args),
    }
}

/// Runs it with the signals of this process in its hands.
fn with_signals<T>(work: impl AsyncFnOnce(&mut Signals) -> Result<T, Failure>) -> Result<T, Failure> {
    let mut signals = Signals::catch()?;
    block_on(work(&mut signals))
}

/// Runs it in this thread.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::system("start the runtime", error))?.block_on(work)
}

/// Runs it in as many threads as there are cores.
fn on_all_cores<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::system("start the runtime", error))?.block_on(work)
}
