//! The table of metrics: each metric's name, type, labels and help. Most are made from core's table of figures. The
//! rest are the server's own, and are listed here. The page for operators is made from the same table.

use elockd_core::figures::{FigureRow, Metric, Nature, Part, rows};
use prometheus_client::metrics::MetricType;

/// The prefix of all names except those that every exporter uses.
const PREFIX: &str = "elockd_";

/// What metrics of accounts have in common.
const OF_ACCOUNTS: &str = "None without accounts.";

/// One metric.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Without the `_total` that a counter gets.
    pub(super) name: String,
    pub(super) metric_type: MetricType,
    #[cfg_attr(not(test), expect(dead_code, reason = "the page for operators is made from it"))]
    pub(super) labels: Vec<&'static str>,
    /// One sentence.
    pub(super) help: &'static str,
    /// Further sentences, for the documentation alone.
    #[cfg_attr(not(test), expect(dead_code, reason = "the page for operators is made from it"))]
    pub(super) note: &'static str,
    /// The figures that it shows. Empty for a metric of the server's own.
    pub(super) rows: Vec<&'static FigureRow>,
}

/// A metric of the server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    BuildInfo,
    LongHolds,
    TokenReservationsFailed,
    ListingsRefused,
    ClosingSockets,
    ClosingSocketsDropped,
    Handshakes,
    HandshakesDropped,
    HandshakesFailed,
    CertificateExpiry,
    ForeignConnections,
    LogLinesDropped,
    StrangersClosed,
    AccountConnections,
    AccountHolds,
    AccountWaiters,
    AccountMemory,
    CommandDuration,
    HoldDuration,
    WaitTime,
    StartTime,
    Processor,
    ResidentMemory,
    MaxFiles,
}

impl Own {
    /// All of them, in the order in which a scrape shows them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 24] = [
        Self::BuildInfo,
        Self::LongHolds,
        Self::TokenReservationsFailed,
        Self::ListingsRefused,
        Self::ClosingSockets,
        Self::ClosingSocketsDropped,
        Self::Handshakes,
        Self::HandshakesDropped,
        Self::HandshakesFailed,
        Self::ForeignConnections,
        Self::CertificateExpiry,
        Self::LogLinesDropped,
        Self::StrangersClosed,
        Self::AccountConnections,
        Self::AccountHolds,
        Self::AccountWaiters,
        Self::AccountMemory,
        Self::CommandDuration,
        Self::HoldDuration,
        Self::WaitTime,
        Self::StartTime,
        Self::Processor,
        Self::ResidentMemory,
        Self::MaxFiles,
    ];

    /// Its row of the table.
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    pub(super) fn described(self) -> Described {
        use MetricType::{Counter, Gauge, Histogram};
        let (name, metric_type, labels, help, note): (_, _, &[&str], _, _) = match self {
            Self::BuildInfo => {
                ("elockd_build_info", Gauge, &["version"], "The daemon's release; always 1.", "")
            }
            Self::LongHolds => {
                ("elockd_long_holds", Gauge, &[], "Holds older than `--warn-held` when last checked.", "")
            }
            Self::TokenReservationsFailed => (
                "elockd_token_reservations_failed",
                Counter,
                &[],
                "Reservations of fencing tokens that failed.",
                "See [the state directory](#the-state-directory).",
            ),
            Self::ListingsRefused => {
                ("elockd_listings_refused", Counter, &[], "Listings answered `0 Too Large`.", "")
            }
            Self::ClosingSockets => (
                "elockd_closing_sockets",
                Gauge,
                &[],
                "Sockets open now although their connection has ended or was refused.",
                "",
            ),
            Self::ClosingSocketsDropped => (
                "elockd_closing_sockets_dropped",
                Counter,
                &[],
                "Such sockets that were closed before their time, to make room for others.",
                "Beyond `--max-closing`, or when file descriptors are few.",
            ),
            Self::Handshakes => (
                "elockd_handshakes",
                Gauge,
                &[],
                "Sockets open now although their handshake is not over.",
                "They have no connection yet.",
            ),
            Self::HandshakesDropped => (
                "elockd_handshakes_dropped",
                Counter,
                &[],
                "Such sockets that were closed before their time, to make room for others.",
                "Beyond `--max-handshakes`, or when file descriptors are few.",
            ),
            Self::HandshakesFailed => (
                "elockd_handshakes_failed",
                Counter,
                &[],
                "Handshakes that failed, or took longer than `--handshake-timeout`.",
                "The log has a reason, at most once a second.",
            ),
            Self::ForeignConnections => (
                "elockd_foreign_connections",
                Counter,
                &[],
                "Connections that were closed because they spoke another protocol.",
                "See [other protocols](protocol.md#other-protocols).",
            ),
            Self::CertificateExpiry => (
                "elockd_tls_certificate_expiry_seconds",
                Gauge,
                &[],
                "When the first of the daemon's certificates expires, in Unix time; 0 without TLS.",
                "See [TLS](tls.md).",
            ),
            Self::LogLinesDropped => (
                "elockd_log_lines_dropped",
                Counter,
                &[],
                "Lines of the log that were not written.",
                "Nobody took them, or the disk was full. See [the log](#the-log).",
            ),
            Self::StrangersClosed => (
                "elockd_unauthenticated_closed",
                Counter,
                &[],
                "Connections closed because they had to authenticate and did not.",
                "They took longer than `--auth-timeout`, or sent too much before. See [access](access.md).",
            ),
            Self::AccountConnections => {
                ("elockd_account_connections", Gauge, &["account"], "Connections open now.", OF_ACCOUNTS)
            }
            Self::AccountHolds => {
                ("elockd_account_holds", Gauge, &["account"], "Holds now, of all kinds.", OF_ACCOUNTS)
            }
            Self::AccountWaiters => {
                ("elockd_account_waiters", Gauge, &["account"], "Connections that wait now.", OF_ACCOUNTS)
            }
            Self::AccountMemory => (
                "elockd_account_memory_bytes",
                Gauge,
                &["account"],
                "Memory that the account has, as its quota counts it.",
                OF_ACCOUNTS,
            ),
            Self::CommandDuration => (
                "elockd_command_duration_seconds",
                Histogram,
                &[],
                "Time from reading a command from its socket until its answer is ready to be sent.",
                "For a listing: until its first row is ready. A client that is slow to take answers delays its own \
                 next commands, which counts. Commands that came in one piece share one time.",
            ),
            Self::HoldDuration => (
                "elockd_hold_duration_seconds",
                Histogram,
                &["kind"],
                "How long released locks had been held.",
                "What an ended connection held is counted when its memory is freed, moments later.",
            ),
            Self::WaitTime => (
                "elockd_wait_seconds",
                Histogram,
                &["kind"],
                "How long finished waits lasted, however they ended.",
                "",
            ),
            Self::StartTime => {
                ("process_start_time_seconds", Gauge, &[], "Start of the process, in Unix time.", "")
            }
            Self::Processor => {
                ("process_cpu_seconds", Counter, &[], "User and system time of the process.", "")
            }
            Self::ResidentMemory => {
                ("process_resident_memory_bytes", Gauge, &[], "Resident memory of the process.", "")
            }
            Self::MaxFiles => {
                ("process_max_fds", Gauge, &[], "File descriptors that the process may open.", "")
            }
        };
        Described {
            name: name.to_owned(),
            metric_type,
            labels: labels.to_vec(),
            help,
            note,
            rows: Vec::new(),
        }
    }
}

