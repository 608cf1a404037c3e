//! The simulation's command line: runs seeds, runs kept traces again, shrinks what fails, draws it.
//!
//! Exit status: 0 when every invariant held; 1 when one was violated, or when a swarm did not reach everything; 2 for
//! a wrong command line, or a file that cannot be read or written.

use clap::{Args, Parser, Subcommand, ValueEnum};
use elockd_core::probe::{Canary, plant};
use elockd_sim::cluster::{self, ClusterReport, Clusters};
use elockd_sim::guards::{self, Guards};
use elockd_sim::plan::{Orphaning, Plan};
use elockd_sim::script::Step;
use elockd_sim::shrink::{Shrunk, shrink};
use elockd_sim::swarm::{Failure, Swarm, Watcher};
use elockd_sim::trace::{Trace, TraceError};
use elockd_sim::verdict::{self, Verdict};
use elockd_sim::{draw, timeline};
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

/// The production server over a simulated network, with faults, any number of times.
#[derive(Debug, Parser)]
#[command(name = "elockd-sim", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Plant this bug (see core/src/probe/canary.rs); the run is meant to fail.
    #[arg(long, global = true, value_name = "NAME", value_parser = canary)]
    canary: Option<Canary>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run many seeds, on every core. The first that fails is kept, shrunk and drawn.
    Swarm {
        /// How many seeds.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first of them.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Number of threads; by default one for each core.
        #[arg(long)]
        threads: Option<usize>,
        /// Do not fail when a mark was never reached or a kind of fault never made a difference. Fewer
        /// than a thousand seeds are not expected to reach everything.
        #[arg(long)]
        allow_gaps: bool,
        /// Seconds after which a seed counts as hanging.
        #[arg(long, value_name = "SECONDS", default_value_t = Swarm::PATIENCE.as_secs())]
        patience: u64,
        /// Folder for the trace of a failure.
        #[arg(long, value_name = "DIR", default_value = "target/sim")]
        keep: PathBuf,
    },
    /// Run one seed.
    Seed {
        /// The seed.
        seed: u64,
        #[command(flatten)]
        show: Show,
    },
    /// Run programs with the client library: two guards of one lock must never be held at once.
    Guards {
        /// How many seeds.
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// The first of them.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Number of threads; by default one for each core.
        #[arg(long)]
        threads: Option<usize>,
    },
    /// Run a cluster: several nodes, faults, and clients that see one set of locks.
    Cluster {
        /// How many seeds.
        #[arg(long, default_value_t = 150)]
        seeds: u64,
        /// The first of them.
        #[arg(long, alias = "seed", default_value_t = 0)]
        from: u64,
        /// Number of threads; by default one for each core.
        #[arg(long)]
        threads: Option<usize>,
        /// Run the first seed alone, and print everything that happened, in order.
        #[arg(long)]
        log: bool,
    },
    /// Run a mass orphaning: many connections with many locks end at once.
    Mass {
        /// How they come to end.
        #[arg(long, value_enum, default_value_t = How::Crash)]
        how: How,
        /// Connections that end.
        #[arg(long, default_value_t = 2000)]
        connections: u32,
        /// Number of their holds, half of them shared by five connections each.
        #[arg(long, default_value_t = 100_000)]
        locks: u32,
        /// What else is decided by chance.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        show: Show,
    },
    /// Run a long line: many connections wait for one lock, and each passes it on as soon as it gets it.
    Line {
        /// Connections that wait.
        #[arg(long, default_value_t = 1000)]
        waiters: u32,
        /// Hosts that they are on.
        #[arg(long, default_value_t = 20)]
        hosts: u8,
        /// What else is decided by chance.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        show: Show,
    },
    /// Run a kept trace again.
    Replay {
        /// The trace.
        file: PathBuf,
        #[command(flatten)]
        show: Show,
    },
    /// Find the smallest part of a failing trace that still fails.
    Shrink {
        /// The trace.
        file: PathBuf,
        /// Where to keep the shrunk trace; by default beside the trace, as `.shrunk.trace`.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Highest number of runs.
        #[arg(long, default_value_t = 20_000)]
        most_runs: usize,
    },
    /// Draw a trace as an HTML page.
    Timeline {
        /// The trace.
        file: PathBuf,
        /// Where to write the page; by default beside the trace, as `.html`.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

/// What to show and keep of a single run.
#[derive(Debug, Args)]
struct Show {
    /// Print the script and everything that happened, in order.
    #[arg(long)]
    log: bool,
    /// Keep the run as a trace.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Draw it as an HTML page.
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum How {
    /// Their hosts crash.
    Crash,
    /// They become half-open, and the idle limit finds them.
    HalfOpen,
    /// Their hosts crash during a shutdown.
    Shutdown,
}

/// Whether every invariant held; or what went wrong with the program itself.
type Ending = Result<bool, Box<dyn Error>>;

fn main() -> ExitCode {
    let Cli { command, canary } = Cli::parse();
    plant(canary);
    let outcome = match command {
        Command::Swarm { seeds, from, threads, allow_gaps, patience, keep } => {
            let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
            let patience = Duration::from_secs(patience);
            let swarm = Swarm { seeds: from..from.saturating_add(seeds), threads, canary, patience };
            run_swarm(&swarm, allow_gaps, &keep)
        }
        Command::Seed { seed, show } => {
            let (plan, script) = draw::swarm(seed);
            run_one(&plan, script, &show)
        }
        Command::Guards { seeds, from, threads } => {
            let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
            Ok(run_guards(&Guards { seeds: from..from.saturating_add(seeds), threads }))
        }
        Command::Cluster { from, log: true, .. } => Ok(log_cluster(from)),
        Command::Cluster { seeds, from, threads, log: false } => {
            let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
            Ok(run_clusters(&Clusters { seeds: from..from.saturating_add(seeds), threads }))
        }
        Command::Mass { how, connections, locks, seed, show } => {
            let how = match how {
                How::Crash => Orphaning::Crash,
                How::HalfOpen => Orphaning::HalfOpen,
                How::Shutdown => Orphaning::Shutdown,
            };
            let (plan, script) = draw::mass(seed, how, connections, locks);
            run_one(&plan, script, &show)
        }
        Command::Line { waiters, hosts, seed, show } => {
            let (plan, script) = draw::line(seed, waiters, hosts.max(1));
            run_one(&plan, script, &show)
        }
        Command::Replay { file, show } => {
            load(&file).and_then(|(plan, script)| run_one(&plan, script, &show))
        }
        Command::Shrink { file, to, most_runs } => run_shrink(&file, to, most_runs, canary),
        Command::Timeline { file, to } => draw_timeline(&file, to),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("elockd-sim: {error}");
            ExitCode::from(2)
        }
    }
}

fn canary(name: &str) -> Result<Canary, String> {
    Canary::named(name).ok_or_else(|| format!("there is none of that name; there are {:?}", Canary::ALL))
}

fn load(file: &Path) -> Result<(Plan, Vec<Step>), Box<dyn Error>> {
    Trace::open(file)
        .and_then(|trace| trace.load())
        .map_err(|error| format!("{}: {error}", file.display()).into())
}

fn run_swarm(swarm: &Swarm, allow_gaps: bool, keep: &Path) -> Ending {
    let begin = Instant::now();
    let total = swarm.seeds.end - swarm.seeds.start;
    let (ledger, failure) =
        swarm.run(&Terminal { begin, total, canary: swarm.canary, keep: keep.to_owned() })?;
    let pace = format!("{:.1} s on {} threads", begin.elapsed().as_secs_f64(), swarm.threads);
    if let Some(failure) = failure {
        println!("{ledger}\n{pace}");
        tell_failure(&failure, swarm.canary, keep)?;
        return Ok(false);
    }
    let (words, is_well) = ledger.last_words(&pace, !allow_gaps && total >= 1000);
    println!("{words}");
    Ok(is_well)
}

/// Returns whether every promise held, and everything was seen.
fn run_guards(many: &Guards) -> bool {
    /// So many seeds are expected to see everything.
    const MANY: u64 = 100;
    let begin = Instant::now();
    let (tally, virtual_ms, failure) = many.run();
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{tally:?}, {} s of virtual time, {seconds:.1} s on {} threads",
        virtual_ms / 1000,
        many.threads
    );
    if let Some((seed, wrong)) = failure {
        println!();
        for mishap in guards::told(seed) {
            println!("{mishap}");
        }
        println!("seed {seed} failed: {wrong}");
        println!("again: {} guards --from {seed} --seeds 1", program());
        return false;
    }
    if many.seeds.end - many.seeds.start >= MANY && !tally.has_everything() {
        println!("failed: something was never seen, so it was not judged");
        return false;
    }
    println!("every promise held");
    true
}

