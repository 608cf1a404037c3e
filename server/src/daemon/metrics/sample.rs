//! A copy of all figures at one moment, so that nobody waits while they are written out.

use super::process::Process;
use elockd_cluster::NodeFigures;
use elockd_core::figures::{FigureRow, Part, rows};
use elockd_core::{Kind, OwnFigures, Times};
use elockd_server::gate::Gate;
use elockd_server::{LatencySnapshot, Monitor};
use std::time::SystemTime;

/// The figures of one scrape.
#[derive(Debug)]
pub(super) struct Sample {
    /// Every number of the table of figures, row by row.
    figures: Vec<(&'static FigureRow, Vec<(Part, u64)>)>,
    /// By kind.
    pub(super) hold_times: Vec<(Kind, Times)>,
    pub(super) wait_times: Vec<(Kind, Times)>,
    pub(super) latency: LatencySnapshot,
    pub(super) listings_refused: u64,
    pub(super) closing_sockets: u64,
    pub(super) closing_sockets_dropped: u64,
    pub(super) handshakes: u64,
    pub(super) handshakes_dropped: u64,
    pub(super) handshakes_failed: u64,
    pub(super) foreign_connections: u64,
    /// In seconds of Unix time. 0 if there is none.
    pub(super) certificate_expiry: u64,
    /// Of a node of a cluster.
    pub(super) node: Option<NodeFigures>,
    pub(super) log_lines_dropped: u64,
    pub(super) long_holds: u64,
    pub(super) token_failures: u64,
    pub(super) strangers_closed: u64,
    /// By name. Empty without accounts.
    pub(super) accounts: Vec<AccountSample>,
    /// `None` if the system does not tell.
    pub(super) process: Option<Process>,
    pub(super) start: SystemTime,
}

/// What one account has.
#[derive(Debug)]
pub(super) struct AccountSample {
    pub(super) name: String,
    pub(super) connections: u64,
    pub(super) holds: u64,
    pub(super) waiters: u64,
    pub(super) memory_bytes: u64,
}

impl AccountSample {
    fn of(own: &OwnFigures<'_>) -> Self {
        Self {
            name: own.name.to_owned(),
            connections: own.connections.into(),
            holds: own.holds.into(),
            waiters: u64::from(own.waiters) + u64::from(own.end_waiters),
            memory_bytes: own.memory_bytes,
        }
    }
}

impl Sample {
    pub(super) fn take<G: Gate>(
        monitor: &Monitor<G>,
        node: Option<NodeFigures>,
        certificate_expiry: u64,
        start: SystemTime,
    ) -> Self {
        monitor
            .figures(|figures| {
                let parts = |row: &'static FigureRow| {
                    let mut parts = Vec::new();
                    row.each_part(|part| {
                        parts.extend(row.number(&figures, part).map(|number| (part, number)));
                    });
                    (row, parts)
                };
                Self {
                    figures: rows().filter(|row| row.metric.is_some()).map(parts).collect(),
                    hold_times: by_kind(|kind| figures.hold_times(kind).clone()),
                    wait_times: by_kind(|kind| figures.wait_times(kind).clone()),
                    latency: monitor.latency(),
                    listings_refused: monitor.listings_refused(),
                    closing_sockets: monitor.closing_sockets(),
                    closing_sockets_dropped: monitor.closing_sockets_dropped(),
                    handshakes: monitor.handshakes(),
                    handshakes_dropped: monitor.handshakes_dropped(),
                    handshakes_failed: monitor.handshakes_failed(),
                    foreign_connections: monitor.foreign_connections(),
                    certificate_expiry,
                    node,
                    log_lines_dropped: crate::logging::dropped(),
                    long_holds: monitor.long_holds(),
                    token_failures: monitor.token_failures(),
                    strangers_closed: monitor.strangers_closed(),
                    accounts: Vec::new(),
                    process: None,
                    start,
                }
            })
            .with_accounts(monitor)
            .with_process()
    }

    /// Adds the accounts. An account that is gone, and has nothing any more, has no name.
    fn with_accounts<G: Gate>(self, monitor: &Monitor<G>) -> Self {
        let accounts = monitor.accounts(|accounts| {
            accounts.iter().filter(|own| !own.name.is_empty()).map(AccountSample::of).collect()
        });
        Self { accounts, ..self }
    }

    /// Adds the process. Not done within the hub's lock, because it reads files.
    fn with_process(self) -> Self {
        Self { process: Process::look(), ..self }
    }

    /// The numbers of a figure that is a metric.
    pub(super) fn parts_of(&self, row: &FigureRow) -> &[(Part, u64)] {
        let found = self.figures.iter().find(|(of, _)| of.key == row.key);
        found.map_or(&[], |(_, parts)| parts)
    }
}

fn by_kind<T>(mut of: impl FnMut(Kind) -> T) -> Vec<(Kind, T)> {
    Kind::ALL.into_iter().map(|kind| (kind, of(kind))).collect()
}
