//! Every series of the metrics, and the figure that it must show. This list is the test's own on purpose: the program
//! makes the names from its tables.

use crate::support::get;
use elockd_core::Verb;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

/// Series that are whole numbers, and the keys of their values.
const SERIES: &[(&str, &str)] = &[
    ("elockd_command_duration_seconds_count", "latency"),
    ("elockd_connection_holds_limit", "limit_locks_per_connection"),
    ("elockd_connection_holds_peak", "peak_connection_holds"),
    ("elockd_address_connections_limit", "limit_connections_per_address"),
    ("elockd_address_connections_peak", "peak_address_connections"),
    ("elockd_address_connections_refused_total", "address_refused"),
    ("elockd_connections", "connections"),
    ("elockd_connections_closed_total{cause=\"eof\"}", "closed_eof"),
    ("elockd_connections_closed_total{cause=\"error\"}", "closed_error"),
    ("elockd_connections_closed_total{cause=\"idle\"}", "closed_idle"),
    ("elockd_connections_closed_total{cause=\"kicked\"}", "closed_kicked"),
    ("elockd_connections_closed_total{cause=\"node_lost\"}", "closed_node_lost"),
    ("elockd_connections_closed_total{cause=\"quit\"}", "closed_quit"),
    ("elockd_connections_closed_total{cause=\"resumed\"}", "closed_resumed"),
    ("elockd_connections_closed_total{cause=\"refused\"}", "closed_refused"),
    ("elockd_unauthenticated_closed_total", "unauthenticated_closed"),
    ("elockd_connections_closed_total{cause=\"shutdown\"}", "closed_shutdown"),
    ("elockd_connections_closed_total{cause=\"stalled\"}", "closed_stalled"),
    ("elockd_connections_limit", "limit_connections"),
    ("elockd_connections_opened_total", "connections_opened"),
    ("elockd_connections_peak", "peak_connections"),
    ("elockd_connections_refused_total", "connections_refused"),
    ("elockd_dead_holds", "dead_holds"),
    ("elockd_end_waiters", "end_waiters"),
    ("elockd_hold_duration_seconds_count{kind=\"exclusive\"}", "hold_times"),
    ("elockd_hold_duration_seconds_count{kind=\"shared\"}", "shared_hold_times"),
    ("elockd_hold_duration_seconds_count{kind=\"read\"}", "read_hold_times"),
    ("elockd_hold_duration_seconds_count{kind=\"write\"}", "write_hold_times"),
    ("elockd_holds_limit", "limit_locks"),
    ("elockd_holds_changed_total", "changes"),
    ("elockd_holds_peak", "peak_holds"),
    ("elockd_holds{kind=\"exclusive\"}", "holds"),
    ("elockd_holds{kind=\"shared\"}", "shared_holds"),
    ("elockd_holds{kind=\"read\"}", "read_holds"),
    ("elockd_holds{kind=\"write\"}", "write_holds"),
    ("elockd_ignored_inputs_total", "ignored_inputs"),
    ("elockd_invalid_commands_total", "invalid_commands"),
    ("elockd_lingering", "lingering"),
    ("elockd_lingering_holds", "lingering_holds"),
    ("elockd_listings_refused_total", "listings_refused"),
    ("elockd_lock_bytes", "lock_bytes"),
    ("elockd_locks_refused_total", "locks_refused"),
    ("elockd_locks{kind=\"exclusive\"}", "locks"),
    ("elockd_locks{kind=\"shared\"}", "shared_locks"),
    ("elockd_locks{kind=\"read\"}", "read_locks"),
    ("elockd_locks{kind=\"write\"}", "write_locks"),
    ("elockd_long_holds", "long_holds"),
    ("elockd_memory_bytes", "memory_bytes"),
    ("elockd_memory_limit_bytes", "limit_memory_bytes"),
    ("elockd_memory_peak_bytes", "peak_memory_bytes"),
    ("elockd_memory_refused_total", "memory_refused"),
    ("elockd_name_waiters_limit", "limit_waiters_per_name"),
    ("elockd_orphans_total{kind=\"exclusive\"}", "orphans"),
    ("elockd_orphans_total{kind=\"shared\"}", "shared_orphans"),
    ("elockd_orphans_total{kind=\"read\"}", "read_orphans"),
    ("elockd_orphans_total{kind=\"write\"}", "write_orphans"),
    ("elockd_released_together_total{kind=\"exclusive\"}", "released_together"),
    ("elockd_released_together_total{kind=\"shared\"}", "shared_released_together"),
    ("elockd_resumed_total", "resumed"),
    ("elockd_released_together_total{kind=\"read\"}", "read_released_together"),
    ("elockd_released_together_total{kind=\"write\"}", "write_released_together"),
    ("elockd_searches_refused_total", "searches_refused"),
    ("elockd_step_holds_limit", "limit_step_holds"),
    ("elockd_tokens_given_total", "tokens_given"),
    ("elockd_tokens_left", "tokens_left"),
    ("elockd_wait_seconds_count{kind=\"exclusive\"}", "wait_times"),
    ("elockd_wait_seconds_count{kind=\"shared\"}", "shared_wait_times"),
    ("elockd_wait_seconds_count{kind=\"read\"}", "read_wait_times"),
    ("elockd_wait_seconds_count{kind=\"write\"}", "write_wait_times"),
    ("elockd_waiters_limit", "limit_waiters"),
    ("elockd_waiters_peak", "peak_waiters"),
    ("elockd_waiters{kind=\"exclusive\"}", "waiters"),
    ("elockd_waiters{kind=\"shared\"}", "shared_waiters"),
    ("elockd_waiters{kind=\"read\"}", "read_waiters"),
    ("elockd_waiters{kind=\"write\"}", "write_waiters"),
    ("elockd_waits_ended_total{outcome=\"disconnected\"}", "waits_disconnected"),
    ("elockd_waits_ended_total{outcome=\"granted\"}", "waits_granted"),
    ("elockd_waits_ended_total{outcome=\"shutdown\"}", "waits_drained"),
    ("elockd_waits_ended_total{outcome=\"timeout\"}", "waits_timed_out"),
    ("elockd_waits_refused_total{reason=\"deadlock\"}", "deadlocks_refused"),
    ("elockd_waits_refused_total{reason=\"queue_full\"}", "queue_full"),
    ("elockd_waits_total", "waits"),
];

