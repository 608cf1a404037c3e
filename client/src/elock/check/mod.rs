//! `elock check`: clients lock and unlock, and it is judged whether a lock was ever held twice. For whoever wants to
//! see it with their own eyes while they kill a node.
//!
//! All clients are tasks of one thread, with one monotonic clock. So what one of them writes down before another did
//! happen before.

mod judge;
mod report;
mod worker;

use crate::name::{self, Name};
use crate::options::Options;
use crate::output::{print, print_json};
use crate::run::or_signal;
use crate::signals::{Signals, die_of};
use crate::span;
use crate::status::{Failure, HELD_TWICE, NOT_OBTAINED, Outcome};
use clap::Args;
use elockd_client::Server;
use judge::{Judge, Over};
use report::CheckReport;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use worker::{Happening, Worker};

/// How often lines are written.
const TICK: Duration = Duration::from_millis(100);

#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// How many clients lock and unlock.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// How many locks they share.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    locks: u16,
    /// For how long. A signal ends it sooner, with the verdict.
    #[arg(long = "for", value_name = "SPAN", default_value = "30s", value_parser = span::parse)]
    time: Duration,
    /// Write a line for each hold into this file.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// How the names of the locks begin.
    #[arg(long, value_name = "PREFIX", default_value = "elock-check-", value_parser = name::parser())]
    prefix: Name,
}

/// Runs it. Status 1 if a lock was held twice, or tokens did not ascend.
pub(crate) async fn check(options: &Options, args: &CheckArgs, signals: &mut Signals) -> Outcome {
    let mut check = Check::new(options, args)?;
    match or_signal(reach(options), signals).await {
        Ok(reached) => reached?,
        Err(signal) => return Ok(die_of(signal).into()),
    }
    let (stop, stopped) = watch::channel(false);
    let (tell, mut told) = unbounded_channel();
    let mut workers = JoinSet::new();
    let names: Vec<Vec<u8>> = check.locks.iter().map(|lock| lock.0.bytes().to_vec()).collect();
    check.start = Instant::now();
    for number in 0..args.clients {
        let worker = Worker::new(options, number, check.start, tell.clone())?;
        workers.spawn(worker.run(names.clone(), stopped.clone()));
    }
    drop(tell);
    tokio::select! {
        biased;
        _ = or_signal(sleep(args.time), signals) => {}
        listened = check.listen(&mut told) => listened?,
    }
    let end = check.start.elapsed();
    // The workers go on reading it until they have ended.
    stop.send_replace(true);
    match or_signal(check.listen(&mut told), signals).await {
        Ok(listened) => listened?,
        Err(signal) => return Ok(die_of(signal).into()),
    }
    check.finish(end, args)
}

/// Makes sure that there is a server.
async fn reach(options: &Options) -> Result<(), Failure> {
    options.builder().build()?.ping().await?;
    Ok(())
}

/// A check that runs.
struct Check {
    is_json: bool,
    start: Instant,
    /// The locks, each with its judge.
    locks: Vec<(Name, Judge)>,
    /// Where each client got its last lock, and where before. It may go to and fro if it has connections to both.
    servers: Vec<[Option<Server>; 2]>,
    report: CheckReport,
    history: Option<History>,
    /// The last request that failed.
    failure: Option<Failure>,
}

impl Check {
    fn new(options: &Options, args: &CheckArgs) -> Result<Self, Failure> {
        let lock = |number: u16| {
            let name = [args.prefix.bytes(), number.to_string().as_bytes()].concat();
            Name::new(&name).map(|name| (name, Judge::default())).map_err(Failure::usage)
        };
        Ok(Self {
            is_json: options.is_json,
            start: Instant::now(),
            locks: (1..=args.locks).map(lock).collect::<Result<_, _>>()?,
            servers: vec![[None, None]; args.clients.into()],
            report: CheckReport::default(),
            history: args.history.clone().map(History::create).transpose()?,
            failure: None,
        })
    }