/// Returns whether every promise held, and everything was seen.
fn run_clusters(many: &Clusters) -> bool {
    /// So many seeds are expected to see everything.
    const MANY: u64 = 100;
    let begin = Instant::now();
    let (marks, virtual_ms, failure) = many.run();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{marks}; {} s of virtual time, {seconds:.1} s on {} threads", virtual_ms / 1000, many.threads);
    if let Some((seed, wrong)) = failure {
        println!();
        for mishap in cluster::told(seed) {
            println!("{mishap}");
        }
        println!("seed {seed} failed: {wrong}");
        println!("again: {} cluster --from {seed} --log", program());
        return false;
    }
    let missing = marks.missing();
    if many.seeds.end - many.seeds.start >= MANY && !missing.is_empty() {
        println!("failed: never seen, so not judged: {missing:?}");
        return false;
    }
    println!("every promise held");
    true
}

/// Runs one seed and prints all of it. Returns whether every promise held.
fn log_cluster(seed: u64) -> bool {
    for mishap in cluster::told(seed) {
        println!("{mishap}");
    }
    let ClusterReport { marks, lines, wrong, .. } = cluster::run(seed);
    for line in lines {
        println!("{line}");
    }
    println!("{marks}");
    let is_well = wrong.is_none();
    println!("{}", wrong.map_or("every promise held".to_owned(), |wrong| format!("failed: {wrong}")));
    is_well
}

