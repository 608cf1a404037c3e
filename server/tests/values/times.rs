//! The histograms of times, compared with a clock of the test's own.

use crate::series::scrape;
use crate::support::{Client, Daemon};
use elockd_core::Times;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a time was at least and at most.
type Bracket = (Duration, Duration);

/// Says something and hears the answer: when it was sent, and when the answer was there.
fn ask(client: &mut Client, request: &str, answer: &str) -> (Instant, Instant) {
    let sent = Instant::now();
    assert_eq!(client.ask(request), answer);
    (sent, Instant::now())
}

/// Holds a lock for a time.
fn hold(client: &mut Client, get: (&str, &str), release: (&str, &str), time: Duration) -> Bracket {
    let (sent, got) = ask(client, get.0, get.1);
    sleep(time);
    let (asked, released) = ask(client, release.0, release.1);
    (asked - got, released - sent)
}

fn compare(metrics: &BTreeMap<String, String>, name: &str, kind: &str, brackets: &[Bracket]) {
    assert_eq!(
        metrics[&format!("{name}_count{{kind=\"{kind}\"}}")].parse(),
        Ok(brackets.len()),
        "{name} {kind}"
    );
    // The machine's clock is in whole milliseconds.
    let millisecond = 0.001 * brackets.len() as f64;
    let least: f64 = brackets.iter().map(|bracket| bracket.0.as_secs_f64()).sum();
    let most: f64 = brackets.iter().map(|bracket| bracket.1.as_secs_f64()).sum();
    let sum: f64 = metrics[&format!("{name}_sum{{kind=\"{kind}\"}}")].parse().unwrap();
    assert!(
        (least - millisecond..=most + millisecond).contains(&sum),
        "{name} {kind}: {sum}, not {least} to {most}"
    );
    for bound in Times::BOUNDS_MS {
        let series = format!("{name}_bucket{{kind=\"{kind}\",le=\"{}\"}}", bound as f64 / 1000.0);
        let count: usize = metrics.get(&series).unwrap_or_else(|| panic!("no {series}")).parse().unwrap();
        let bound = Duration::from_millis(bound);
        let surely = brackets.iter().filter(|(_, most)| *most + Duration::from_millis(1) <= bound).count();
        let perhaps = brackets.iter().filter(|(least, _)| *least <= bound + Duration::from_millis(1)).count();
        assert!((surely..=perhaps).contains(&count), "{series} is {count}, not {surely} to {perhaps}");
    }
}

#[test]
fn times_are_those_of_another_clock_by_kind() {
    let daemon = Daemon::start(&["--metrics-listen", "127.0.0.1:0"]);
    let (mut one, mut two) = (daemon.tcp(), daemon.unix());
    let exclusive = [0, 0, 0, 25, 130].map(|ms| {
        let get = ("g a", "1 Lock Get Success: a");
        hold(&mut one, get, ("r a", "1 Lock Release Success: a"), Duration::from_millis(ms))
    });
    let shared = [0, 25, 25, 60].map(|ms| {
        let get = ("sg a", "1 Shared Lock Get Success: a");
        hold(&mut one, get, ("sr a", "1 Shared Lock Release Success: a"), Duration::from_millis(ms))
    });
    ask(&mut one, "g held", "1 Lock Get Success: held");
    ask(&mut one, "sg held", "1 Shared Lock Get Success: held");
    let exclusive_waits = [5, 5, 30, 120, 120, 3].map(|ms| {
        let (sent, heard) = ask(&mut two, &format!("gw {ms} held"), "0 Lock Get Timeout: held");
        (Duration::from_millis(ms), heard - sent)
    });
    let shared_waits = [40, 4, 150].map(|ms| {
        let (sent, heard) = ask(&mut two, &format!("sgw {ms} 1 held"), "0 Shared Lock Get Timeout: held");
        (Duration::from_millis(ms), heard - sent)
    });
    let metrics = scrape(daemon.metrics_address());
    compare(&metrics, "elockd_hold_duration_seconds", "exclusive", &exclusive);
    compare(&metrics, "elockd_hold_duration_seconds", "shared", &shared);
    compare(&metrics, "elockd_wait_seconds", "exclusive", &exclusive_waits);
    compare(&metrics, "elockd_wait_seconds", "shared", &shared_waits);
    let uptime = two.figure("uptime_ms");
    let most = exclusive.iter().chain(&shared).chain(&exclusive_waits).chain(&shared_waits);
    let least: Duration = most.map(|bracket| bracket.0).sum();
    assert!(u128::from(uptime) + 20 >= least.as_millis(), "{uptime} ms, after {least:?}");
}

/// A wait that goes on is as old in `q full`, in `ls` and in the metrics as by another clock; so is a hold in `ls`.
#[test]
fn ages_are_those_of_another_clock() {
    let daemon = Daemon::start(&["--metrics-listen", "127.0.0.1:0"]);
    let (mut holder, mut waiter) = (daemon.tcp(), daemon.unix());
    let (sent, got) = ask(&mut holder, "g a", "1 Lock Get Success: a");
    sleep(Duration::from_millis(70));
    let wait_sent = Instant::now();
    waiter.send("gw 60000 a\n");
    while holder.figure("waiters") == 0 {}
    let wait_begun = Instant::now();
    sleep(Duration::from_millis(110));

    let is_within = |what: &str, ms: f64, least: Duration, most: Duration| {
        let (least, most) = (least.as_secs_f64() * 1000.0 - 1.0, most.as_secs_f64() * 1000.0 + 1.0);
        assert!((least..=most).contains(&ms), "{what}: {ms} ms, not {least} to {most}");
    };
    let asked = Instant::now();
    let seconds: f64 = scrape(daemon.metrics_address())["elockd_longest_wait_seconds"].parse().unwrap();
    is_within("the metric", seconds * 1000.0, asked - wait_begun, wait_sent.elapsed());
    let asked = Instant::now();
    let ms = holder.figure("longest_wait_ms");
    is_within("q full", ms as f64, asked - wait_begun, wait_sent.elapsed());
    let asked = Instant::now();
    holder.send("ls\n");
    let lines = holder.lines();
    let age = |line: &str| line.split(' ').nth(1).unwrap().parse::<f64>().unwrap();
    assert!(lines[0].starts_with("x ") && lines[1].starts_with("xw "), "{lines:?}");
    is_within("the hold in ls", age(&lines[0]), asked - got, sent.elapsed());
    is_within("the wait in ls", age(&lines[1]), asked - wait_begun, wait_sent.elapsed());
}
