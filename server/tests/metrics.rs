//! Goal: Prometheus gets true figures in a form that its own tools accept, nobody can harm the daemon through
//! that door, and the alert rules and the dashboard ask for what there is. Method: the daemon's HTTP over real
//! sockets; promtool and a Prometheus from Debian's packages.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;
use support::{Client, Daemon, Guard, PATIENCE, document, get, has_tools, own_address, poll, tell};
use tempfile::TempDir;

const FLAGS: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

fn metrics(daemon: &Daemon) -> String {
    let (head, body) = get(daemon.metrics_address(), "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    body
}

/// The value of one series, written as in the text: a whole number, but for times.
fn value<T: FromStr<Err: Debug>>(metrics: &str, series: &str) -> T {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{metrics}")).parse().unwrap()
}

/// Clients that give every figure something to show. They stay as long as they are kept.
fn busy(daemon: &Daemon) -> Vec<Client> {
    let mut holder = daemon.unix();
    let mut other = daemon.unix();
    let mut gone = daemon.unix();
    gone.send("g orphan\nsg orphan\n");
    gone.expect("1 Lock Get Success: orphan\n1 Shared Lock Get Success: orphan\n");
    drop(gone);
    poll("the orphans", PATIENCE, || (holder.figure("shared_orphans") == 1).then_some(()));
    holder.send("g a\ng b\nsg s\nr b\n");
    (0..4).for_each(|_| drop(holder.line()));
    other.send("g a\nsg s\nr a\ni a\ni x\nbogus\nping\n");
    (0..7).for_each(|_| drop(other.line()));
    vec![holder, other]
}

/// Flags for [`waits`].
const FEW_WAITERS: [&str; 4] = ["--metrics-listen", "127.0.0.1:0", "--max-waiters-per-name", "2"];

/// Waits of every sort: granted, timed out, ended with its connection, refused for two reasons, and one that goes on as
/// long as what this gives is kept.
fn waits(daemon: &Daemon) -> Vec<Client> {
    let (mut holder, mut waiter, mut third) = (daemon.unix(), daemon.unix(), daemon.unix());
    let mut gone = daemon.tcp();
    let wait_for_waiters = |client: &mut Client, count| {
        poll("the waiters", PATIENCE, || (client.figure("waiters") == count).then_some(()));
    };
    holder.send("g wa\ng wb\nf wa\n");
    holder.expect("1 Lock Get Success: wa\n1 Lock Get Success: wb\n");
    let token = holder.line();
    assert_eq!(holder.ask("f wa"), token);
    assert_eq!(waiter.ask("gw 1 wa"), "0 Lock Get Timeout: wa");
    waiter.send("gw 60000 wb\n");
    wait_for_waiters(&mut holder, 1);
    assert_eq!(holder.ask("r wb"), "1 Lock Release Success: wb");
    assert_eq!(waiter.line(), "1 Lock Get Success: wb");
    waiter.send("gw 60000 wa\n");
    wait_for_waiters(&mut holder, 1);
    assert_eq!(holder.ask("gw 60000 wb"), "0 Lock Get Deadlock: wb");
    gone.send("gw 60000 wa\n");
    wait_for_waiters(&mut holder, 2);
    assert_eq!(third.ask("gw 60000 wa"), "0 Lock Get Queue Full: wa");
    // By its FIN it would be told that its time is up.
    gone.reset();
    wait_for_waiters(&mut holder, 1);
    vec![holder, waiter, third]
}

#[test]
fn waits_are_told_by_how_they_ended_and_tokens_by_how_many_are_left() {
    let daemon = Daemon::start(&FEW_WAITERS);
    let mut clients = waits(&daemon);
    let metrics = metrics(&daemon);
    let exact = [
        ("elockd_waiters{kind=\"exclusive\"}", 1),
        ("elockd_waiters{kind=\"shared\"}", 0),
        ("elockd_waiters_limit", 10_000),
        ("elockd_name_waiters_limit", 2),
        ("elockd_waiters_peak", 2),
        ("elockd_waits_total", 4),
        ("elockd_waits_ended_total{outcome=\"granted\"}", 1),
        ("elockd_waits_ended_total{outcome=\"timeout\"}", 1),
        ("elockd_waits_ended_total{outcome=\"disconnected\"}", 1),
        ("elockd_waits_ended_total{outcome=\"shutdown\"}", 0),
        ("elockd_waits_refused_total{reason=\"deadlock\"}", 1),
        ("elockd_waits_refused_total{reason=\"queue_full\"}", 1),
        ("elockd_wait_seconds_count{kind=\"exclusive\"}", 3),
        ("elockd_wait_seconds_count{kind=\"shared\"}", 0),
        // The one that is granted, and the one whose client is gone; not the one that goes on.
        ("elockd_commands_total{verb=\"gw\",outcome=\"success\"}", 2),
        ("elockd_commands_total{verb=\"gw\",outcome=\"failure\"}", 3),
        ("elockd_tokens_given_total", 1),
        ("elockd_tokens_left", 65_535),
        ("elockd_token_reservations_failed_total", 0),
    ];
    for (series, expected) in exact {
        assert_eq!(value::<u64>(&metrics, series), expected, "{series} in {metrics}");
    }
    // All that `q full` tells of it is told here too.
    let figures = clients[0].figures();
    let same = [
        ("elockd_waiters_peak", "peak_waiters"),
        ("elockd_waits_total", "waits"),
        ("elockd_waits_ended_total{outcome=\"granted\"}", "waits_granted"),
        ("elockd_waits_ended_total{outcome=\"timeout\"}", "waits_timed_out"),
        ("elockd_tokens_left", "tokens_left"),
    ];
    for (series, key) in same {
        assert_eq!(value::<u64>(&metrics, series), figures[key], "{series} and {key}");
    }
    let longest: f64 = value(&metrics, "elockd_longest_wait_seconds");
    let longest = Duration::from_secs_f64(longest);
    let later = Duration::from_millis(figures["longest_wait_ms"]);
    assert!(longest <= later, "{longest:?}, and then {later:?}");
}

#[test]
fn a_wait_counts_with_the_time_that_it_lasted() {
    let daemon = Daemon::start(&FLAGS);
    let (mut holder, mut waiter) = (daemon.unix(), daemon.unix());
    assert_eq!(holder.ask("sg a"), "1 Shared Lock Get Success: a");
    assert_eq!(waiter.ask("sgw 120 1 a"), "0 Shared Lock Get Timeout: a");
    let metrics = metrics(&daemon);
    let bucket = |le: &str| {
        value::<u64>(&metrics, &format!("elockd_wait_seconds_bucket{{kind=\"shared\",le=\"{le}\"}}"))
    };
    assert_eq!((bucket("0.1"), bucket("+Inf")), (0, 1));
    let sum: f64 = value(&metrics, "elockd_wait_seconds_sum{kind=\"shared\"}");
    assert!((0.119..PATIENCE.as_secs_f64()).contains(&sum), "{sum} s");
}

#[test]
fn figures_are_those_of_q_full() {
    let daemon = Daemon::start(&FLAGS);
    let mut clients = busy(&daemon);
    // Each look counts as a command of its own.
    let figures = clients[0].figures();
    let metrics = metrics(&daemon);
    let same = [
        ("elockd_connections", "connections"),
        ("elockd_connections_limit", "limit_connections"),
        ("elockd_connections_peak", "peak_connections"),
        ("elockd_connections_opened_total", "connections_opened"),
        ("elockd_connections_refused_total", "connections_refused"),
        ("elockd_connections_closed_total{cause=\"eof\"}", "closed_eof"),
        ("elockd_locks{kind=\"exclusive\"}", "locks"),
        ("elockd_locks{kind=\"shared\"}", "shared_locks"),
        ("elockd_holds{kind=\"exclusive\"}", "holds"),
        ("elockd_holds{kind=\"shared\"}", "shared_holds"),
        ("elockd_holds_limit", "limit_locks"),
        ("elockd_holds_peak", "peak_holds"),
        ("elockd_connection_holds_limit", "limit_locks_per_connection"),
        ("elockd_connection_holds_peak", "peak_connection_holds"),
        ("elockd_orphans_total{kind=\"exclusive\"}", "orphans"),
        ("elockd_orphans_total{kind=\"shared\"}", "shared_orphans"),
        ("elockd_locks_refused_total", "locks_refused"),
        ("elockd_lock_bytes", "lock_bytes"),
        ("elockd_memory_bytes", "memory_bytes"),
        ("elockd_memory_peak_bytes", "peak_memory_bytes"),
        ("elockd_memory_limit_bytes", "limit_memory_bytes"),
        ("elockd_memory_refused_total", "memory_refused"),
        ("elockd_address_connections_refused_total", "address_refused"),
        ("elockd_address_connections_peak", "peak_address_connections"),
        ("elockd_address_connections_limit", "limit_connections_per_address"),
        ("elockd_invalid_commands_total", "invalid_commands"),
        ("elockd_ignored_inputs_total", "ignored_inputs"),
        ("elockd_commands_total{verb=\"g\",outcome=\"failure\"}", "failed_g"),
        ("elockd_commands_total{verb=\"i\",outcome=\"failure\"}", "failed_i"),
        ("elockd_commands_total{verb=\"q\",outcome=\"success\"}", "command_q"),
    ];
    for (series, key) in same {
        assert_eq!(value::<u64>(&metrics, series), figures[key], "{series} and {key}");
    }
    let exact = [
        ("elockd_commands_total{verb=\"g\",outcome=\"success\"}", 3),
        ("elockd_commands_total{verb=\"r\",outcome=\"success\"}", 1),
        ("elockd_commands_total{verb=\"r\",outcome=\"failure\"}", 1),
        ("elockd_commands_total{verb=\"ping\",outcome=\"success\"}", 1),
        ("elockd_commands_total{verb=\"who\",outcome=\"success\"}", 0),
        ("elockd_holds{kind=\"shared\"}", 2),
        ("elockd_orphans_total{kind=\"shared\"}", 1),
        (concat!("elockd_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1),
    ];
    for (series, expected) in exact {
        assert_eq!(value::<u64>(&metrics, series), expected, "{series}");
    }
}

#[test]
fn every_command_is_in_the_latency_and_every_hold_that_is_over_in_the_hold_time() {
    let daemon = Daemon::start(&FLAGS);
    let _clients = busy(&daemon);
    let swept = || Some(metrics(&daemon)).filter(|metrics| value::<u64>(metrics, "elockd_dead_holds") == 0);
    let metrics = poll("what the gone client held to be swept", PATIENCE, swept);
    let sum = |name: &str| -> u64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    let commands = sum("elockd_commands_total{") + value::<u64>(&metrics, "elockd_invalid_commands_total");
    assert_eq!(value::<u64>(&metrics, "elockd_command_duration_seconds_count"), commands);
    assert_eq!(value::<u64>(&metrics, "elockd_command_duration_seconds_bucket{le=\"+Inf\"}"), commands);
    assert!(value::<f64>(&metrics, "elockd_command_duration_seconds_sum") > 0.0);
    // One was released, and one lost with its connection; of shared ones, one was lost.
    assert_eq!(value::<u64>(&metrics, "elockd_hold_duration_seconds_count{kind=\"exclusive\"}"), 2);
    assert_eq!(value::<u64>(&metrics, "elockd_hold_duration_seconds_count{kind=\"shared\"}"), 1);
}

#[test]
fn a_hold_counts_with_the_time_that_it_lasted() {
    let daemon = Daemon::start(&FLAGS);
    let mut client = daemon.unix();
    assert_eq!(client.ask("g a"), "1 Lock Get Success: a");
    std::thread::sleep(Duration::from_millis(120));
    assert_eq!(client.ask("r a"), "1 Lock Release Success: a");
    let metrics = metrics(&daemon);
    let bucket = |le: &str| {
        value::<u64>(
            &metrics,
            &format!("elockd_hold_duration_seconds_bucket{{kind=\"exclusive\",le=\"{le}\"}}"),
        )
    };
    assert_eq!((bucket("0.1"), bucket("+Inf")), (0, 1));
    let sum: f64 = value(&metrics, "elockd_hold_duration_seconds_sum{kind=\"exclusive\"}");
    assert!((0.119..PATIENCE.as_secs_f64()).contains(&sum), "{sum} s");
}

#[test]
fn no_name_that_a_client_chose_is_in_it() {
    let daemon = Daemon::start(&FLAGS);
    let mut client = daemon.unix();
    client.send("g hidden\nsg hidden\niam hidden\nhidden\n");
    (0..4).for_each(|_| drop(client.line()));
    assert!(!metrics(&daemon).contains("hidden"));
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    if !has_tools(&["promtool"]) {
        return;
    }
    let daemon = Daemon::start(&FEW_WAITERS);
    let _clients = (busy(&daemon), waits(&daemon));
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(metrics(&daemon).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn promtool_accepts_the_alert_rules_and_they_do_what_their_tests_say() {
    if !has_tools(&["promtool"]) {
        return;
    }
    for (rules, tests) in ALERTS {
        for (args, file) in [(["check", "rules"], rules), (["test", "rules"], tests)] {
            let mut promtool = Command::new("promtool");
            let output = promtool.args(args).arg(file).current_dir(document("prometheus")).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
}

/// The files of rules, and of their tests.
const ALERTS: [(&str, &str); 2] =
    [("alerts.yml", "alerts_test.yml"), ("cluster_alerts.yml", "cluster_alerts_test.yml")];

/// Goal: no rule without its tests: that it is quiet, and that it speaks.
#[test]
fn every_alert_rule_is_known_to_fire() {
    let read = |name: &str| std::fs::read_to_string(document("prometheus").join(name)).unwrap();
    for ((rules, tests), (least, quiet)) in ALERTS.into_iter().zip([(11, 9), (7, 2)]) {
        let (rules, tests) = (read(rules), read(tests));
        let names: Vec<&str> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(names.len() >= least, "{names:?}");
        for name in names {
            let fires = format!("{{labels: '{{alertname=\"{name}\"}}', value: 1}}");
            assert!(tests.contains(&fires), "no test makes {name} fire");
        }
        // That all of them are quiet is one query, whatever their names are.
        assert!(tests.matches("{expr: count(ALERTS), eval_time:").count() >= quiet);
    }
}

/// What a query of the dashboard gives: the unit of its panel.
fn unit_of(query: &str) -> &'static str {
    let is_share = query.contains(" / ") || query.contains("process_cpu_seconds_total");
    match query {
        _ if is_share => "percentunit",
        _ if query.contains("histogram_quantile") || query.contains("_wait_seconds") => "s",
        _ if query.contains("time()") => "s",
        _ if query.contains("rate(") || query.contains("increase(") => "ops",
        _ if query.contains("_bytes") => "bytes",
        _ if query.contains("up{") => "bool_on_off",
        _ => "short",
    }
}

#[test]
fn no_panel_of_the_dashboard_mixes_units_or_shows_a_limit_beside_a_count() {
    let text = std::fs::read_to_string(document("grafana/elockd.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 15);
    let mut ids: Vec<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), panels.len(), "an id is there twice");
    for panel in panels {
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            assert_eq!(unit_of(query), unit, "{}: {query}", panel["title"]);
            assert!(!query.contains("_limit") || query.contains(" / "), "{}: {query}", panel["title"]);
        }
    }
}

/// Every metric of ours that a text names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = words.filter(|word| word.starts_with("elockd_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// The queries of the dashboard, as it would send them.
fn queries() -> Vec<String> {
    let text = std::fs::read_to_string(document("grafana/elockd.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    let filled = queries.map(|query| {
        query.replace("$__rate_interval", "30s").replace("$instance", ".+").replace("$job", "elockd")
    });
    filled.collect()
}

#[test]
fn the_alert_rules_and_the_dashboard_ask_for_metrics_that_exist() {
    let daemon = Daemon::start(&FLAGS);
    let alone = metrics_in(&metrics(&daemon));
    let read = |name| std::fs::read_to_string(document("prometheus").join(name)).unwrap();
    let dashboard = queries().join(" ");
    let asked = metrics_in(&(read("alerts.yml") + &dashboard));
    let is_of_a_cluster = |name: &&String| name.starts_with("elockd_cluster_");
    let missing: Vec<_> = asked.difference(&alone).filter(|name| !is_of_a_cluster(name)).collect();
    assert!(asked.len() > 20 && missing.is_empty(), "{missing:?} do not exist");
    assert_eq!(alone.iter().find(is_of_a_cluster), None);

    let folder = TempDir::new().unwrap();
    let node = node(&folder);
    let of_a_node = metrics_in(&metrics(&node));
    let asked = metrics_in(&(read("cluster_alerts.yml") + &dashboard));
    let missing: Vec<_> = asked.difference(&of_a_node).filter(is_of_a_cluster).collect();
    assert!(
        asked.iter().filter(is_of_a_cluster).count() > 6 && missing.is_empty(),
        "{missing:?} do not exist"
    );
}

/// A cluster of one node, which serves.
fn node(folder: &TempDir) -> Daemon {
    let link = own_address().to_string();
    let state = folder.path().join("state");
    let flags = ["--cluster-listen", &link, "--state-dir", state.to_str().unwrap()];
    let founding = support::program().args(["cluster", "init"]).args(flags).output().unwrap();
    assert!(founding.status.success(), "{founding:?}");
    let node = Daemon::start(&[&FLAGS[..], &flags].concat());
    node.wait_for_log("serving epoch");
    node
}

/// A Prometheus that scrapes daemons every second, and the address of its own interface.
fn prometheus(daemons: &[&Daemon], dir: &TempDir) -> (Guard, SocketAddr) {
    let own = own_address();
    let config = dir.path().join("prometheus.yml");
    let path = |file| document("prometheus").join(file).canonicalize().unwrap().display().to_string();
    let rules = ALERTS.map(|(rules, _)| path(rules)).join(", ");
    let targets: Vec<_> = daemons.iter().map(|daemon| format!("'{}'", daemon.metrics_address())).collect();
    let text = format!(
        "global: {{scrape_interval: 1s}}\nrule_files: [{rules}]\nscrape_configs:\n- job_name: elockd\n  \
         static_configs: [{{targets: [{}]}}]\n",
        targets.join(", ")
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
    command.arg(format!("--web.listen-address={own}"));
    let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    (Guard::new(process), own)
}

/// Asks it a query. Gives the number of series in its answer.
fn series(prometheus: SocketAddr, query: &str) -> usize {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    let query: String = query.bytes().map(escape).collect();
    let (head, body) = get(prometheus, &format!("/api/v1/query?query={query}"));
    assert!(head.starts_with("HTTP/1.1 200 "), "{query}: {body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    answer["data"]["result"].as_array().unwrap().len()
}

#[test]
fn a_real_prometheus_answers_every_query_of_the_dashboard() {
    if !has_tools(&["prometheus"]) {
        return;
    }
    let daemon = Daemon::start(&FLAGS);
    let mut clients = busy(&daemon);
    let dir = TempDir::new().unwrap();
    let folder = TempDir::new().unwrap();
    let node = node(&folder);
    let (_prometheus, address) = prometheus(&[&daemon, &node], &dir);
    let start = Duration::from_mins(1);
    poll("Prometheus to listen", start, || TcpStream::connect(address).ok());
    let is_ready = || get(address, "/-/ready").0.starts_with("HTTP/1.1 200 ").then_some(());
    poll("Prometheus to be ready", start, is_ready);
    // Rates need two values, and those of the latency something that happens in between.
    poll("two scrapes", start, || {
        assert_eq!(clients[1].ask("g a"), "0 Lock Get Failure: a");
        let of_the_node = series(address, "rate(elockd_cluster_lapses_total[30s])") == 1;
        let has_two = series(address, "rate(elockd_command_duration_seconds_count[30s]) > 0") == 1;
        (has_two && of_the_node).then_some(())
    });
    for query in queries() {
        // How long holds and waits lasted that ended meanwhile, and what closed meanwhile: nothing did.
        let of_what_ended = ["> 0", "elockd_hold_duration", "elockd_wait_seconds"];
        let may_be_empty = of_what_ended.iter().any(|part| query.contains(part));
        assert!(series(address, &query) > 0 || may_be_empty, "no answer to {query}");
    }
}

#[test]
fn there_is_no_listener_unless_it_is_asked_for() {
    let daemon = Daemon::start(&[]);
    assert_eq!(daemon.unix().ask("ping"), "1 pong");
    assert!(!daemon.log().contains("http"), "{}", daemon.log());
}

#[test]
fn an_address_in_use_is_refused_with_status_1() {
    let daemon = Daemon::start(&FLAGS);
    let address = daemon.metrics_address().to_string();
    let mut command = support::program();
    command.args(["--listen", "127.0.0.1:0", "--metrics-listen", &address]);
    let (status, log) = Daemon::spawn(command, TempDir::new().unwrap()).wait();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains(&format!("cannot listen on http {address}")), "{log}");
}

#[test]
fn health_is_ok_until_the_shutdown_begins() {
    let mut daemon = Daemon::start(&[&FLAGS[..], &["--shutdown-timeout", "1h"]].concat());
    let address = daemon.metrics_address();
    let (head, body) = get(address, "/healthz");
    assert!(head.starts_with("HTTP/1.1 200 ") && body == "ok\n", "{head} {body}");
    // A client that takes no answers keeps the shutdown waiting.
    let mut stuck = daemon.unix();
    stuck.set_write_timeout(Duration::from_millis(50));
    while stuck.try_send("help\n".repeat(1000)).is_ok() {}
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("shutting down");
    let is_draining = || Some(get(address, "/healthz")).filter(|(head, _)| head.starts_with("HTTP/1.1 503 "));
    let (_, body) = poll("the health to change", PATIENCE, is_draining);
    assert_eq!(body, "shutting down\n");
    drop(stuck);
    daemon.wait_for_success();
}

#[test]
fn other_paths_and_methods_are_refused() {
    let daemon = Daemon::start(&FLAGS);
    let address = daemon.metrics_address();
    let (head, _) = get(address, "/");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
}

#[test]
fn what_is_no_http_or_too_much_of_it_is_cut_off_and_harms_nobody() {
    let daemon = Daemon::start(&FLAGS);
    let address = daemon.metrics_address();
    for request in [&b"g a\n"[..], &b"x".repeat(1 << 20), &b"GET / HTTP/1.1\r\nA: ".repeat(100_000)] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may be cut off before all is written, and with a reset.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", support::shown(&answer));
    }
    assert_eq!(value::<u64>(&metrics(&daemon), "elockd_connections_opened_total"), 0);
}

#[test]
fn silent_clients_hold_nothing_up_for_long() {
    let daemon = Daemon::start(&FLAGS);
    let address = daemon.metrics_address();
    // More than are served at a time, some of them in the middle of a request. They stay until the end.
    let silent = |number: usize| {
        let mut stream = TcpStream::connect(address).unwrap();
        if number.is_multiple_of(2) {
            stream.write_all(b"GET /metr").unwrap();
        }
        stream
    };
    let silent: Vec<TcpStream> = (0..60).map(silent).collect();
    let mut client = daemon.unix();
    for _ in 0..100 {
        assert_eq!(client.ask("g a"), "1 Lock Get Success: a");
    }
    // It waits until those before it have been cut off, which is within our patience.
    let (head, _) = get(address, "/healthz");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    metrics(&daemon);
    assert_eq!(client.ask("r a"), "1 Lock Release Success: a");
    drop(silent);
}

#[test]
fn an_ipv6_address_means_ipv6_alone() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return tell("SKIPPED: there is no IPv6 here");
    }
    let daemon = Daemon::start(&["--metrics-listen", "[::]:0"]);
    let port = daemon.metrics_address().port();
    let (head, _) = get(SocketAddr::from((Ipv6Addr::LOCALHOST, port)), "/healthz");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // An address of this test's own, so that whoever listens there is one of these two daemons.
    let other = SocketAddr::from((own_address().ip(), port));
    assert!(TcpStream::connect(other).is_err(), "it listens on IPv4 too");
    // Side by side, as with --listen.
    let second = Daemon::start(&["--metrics-listen", &other.to_string()]);
    assert!(get(second.metrics_address(), "/healthz").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_silent_scraper_is_cut_off() {
    let daemon = Daemon::start(&FLAGS);
    let mut silent = TcpStream::connect(daemon.metrics_address()).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    silent.write_all(b"GET /metr").unwrap();
    let mut answer = Vec::new();
    // By an orderly end or a reset, but within our patience.
    match silent.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}