/// Reports to the terminal.
struct Terminal {
    begin: Instant,
    total: u64,
    canary: Option<Canary>,
    keep: PathBuf,
}

impl Watcher for Terminal {
    fn progress(&self, runs: u64) {
        if runs.is_multiple_of(1000) {
            let seconds = self.begin.elapsed().as_secs();
            // If the terminal is gone, nobody needs the progress.
            let _ = writeln!(io::stderr(), "{runs} of {} seeds, {seconds} s", self.total);
        }
    }

    fn hangs(&self, seed: u64) {
        println!("\nseed {seed} does not end: virtual time stands still");
        println!("again: {} seed {seed}{}", program(), planted(self.canary));
        let file = self.keep.join(format!("seed-{seed}.trace"));
        let (plan, script) = draw::swarm(seed);
        let kept = fs::create_dir_all(&self.keep)
            .map_err(TraceError::from)
            .and_then(|()| Trace::record(&plan, script)?.keep(&file));
        match kept {
            Ok(()) => {
                println!("its trace is {}; it cannot be shrunk, because it does not end", file.display());
            }
            Err(error) => println!("cannot keep its trace: {error}"),
        }
        process::exit(1);
    }
}

/// Prints how to repeat a failure, keeps it, shrinks it and draws it.
fn tell_failure(failure: &Failure, canary: Option<Canary>, keep: &Path) -> Result<(), Box<dyn Error>> {
    let Failure { seed, violation, trace } = failure;
    println!("\nseed {seed} failed: {violation}");
    println!("again: {} seed {seed}{}", program(), planted(canary));
    fs::create_dir_all(keep)?;
    let file = keep.join(format!("seed-{seed}.trace"));
    trace.keep(&file)?;
    if violation.check == "faults bite" {
        println!("kept as {}", file.display());
        return Ok(());
    }
    run_shrink(&file, None, 20_000, canary)?;
    draw_timeline(&file.with_extension("shrunk.trace"), Some(file.with_extension("html")))?;
    Ok(())
}

/// The command that runs this program from the workspace.
fn program() -> &'static str {
    "cargo run -p elockd-sim --release --"
}

fn planted(canary: Option<Canary>) -> String {
    canary.map_or(String::new(), |canary| format!(" --canary {canary:?}"))
}

fn run_one(plan: &Plan, script: Vec<Step>, show: &Show) -> Ending {
    let trace = Trace::record(plan, script)?;
    let (plan, script) = trace.load()?;
    let begin = Instant::now();
    let Verdict { report, violation, judged } = verdict::run(&plan, &script);
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "{plan}")?;
    if show.log {
        for step in &script {
            writeln!(out, "{step}")?;
        }
        for entry in &report.entries {
            writeln!(out, "{entry}")?;
        }
    }
    writeln!(
        out,
        "{} steps, {} events, {} ms of virtual time; {} histories of locks explained, {} of them by a search, \
         {} listings checked, {} fencing tokens shown; faults that made a difference: {:?}",
        script.len(),
        report.entries.len(),
        report.virtual_ms,
        judged.linear,
        judged.searched,
        judged.listings,
        judged.tokens,
        report.bites
    )?;
    match &violation {
        Some(violation) => writeln!(out, "failed: {violation}")?,
        None => writeln!(out, "every invariant held")?,
    }
    out.flush()?;
    // The seed does not decide this, so it goes to stderr.
    writeln!(io::stderr(), "{:.1} s", begin.elapsed().as_secs_f64())?;
    if let Some(file) = &show.keep {
        trace.keep(file)?;
    }
    if let Some(file) = &show.timeline {
        fs::write(file, timeline::page(&plan, &report, violation.as_ref()))?;
    }
    Ok(violation.is_none())
}

fn run_shrink(file: &Path, to: Option<PathBuf>, most_runs: usize, canary: Option<Canary>) -> Ending {
    let trace = Trace::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let Shrunk { trace, violation, before, after, runs, is_least } = shrink(&trace, most_runs)?;
    let to = to.unwrap_or_else(|| file.with_extension("shrunk.trace"));
    trace.keep(&to)?;
    let (plan, script) = trace.load()?;
    println!("\n{plan}");
    for step in &script {
        println!("{step}");
    }
    let least = if is_least {
        "no single step can go"
    } else {
        "stopped before the smallest was found; raise --most-runs"
    };
    println!("failed: {violation}");
    println!("shrunk from {before} steps to {after} in {runs} runs: {least}");
    println!("again: {} replay {}{}", program(), to.display(), planted(canary));
    Ok(true)
}

fn draw_timeline(file: &Path, to: Option<PathBuf>) -> Ending {
    let (plan, script) = load(file)?;
    let Verdict { report, violation, .. } = verdict::run(&plan, &script);
    let to = to.unwrap_or_else(|| file.with_extension("html"));
    fs::write(&to, timeline::page(&plan, &report, violation.as_ref()))?;
    println!("drawn: {}", to.display());
    Ok(true)
}
