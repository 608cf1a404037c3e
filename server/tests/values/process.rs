//! What the metrics tell of the process, compared with what Linux tells of it.

use crate::series::scrape;
use crate::support::{Daemon, PATIENCE, poll};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

fn read(daemon: &Daemon, file: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{file}", daemon.pid())).unwrap()
}

/// A line of a file of /proc by how it begins: the word of this rank behind that.
fn word(text: &str, beginning: &str, rank: usize) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(beginning)).unwrap();
    line.split_whitespace().nth(rank).unwrap().parse().unwrap()
}

#[test]
fn the_process_is_what_the_system_says_it_is() {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let daemon = Daemon::start(&["--metrics-listen", "127.0.0.1:0", "--max-locks-per-connection", "40000"]);
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    // Memory and time that are not those of every process.
    let mut client = daemon.unix();
    for at in 0..40_000 {
        client.send(format!("g {at} {}\n", "x".repeat(200)));
        client.line_bytes();
    }
    let number = |name: &str| scrape(daemon.metrics_address())[name].parse::<f64>().unwrap();
    let start = number("process_start_time_seconds");
    assert!((before - 0.1..=after + 0.1).contains(&start), "{start} is not from {before} to {after}");
    let files = scrape(daemon.metrics_address())["process_max_fds"].parse();
    assert_eq!(files, Ok(word(&read(&daemon, "limits"), "Max open files", 0)));
    // Scrapes take memory and time themselves.
    poll("the metrics to say what the system says of memory", PATIENCE, || {
        let of_system = || word(&read(&daemon, "status"), "VmRSS:", 0) as f64 * 1024.0;
        let (least, memory, most) = (of_system(), number("process_resident_memory_bytes"), of_system());
        assert!(least > 16e6, "{least} bytes are no more than a daemon has that does nothing");
        (least * 0.98..=most * 1.02).contains(&memory).then_some(())
    });
    let of_system = || daemon.processor_ticks() as f64 / 100.0;
    let (least, cpu, most) = (of_system(), number("process_cpu_seconds_total"), of_system());
    assert!(least > 0.05, "{least} s");
    assert!((least..=most).contains(&cpu), "{cpu} s is not from {least} to {most}");
}
