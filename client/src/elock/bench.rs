//! `elock bench`: many connections ask one daemon as fast as it answers, and how long that took is drawn.
//!
//! Each connection is a task of its own with a histogram of its own, so that nothing is shared while it runs but one
//! counter for the bar.

use crate::channel::Channel;
use crate::options::Options;
use crate::output::{Style, print, print_json};
use crate::span;
use crate::status::{Failure, Outcome};
use clap::{Args, ValueEnum};
use elockd_client::{Command, Error, Kind};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Columns of the longest bar.
const BAR: u64 = 40;
/// The longest time that is counted exactly, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct BenchArgs {
    /// How many connections.
    #[arg(short = 'C', long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// For how long.
    #[arg(short, long, value_name = "SPAN", default_value = "10s", value_parser = span::parse)]
    duration: Duration,
    /// How many names of locks there are: few names mean that many gets find the lock held.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    names: u32,
    /// How many requests each connection sends together.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pipeline: u16,
    /// What is asked.
    #[arg(long, value_enum, default_value_t = Work::Lock)]
    work: Work,
}

/// What the connections ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    /// Get an exclusive lock and release it.
    Lock,
    /// Get a share and release it.
    Shared,
    /// Ping.
    Ping,
}

/// What one connection, or all of them, have measured.
struct Measured {
    /// Nanoseconds from the sending of a request to its answer.
    times: Histogram<u64>,
    gets: u64,
    /// Gets that found the lock held.
    held: u64,
}

impl Measured {
    fn new() -> Result<Self, Failure> {
        let times =
            Histogram::new_with_max(LONGEST, 3).map_err(|error| Failure::system("count times", error))?;
        Ok(Self { times, gets: 0, held: 0 })
    }
}