    /// Takes note of all that the workers tell, until all have ended.
    async fn listen(&mut self, told: &mut UnboundedReceiver<Happening>) -> Result<(), Failure> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => self.write()?,
                happening = told.recv() => match happening {
                    Some(happening) => self.note(happening)?,
                    None => return Ok(()),
                },
            }
        }
    }

    fn note(&mut self, happening: Happening) -> Result<(), Failure> {
        let now = self.start.elapsed();
        match happening {
            Happening::Began { lock, begun, server } => {
                self.report.grant(begun.from);
                let (name, judge) = &mut self.locks[lock];
                if let Some(finding) = judge.begin(begun) {
                    self.report.find(now, name, &finding);
                }
                let servers = &mut self.servers[usize::from(begun.client)];
                if servers[0].as_ref() != Some(&server) {
                    if servers[0].is_some() && servers[1].as_ref() != Some(&server) {
                        self.report.moved(&server.to_string());
                    }
                    servers[1] = servers[0].replace(server);
                }
            }
            Happening::Ended { lock, client, until, lost } => {
                self.report.end(lost.as_deref());
                let (name, judge) = &mut self.locks[lock];
                let (over, found) = judge.end(client, until);
                for finding in found {
                    self.report.find(now, name, &finding);
                }
                if let (Some(history), Some(over)) = (&mut self.history, over) {
                    history.write(name, &over, lost.as_deref())?;
                }
            }
            Happening::NotReleased(lost) => self.report.lose(&format!("lost in a release: {lost}")),
            Happening::Failed(error) => {
                self.report.fail(now, &error.to_string());
                self.failure = Some(error.into());
            }
            Happening::GaveUp(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Writes what is due.
    fn write(&mut self) -> Result<(), Failure> {
        let lines = self.report.lines(self.start.elapsed());
        if !self.is_json && !lines.is_empty() {
            print(&lines.concat())?;
        }
        self.history.as_mut().map_or(Ok(()), History::flush)
    }

    fn finish(mut self, end: Duration, args: &CheckArgs) -> Outcome {
        self.write()?;
        if self.report.holds == 0 {
            let none = || Failure::new(NOT_OBTAINED, "no lock was granted, so nothing was seen");
            return Err(self.failure.unwrap_or_else(none));
        }
        let (locks, clients) = (args.locks.into(), args.clients.into());
        if self.is_json {
            print_json(&self.report.json(end, locks, clients))?;
        } else {
            print(&self.report.verdict(end, locks, clients))?;
        }
        Ok(if self.report.is_good() { ExitCode::SUCCESS } else { HELD_TWICE.into() })
    }
}

/// The file with a line for each hold, in the order in which they ended.
struct History {
    path: PathBuf,
    file: BufWriter<File>,
}

impl History {
    fn create(path: PathBuf) -> Result<Self, Failure> {
        let file = File::create(&path).map_err(|error| refused(&path, error))?;
        let mut history = Self { path, file: BufWriter::new(file) };
        history.line("from_ns\tuntil_ns\tlock\tclient\ttoken\tend")?;
        Ok(history)
    }

    fn write(&mut self, name: &Name, over: &Over, lost: Option<&str>) -> Result<(), Failure> {
        let Over { begun, until } = over;
        let token = begun.token.map_or_else(|| "-".to_owned(), |token| token.to_string());
        let end = lost.map_or_else(|| "released".to_owned(), |reason| format!("lost: {reason}"));
        let (from, until) = (begun.from.as_nanos(), until.as_nanos());
        self.line(&format!("{from}\t{until}\t{name}\t{}\t{token}\t{end}", begun.client))
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.file, "{line}").map_err(|error| refused(&self.path, error))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| refused(&self.path, error))
    }
}

fn refused(path: &std::path::Path, error: std::io::Error) -> Failure {
    Failure::system(&format!("write to {}", path.display()), error)
}