/// Series with values that another test measures.
const MEASURED: &[&str] = &[
    "elockd_closing_sockets",
    "elockd_closing_sockets_dropped_total",
    "elockd_handshakes",
    "elockd_handshakes_dropped_total",
    "elockd_foreign_connections_total",
    "elockd_handshakes_failed_total",
    "elockd_tls_certificate_expiry_seconds",
    "elockd_command_duration_seconds_sum",
    "elockd_hold_duration_seconds_sum{kind=\"exclusive\"}",
    "elockd_hold_duration_seconds_sum{kind=\"shared\"}",
    "elockd_hold_duration_seconds_sum{kind=\"read\"}",
    "elockd_hold_duration_seconds_sum{kind=\"write\"}",
    "elockd_log_lines_dropped_total",
    "elockd_wait_seconds_sum{kind=\"exclusive\"}",
    "elockd_wait_seconds_sum{kind=\"shared\"}",
    "elockd_wait_seconds_sum{kind=\"read\"}",
    "elockd_wait_seconds_sum{kind=\"write\"}",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

/// Asks for the metrics: each series with its value.
pub(crate) fn scrape(server: SocketAddr) -> BTreeMap<String, String> {
    let (head, body) = get(server, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut all = BTreeMap::new();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    for line in body.lines() {
        if let Some(metric) = line.strip_prefix("# TYPE ") {
            types.extend(metric.split_once(' '));
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(all.insert(series.to_owned(), value.to_owned()).is_none(), "{series} comes twice");
            let name = series.split('{').next().unwrap();
            let is_counter = types.get(name) == Some(&"counter");
            assert_eq!(is_counter, name.ends_with("_total"), "{name} is of type {:?}", types.get(name));
        }
    }
    all
}

/// Compares every series with what the ledger says.
pub(crate) fn compare(metrics: &BTreeMap<String, String>, ledger: &BTreeMap<String, u64>, born: Instant) {
    let verbs = Verb::ALL.map(Verb::word);
    let of_verbs = verbs.iter().flat_map(|verb| {
        [("success", "succeeded"), ("failure", "failed")].map(|(outcome, key)| {
            let series = format!("elockd_commands_total{{verb=\"{verb}\",outcome=\"{outcome}\"}}");
            (series, format!("{key}_{verb}"))
        })
    });
    let own = SERIES.iter().map(|(series, key)| ((*series).to_owned(), (*key).to_owned()));
    let expected: BTreeMap<String, String> = own.chain(of_verbs).collect();
    for (series, key) in &expected {
        let value = metrics.get(series).unwrap_or_else(|| panic!("there is no series {series}"));
        assert_eq!(value.parse(), Ok(ledger[key]), "{series}, which is {key}");
    }
    for (series, value) in metrics {
        // What each account has is compared in `server/tests/access/watching.rs`.
        let is_of_account = series.starts_with("elockd_account_");
        if is_of_account
            || expected.contains_key(series)
            || MEASURED.contains(&&**series)
            || series.contains("_bucket{")
        {
            continue;
        }
        match &**series {
            "elockd_longest_wait_seconds" => {
                let seconds: f64 = value.parse().unwrap();
                let waiters: u64 =
                    ["waiters", "shared_waiters", "read_waiters", "write_waiters", "end_waiters"]
                        .iter()
                        .map(|key| ledger[*key])
                        .sum();
                let is_so =
                    if waiters == 0 { seconds == 0.0 } else { seconds <= born.elapsed().as_secs_f64() };
                assert!(is_so, "{series} is {value}");
            }
            // A reservation that failed is tried again every second.
            "elockd_token_reservations_failed_total" => {
                let tries = born.elapsed().as_secs() + 2;
                let is_so = (value == "0") == (ledger["token_failures"] == 0);
                assert!(is_so && value.parse::<u64>().unwrap() <= tries, "{series} is {value}");
            }
            concat!("elockd_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}") => {
                assert_eq!(value, "1");
            }
            _ => panic!(
                "the series {series} is {value}, and nothing here says what it has to be: add it to SERIES"
            ),
        }
    }
    histograms(metrics);
}

/// The buckets of each histogram ascend, and the last is its count.
fn histograms(metrics: &BTreeMap<String, String>) {
    let mut buckets: BTreeMap<String, Vec<(f64, u64)>> = BTreeMap::new();
    for (series, value) in metrics {
        let Some((name, labels)) = series.split_once("_bucket{") else { continue };
        let (others, bound) = labels.split_once("le=\"").unwrap();
        let bound = bound.split('"').next().unwrap().parse().unwrap();
        let others = others.trim_end_matches(',');
        let of =
            if others.is_empty() { format!("{name}_count") } else { format!("{name}_count{{{others}}}") };
        buckets.entry(of).or_default().push((bound, value.parse().unwrap()));
    }
    assert_eq!(buckets.len(), 9, "{:?}", buckets.keys());
    for (count, mut buckets) in buckets {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{count}: {buckets:?}");
        let (bound, last) = buckets[buckets.len() - 1];
        assert_eq!((bound, Ok(last)), (f64::INFINITY, metrics[&count].parse()), "{count}");
    }
}
