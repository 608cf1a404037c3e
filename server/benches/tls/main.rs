//! What TLS costs: rate, latency and memory of a connection, beside plain TCP. One daemon has both listeners, and they
//! are measured in turns. So whatever else the machine does falls on both.
//!
//! `cargo bench -p elockd-server --bench tls`

mod link;

use link::{Link, Trust};
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Turns of each listener.
const ROUNDS: usize = 15;
/// How long a turn lasts.
const TURN: Duration = Duration::from_millis(500);
/// Connections that send at a time, when the rate is measured.
const CROWD: usize = 8;
/// Idle connections, when memory is measured.
const IDLE: u32 = 500;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The daemon. It ends with the measurement.
struct Daemon {
    process: Child,
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Daemon {
    fn start(trust: &Trust) -> Outcome<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elockd"));
        command.args(["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"]);
        command.arg("--tls-cert").arg(&trust.cert).arg("--tls-key").arg(&trust.key);
        let mut process = command.stderr(Stdio::piped()).spawn()?;
        let log = process.stderr.take().ok_or("it has no log")?;
        let mut addresses = [None, None];
        for line in BufReader::new(log).lines() {
            let line = line?;
            let Some(at) = line.split("listening on tcp ").nth(1) else { continue };
            let address = at.split(' ').next().unwrap_or_default().parse()?;
            addresses[usize::from(at.ends_with("(TLS)"))] = Some(address);
            if let [Some(plain), Some(tls)] = addresses {
                return Ok(Self { process, plain, tls });
            }
        }
        Err("the daemon does not start".into())
    }

    fn memory(&self) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).unwrap_or_default().parse::<f64>()? * 1024.0)
    }
}

/// Requests in a second, and the 99th percentile of the time of one batch, in µs.
struct Measured {
    rate: f64,
    p99: f64,
}

/// Has all links send batches of `depth` requests for one turn.
fn turn(links: &mut [Link], depth: u32) -> Outcome<Measured> {
    let batch: String = (0..depth / 2).map(|_| "g a lock\nr a lock\n").collect();
    let batch = if depth == 1 { "i a lock\n".to_owned() } else { batch };
    let (begin, mut batches, mut times) = (Instant::now(), 0_u32, Vec::new());
    while begin.elapsed() < TURN {
        let sent = Instant::now();
        for link in &mut *links {
            link.send(&batch)?;
        }
        for link in &mut *links {
            link.take_lines(depth as usize)?;
            batches += 1;
        }
        times.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    let rate = f64::from(batches) * f64::from(depth) / begin.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Ok(Measured { rate, p99: times[times.len() * 99 / 100] })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes of the daemon's memory that an idle connection takes.
fn idle_bytes(daemon: &Daemon, connect: impl Fn() -> Outcome<Link>) -> Outcome<f64> {
    let open = || -> Outcome<Vec<Link>> {
        let mut links: Vec<Link> = (0..IDLE).map(|_| connect()).collect::<Outcome<_>>()?;
        for link in &mut links {
            link.send("g x\nr x\n")?;
            link.take_lines(2)?;
        }
        Ok(links)
    };
    // What the allocator keeps from here on is there for the second time.
    let first = open()?;
    let before = daemon.memory()?;
    let second = open()?;
    let bytes = (daemon.memory()? - before) / f64::from(IDLE);
    drop((first, second));
    Ok(bytes)
}

fn main() -> Outcome<()> {
    // `cargo test --benches` only wants to see it start.
    let is_short = std::env::args().any(|argument| argument == "--test");
    let trust = Trust::new()?;
    let daemon = Daemon::start(&trust)?;
    let plain = || Link::plain(daemon.plain);
    let tls = || Link::tls(daemon.tls, &trust);
    if is_short {
        turn(&mut [plain()?, tls()?], 2)?;
        return Ok(());
    }
    println!("| | plain | TLS | TLS ÷ plain |");
    println!("|---|---|---|---|");
    for (depth, crowd) in [(1, 1), (1, CROWD), (16, CROWD)] {
        let mut links: [Vec<Link>; 2] = [
            (0..crowd).map(|_| plain()).collect::<Outcome<_>>()?,
            (0..crowd).map(|_| tls()).collect::<Outcome<_>>()?,
        ];
        let mut measured = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (links, measured) in links.iter_mut().zip(&mut measured) {
                measured.push(turn(links, depth)?);
            }
        }
        let of = |pick: fn(&Measured) -> f64| {
            [0, 1].map(|way: usize| median(measured[way].iter().map(pick).collect()))
        };
        let [rate, p99] = [of(|measured| measured.rate), of(|measured| measured.p99)];
        let who = if crowd == 1 { "one connection".to_owned() } else { format!("{crowd} connections") };
        println!(
            "| requests/s, {who}, depth {depth} | {:.0} | {:.0} | {:.2} |",
            rate[0],
            rate[1],
            rate[1] / rate[0]
        );
        println!(
            "| p99 of a batch of each, {who}, depth {depth}, µs | {:.0} | {:.0} | {:.2} |",
            p99[0],
            p99[1],
            p99[1] / p99[0]
        );
    }
    let bytes = [idle_bytes(&daemon, plain)?, idle_bytes(&daemon, tls)?];
    println!(
        "| bytes of an idle connection | {:.0} | {:.0} | + {:.0} |",
        bytes[0],
        bytes[1],
        bytes[1] - bytes[0]
    );
    let begin = Instant::now();
    let handshakes = 200;
    for _ in 0..handshakes {
        let mut link = tls()?;
        link.send("ping\n")?;
        link.take_lines(1)?;
    }
    println!(
        "| a connection and its first answer, µs | | {:.0} | |",
        begin.elapsed().as_secs_f64() * 1e6 / f64::from(handshakes)
    );
    Ok(())
}