/// Runs it. With `--json` the percentiles, without it a histogram.
pub(crate) async fn bench(options: &Options, args: BenchArgs) -> Outcome {
    let mut channels = Vec::new();
    for _ in 0..args.connections {
        channels.push(Channel::open(options).await?);
    }
    let server = channels[0].server().to_string();
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let deadline = start + args.duration;
    let mut tasks = JoinSet::new();
    for (number, channel) in (0..).zip(channels) {
        tasks.spawn(connection(channel, args, number, deadline, Arc::clone(&done)));
    }
    let bar = tokio::spawn(bar(start, args.duration, done));
    let mut all = Measured::new()?;
    while let Some(measured) = tasks.join_next().await {
        let measured = measured.map_err(|error| Failure::system("run a connection", error))??;
        all.times.add(&measured.times).map_err(|error| Failure::system("count times", error))?;
        all.gets += measured.gets;
        all.held += measured.held;
    }
    bar.abort();
    let elapsed = start.elapsed();
    if options.is_json {
        print_json(&summary(&server, &all, elapsed))?;
    } else {
        print(&report(&server, args, &all, elapsed, options.color.is_on(&std::io::stdout())))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One connection until the deadline.
async fn connection(
    mut channel: Channel,
    args: BenchArgs,
    number: u64,
    deadline: Instant,
    done: Arc<AtomicU64>,
) -> Result<Measured, Failure> {
    let mut measured = Measured::new()?;
    let mut script = Script { random: fastrand::Rng::with_seed(number), names: args.names, held: None };
    while Instant::now() < deadline {
        let sent = Instant::now();
        let mut are_gets = Vec::with_capacity(args.pipeline.into());
        for _ in 0..args.pipeline {
            let command = script.next(args.work);
            are_gets.push(matches!(command, Command::Get(_)));
            channel.connection().send(&command);
        }
        for is_get in are_gets {
            let answer = channel.connection().receive().await?;
            if let Some(refusal) = answer.refusal() {
                return Err(Error::Refused(refusal).into());
            }
            measured.gets += u64::from(is_get);
            measured.held += u64::from(is_get && answer.is_failure());
            measured.times.saturating_record(sent.elapsed().as_nanos().try_into().unwrap_or(LONGEST));
        }
        done.fetch_add(args.pipeline.into(), Ordering::Relaxed);
    }
    channel.quit().await;
    Ok(measured)
}

/// What one connection asks, request by request.
struct Script {
    random: fastrand::Rng,
    names: u32,
    /// What it has asked for last and must release.
    held: Option<String>,
}

impl Script {
    fn next(&mut self, work: Work) -> Command<String> {
        let kind = match work {
            Work::Lock => Kind::Exclusive,
            Work::Shared => Kind::Shared,
            Work::Ping => return Command::Ping,
        };
        if let Some(name) = self.held.take() {
            return Command::Release(kind, name);
        }
        let name = format!("elock-bench/{}", self.random.u32(..self.names));
        self.held = Some(name.clone());
        Command::get(kind, name)
    }
}

/// Shows how far it is, on a terminal alone.
async fn bar(start: Instant, duration: Duration, done: Arc<AtomicU64>) {
    let bar = ProgressBar::new(duration.as_millis().try_into().unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{wide_bar:.green} {msg}") {
        bar.set_style(style);
    }
    loop {
        let elapsed = start.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        bar.set_position(elapsed);
        bar.set_message(format!("{} requests/s", a_second(done.load(Ordering::Relaxed), start.elapsed())));
        sleep(Duration::from_millis(100)).await;
    }
}

fn a_second(count: u64, elapsed: Duration) -> u64 {
    let ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / ms).unwrap_or(u64::MAX)
}

const PERCENTILES: [(&str, f64); 5] =
    [("50%", 50.0), ("90%", 90.0), ("99%", 99.0), ("99.9%", 99.9), ("max", 100.0)];

fn summary(server: &str, all: &Measured, elapsed: Duration) -> serde_json::Value {
    let of_times = PERCENTILES.map(|(key, percentile)| (key, all.times.value_at_percentile(percentile)));
    json!({
        "server": server,
        "ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        "requests": all.times.len(),
        "requests_per_second": a_second(all.times.len(), elapsed),
        "gets": all.gets,
        "held": all.held,
        "latency_ns": of_times.into_iter().map(|(key, ns)| (key.to_owned(), ns.into())).collect::<serde_json::Map<_, _>>(),
    })
}

fn report(server: &str, args: BenchArgs, all: &Measured, elapsed: Duration, is_colored: bool) -> String {
    let mut text = format!(
        "{server}: {} connections for {}, {} requests together\n{} requests, {} a second\n",
        args.connections,
        span::shown(elapsed),
        args.pipeline,
        all.times.len(),
        a_second(all.times.len(), elapsed),
    );
    if all.gets > 0 {
        let _ = writeln!(text, "{} of {} gets found the lock held", all.held, all.gets);
    }
    text.push('\n');
    for (key, percentile) in PERCENTILES {
        let _ = writeln!(text, "{key:>8}  {:>9}", time(all.times.value_at_percentile(percentile)));
    }
    text.push('\n');
    // Each bar is the times up to a power of two.
    let bars: Vec<(u64, u64)> = all
        .times
        .iter_log(1024, 2.0)
        .map(|bar| (bar.value_iterated_to() + 1, bar.count_since_last_iteration()))
        .skip_while(|(_, count)| *count == 0)
        .collect();
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(1);
    for (below, count) in bars {
        let length = usize::try_from((count * BAR).div_ceil(most)).unwrap_or(0);
        let bar = "█".repeat(length);
        let bar = Style::Green.paint(&bar, is_colored);
        let pad = " ".repeat(usize::try_from(BAR).unwrap_or(0).saturating_sub(length));
        let thousandths = (count * 1000 + all.times.len() / 2) / all.times.len().max(1);
        let share = format!("{}.{}", thousandths / 10, thousandths % 10);
        let _ = writeln!(text, "< {:>9}  {bar}{pad}  {share:>5} %", time(below));
    }
    text
}

/// Nanoseconds, for people: three digits at least.
fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} µs", ns / 1000),
        10_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_releases_what_it_got() {
        let mut script = Script { random: fastrand::Rng::with_seed(7), names: 3, held: None };
        for _ in 0..100 {
            let Command::Get(wish) = script.next(Work::Lock) else { panic!("a get comes first") };
            let name = wish.into_name();
            assert_eq!(script.next(Work::Lock), Command::Release(Kind::Exclusive, name));
        }
        assert_eq!(script.next(Work::Ping), Command::Ping);
    }

    #[test]
    fn the_bars_are_all_of_the_requests_and_fit_on_a_terminal() {
        let mut all = Measured::new().unwrap();
        for ns in [1_500, 3_000_000, 3_000_000, 3_000_000, 59_000_000_000] {
            all.times.record(ns).unwrap();
        }
        let args =
            BenchArgs { connections: 1, duration: Duration::ZERO, names: 1, pipeline: 1, work: Work::Ping };
        let text = report("[::1]:9999", args, &all, Duration::from_secs(2), false);
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        assert!(text.contains("5 requests, 2 a second\n"));
        let shares =
            text.lines().filter_map(|line| line.strip_suffix(" %")?.rsplit(' ').next()?.parse::<f64>().ok());
        assert!((shares.sum::<f64>() - 100.0).abs() < 0.5, "{text}");
        assert!(
            text.lines().any(|line| line.contains(&"█".repeat(40)) && line.ends_with("60.0 %")),
            "{text}"
        );
    }

    #[test]
    fn times_have_units() {
        let times = [999, 12_345, 9_999_999, 12_000_000, 11_000_000_000].map(time);
        assert_eq!(times, ["999 ns", "12 µs", "9999 µs", "12 ms", "11 s"]);
    }
}