/// The metrics made from the table of figures, in the order of their first rows.
pub(super) fn figures() -> Vec<Described> {
    let mut metrics: Vec<Described> = Vec::new();
    for row in rows() {
        let Some(name) = row.metric_name().map(|name| format!("{PREFIX}{name}")) else { continue };
        match metrics.iter_mut().find(|metric| metric.name == name) {
            Some(metric) => metric.rows.push(row),
            None => metrics.push(described(name, row)),
        }
    }
    metrics
}

fn described(name: String, row: &'static FigureRow) -> Described {
    let metric_type = match row.nature {
        Nature::Counter => MetricType::Counter,
        Nature::Gauge | Nature::Peak | Nature::Limit | Nature::Text => MetricType::Gauge,
    };
    let mut labels = Vec::new();
    row.each_part(|part| labels.extend(part.label().map(|(label, _)| label)));
    labels.dedup();
    let (help, note) = match row.metric {
        Some(Metric::Series { family, label: (label, _) }) => {
            labels.push(label);
            (family.help, family.note)
        }
        _ => (row.help, row.note),
    };
    Described { name, metric_type, labels, help, note, rows: vec![row] }
}

/// The labels of a part of a figure.
pub(super) fn labels_of(row: &FigureRow, part: Part) -> Vec<(&'static str, &'static str)> {
    let shared = match row.metric {
        Some(Metric::Series { label, .. }) => Some(label),
        _ => None,
    };
    part.label().into_iter().chain(shared).collect()
}

/// The table of the page for operators.
#[cfg(test)]
pub(crate) fn table() -> String {
    let own = Own::ALL.map(Own::described);
    let of_nodes = super::clustered::ROWS.iter().map(super::clustered::NodeMetric::described);
    let mut metrics: Vec<Described> = figures().into_iter().chain(own).chain(of_nodes).collect();
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    let lines = metrics.iter().map(|metric| {
        let Described { name, metric_type, labels, help, note, rows } = metric;
        let total = if matches!(metric_type, MetricType::Counter) { "_total" } else { "" };
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let sentences = [(*help).to_owned(), values_of_labels(rows), (*note).to_owned()];
        let sentences = sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect::<Vec<_>>();
        format!("| `{name}{total}{labels}` | {} | {} |\n", metric_type.as_str(), sentences.join(" "))
    });
    format!("| metric | type | what it is |\n|---|---|---|\n{}", lines.collect::<String>())
}

/// A sentence about each label that has few values: not about verbs.
#[cfg(test)]
fn values_of_labels(rows: &[&FigureRow]) -> String {
    let mut values: std::collections::BTreeMap<&str, Vec<String>> = std::collections::BTreeMap::new();
    for row in rows {
        row.each_part(|part| {
            for (label, value) in labels_of(row, part) {
                let (values, value) = (values.entry(label).or_default(), format!("`{value}`"));
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        });
    }
    let sentences = values.into_iter().filter(|(label, _)| !["kind", "verb"].contains(label));
    let sentences = sentences.map(|(label, values)| format!("`{label}` is {}.", values.join(", ")));
    sentences.collect::<Vec<_>>().join(" ")
}
