//! Every field of munin, and the figures that it must show. The daemon that munin asks here is a fake one, that answers
//! `q full` with another prime for each figure, so that no two sums are the same by chance.

use crate::support::program;
use elockd_core::figures::{FigureRow, Shown, rows};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;

/// Every field that is the sum of figures, by graph, in the words of munin: `GRAPH.FIELD`. A field that is not here
/// shows the figure of its own name.
const SUMS: &[(&str, &[&str])] = &[
    ("locks.holds", &["holds", "shared_holds", "read_holds", "write_holds"]),
    ("waiters.all_waiters", &["waiters", "shared_waiters", "read_waiters", "write_waiters", "end_waiters"]),
    ("commands.ends", &["command_iw", "command_siw"]),
    ("commands.reads", &["command_rg", "command_rgw"]),
    ("commands.writes", &["command_wg", "command_wgw"]),
    ("commands.releases_rw", &["command_rr", "command_wr"]),
    ("commands.inspections_rw", &["command_ri", "command_wi"]),
    ("commands.tokens", &["command_f", "command_sf", "command_rf", "command_wf"]),
    ("commands.limited_gets", &["command_sgl", "command_sgw"]),
    ("commands.listings", &["command_d", "command_sd", "command_dump", "command_ls", "command_who"]),
    (
        "commands.others",
        &[
            "command_iam",
            "command_me",
            "command_ping",
            "command_q",
            "command_help",
            "command_quit",
            "command_kick",
            "command_steal",
            "command_wsteal",
            "command_linger",
            "command_resume",
            "command_auth",
        ],
    ),
    (
        "failures.failed_waits",
        &["failed_gw", "failed_sgw", "failed_rgw", "failed_wgw", "failed_iw", "failed_siw"],
    ),
    ("failures.failed_rw", &["failed_rg", "failed_wg"]),
    ("failures.failed_tokens", &["failed_f", "failed_sf", "failed_rf", "failed_wf"]),
    ("failures.failed_releases", &["failed_r", "failed_sr", "failed_rr", "failed_wr"]),
];

/// Fields in another unit: the figure, and what it is divided by.
const QUOTIENTS: &[(&str, &str, f64)] =
    &[("wait_time.longest_wait", "longest_wait_ms", 1000.0), ("uptime.uptime", "uptime_ms", 86_400_000.0)];

/// Fields with a limit.
const LIMITED: &[(&str, &str)] = &[
    ("locks.holds", "limit_locks"),
    ("waiters.all_waiters", "limit_waiters"),
    ("connections.connections", "limit_connections"),
    ("memory.memory_bytes", "limit_memory_bytes"),
];

/// The fields that go up and are shown as rates; all others are shown as they are.
const GAUGES: [&str; 6] = ["locks.", "waiters.", "wait_time.", "connections.", "memory.", "uptime."];

fn primes() -> impl Iterator<Item = u64> {
    (1009..).filter(|number| (2..*number).take_while(|by| by * by <= *number).all(|by| number % by != 0))
}

/// A prime for each figure of `q full`.
fn figures() -> BTreeMap<String, u64> {
    let mut keys = Vec::new();
    let is_number = |row: &&FigureRow| row.key != "version" && !row.is_of_a_cluster;
    for row in rows().filter(|row| is_number(row) && row.shown != Shown::Export) {
        row.each_part(|part| keys.push(row.key_of(part).into_owned()));
    }
    keys.into_iter().zip(primes()).collect()
}

#[test]
fn every_field_of_munin_shows_its_own_figures() {
    let figures = figures();
    let lines: Vec<String> = figures.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    let answer = lines.concat();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let fake = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 7];
            stream.read_exact(&mut request).unwrap();
            assert_eq!(&request, b"q full\n");
            stream.write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
    });
    let run = |args: &[&str]| {
        let output = program().arg("munin").args(args).args(["--connect", &address]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        attributes(&String::from_utf8(output.stdout).unwrap())
    };
    let (values, config) = (run(&[]), run(&["config"]));
    fake.join().unwrap();

    let mut fields = 0;
    let mut shown = std::collections::BTreeSet::new();
    for (attribute, value) in &values {
        let Some(field) = attribute.strip_suffix(".value") else { continue };
        fields += 1;
        let (_, own) = field.split_once('.').unwrap();
        if let Some((_, key, by)) = QUOTIENTS.iter().find(|(of, ..)| *of == field) {
            let expected = figures[*key] as f64 / by;
            let value: f64 = value.parse().unwrap();
            assert!(
                (value - expected).abs() <= expected * 0.01 + 0.001,
                "{field} is {value}, and {key} is {expected}"
            );
            continue;
        }
        let sum = SUMS.iter().find(|(of, _)| *of == field).map_or(vec![own], |(_, keys)| keys.to_vec());
        let expected: Option<u64> = sum.iter().map(|key| figures.get(*key).copied()).sum();
        assert_eq!(value.parse().ok(), expected, "{field} is {value}, and should be {sum:?}");
        assert!(shown.insert(value), "{field} is {value}, as another field is");
        let is_gauge = GAUGES.iter().any(|graph| field.starts_with(graph));
        let shape = if is_gauge { "GAUGE" } else { "DERIVE" };
        assert_eq!(config.get(&format!("{field}.type")).map(String::as_str), Some(shape), "{field}");
    }
    let in_config = config.keys().filter_map(|attribute| attribute.strip_suffix(".label")).count();
    assert_eq!(fields, in_config, "{config:?}");
    assert!(fields >= 50, "{fields} fields");
    for (field, _) in SUMS {
        assert!(values.contains_key(&format!("{field}.value")), "there is no field {field}");
    }
    let limited: Vec<&str> =
        config.keys().filter_map(|attribute| attribute.strip_suffix(".warning")).collect();
    assert_eq!(limited.len(), LIMITED.len(), "{limited:?}");
    for (field, limit) in LIMITED {
        let of = |level: &str| config[&format!("{field}.{level}")].parse::<u64>().unwrap();
        let limit = figures[*limit];
        assert_eq!((of("warning"), of("critical")), (limit * 80 / 100, limit * 95 / 100), "{field}");
    }
}

/// Attributes of an answer as `GRAPH.FIELD.ATTRIBUTE`.
fn attributes(answer: &str) -> BTreeMap<String, String> {
    let mut graph = String::new();
    let mut all = BTreeMap::new();
    for line in answer.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        if key == "multigraph" {
            value.trim_start_matches("elockd_").clone_into(&mut graph);
        } else {
            let is_new = all.insert(format!("{graph}.{key}"), value.to_owned()).is_none();
            assert!(is_new, "{key} of {graph} comes twice");
        }
    }
    all
}
