//! `elock run`: a command runs while a lock is held.

use crate::job::Task;
use crate::lock::{LockArgs, Obtained, WaitingArgs};
use crate::on_lost::OnLost;
use crate::options::Options;
use crate::output::tell;
use crate::remote;
use crate::signals::{Signals, die_of};
use crate::span;
use crate::status::{Failure, LOST, Outcome};
use crate::supervise::{Ended, hold_on, supervise};
use clap::Args;
use elockd_client::ssh::Destination;
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::time::Duration;
use tokio::time::Instant;

/// What happens to the command if nothing else is said.
pub(crate) const ON_LOST: &str = "term,5s,kill";
/// The same in a cluster, whose locks are given away sooner.
pub(crate) const CLUSTER_ON_LOST: &str = "term,400ms,kill";

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    waiting: WaitingArgs,
    /// Hold the lock for at least so long, even if the command ends sooner: clocks differ, and once a minute means
    /// once.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    at_least: Option<Duration>,
    #[command(flatten)]
    command: CommandArgs,
}

/// What is to be run.
#[derive(Args, Debug)]
pub(crate) struct CommandArgs {
    /// What happens to the command and to all that it started when the lock is lost: signals and pauses, or none.
    /// Default: term,5s,kill; with --cluster: term,400ms,kill.
    #[arg(long, value_name = "STEPS")]
    on_lost: Option<OnLost>,
    /// Close the connection in the command. Then the lock is free if elock is killed, though the command still runs.
    #[arg(short = 'o', long)]
    close: bool,
    /// Run the command at this host, by SSH, and hold the lock here.
    #[arg(long, value_name = "[USER@]HOST[:PORT]", conflicts_with = "close")]
    on: Option<Destination>,
    /// Give this line to the shell ($SHELL) instead of running a command.
    #[arg(short = 'c', long = "command", value_name = "LINE")]
    line: Option<OsString>,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl CommandArgs {
    pub(crate) fn task(&self) -> Result<Task, Failure> {
        Task::new(&self.command, self.line.as_deref())
    }

    /// What happens to it when the lock is lost.
    pub(crate) fn on_lost(&self, options: &Options) -> OnLost {
        let default = if options.is_cluster { CLUSTER_ON_LOST } else { ON_LOST };
        self.on_lost.clone().unwrap_or_else(|| default.parse().expect("a test reads both defaults"))
    }

    /// Runs it under the lock.
    pub(crate) async fn run(
        &self,
        options: &Options,
        task: &Task,
        lock: &Obtained,
        signals: &mut Signals,
    ) -> Result<Ended, Failure> {
        let on_lost = self.on_lost(options);
        match &self.on {
            Some(host) => {
                let ssh = options.ssh.to(host);
                remote::supervise(&ssh, &task.words_elsewhere(), lock, &on_lost, signals).await
            }
            None => supervise(task, lock, !self.close, &on_lost, signals).await,
        }
    }
}

/// Gets the lock, runs the command, releases the lock.
pub(crate) async fn run(options: &Options, args: &RunArgs, signals: &mut Signals) -> Outcome {
    let task = args.command.task()?;
    let stopping = args.command.on_lost(options).span();
    let lock = match or_signal(args.lock.get(options, args.waiting, stopping), signals).await {
        Ok(lock) => lock?,
        Err(signal) => return Ok(die_of(signal).into()),
    };
    let since = Instant::now();
    let result = args.command.run(options, &task, &lock, signals).await;
    if let (Ok(Ended { lost: None, signal: None, code }), Some(span)) = (&result, args.at_least)
        && let Err(lost) = hold_on(&lock, since, span, signals).await
    {
        // The command itself ran under the lock.
        tell(format_args!("{} was lost: {lost}; the command had ended before", lock.name()));
        return Ok((*code).into());
    }
    if let Ok(Ended { lost: Some(_), .. }) = result {
        // There is nothing to wait for: the end of this process ends the connection.
        return Ok(LOST.into());
    }
    let name = lock.name().clone();
    let released = lock.release().await;
    let Ended { code, signal, .. } = result?;
    if let Some(signal) = signal {
        return Ok(die_of(signal).into());
    }
    if let Err(lost) = released {
        tell(format_args!("{name} was lost: {lost}; the command had ended with status {code}"));
        return Ok(LOST.into());
    }
    Ok(code.into())
}

/// Does the work, or returns the signal that came first and ends programs.
pub(crate) async fn or_signal<T>(work: impl Future<Output = T>, signals: &mut Signals) -> Result<T, Signal> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            arrived = signals.next() => if arrived.ends() { return Err(arrived.signal) },
        }
    }
}
