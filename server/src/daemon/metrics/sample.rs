//! A copy of all figures at one moment, so that nobody waits while they are written out.

use super::process::Process;
use elockd_core::figures::{FigureRow, Part, rows};
use elockd_core::{Kind, Times};
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
    pub(super) log_lines_dropped: u64,
    pub(super) long_holds: u64,
    pub(super) token_failures: u64,
    /// `None` if the system does not tell.
    pub(super) process: Option<Process>,
    pub(super) start: SystemTime,
}

impl Sample {
    pub(super) fn take(monitor: &Monitor, certificate_expiry: u64, start: SystemTime) -> Self {
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
                    log_lines_dropped: crate::logging::dropped(),
                    long_holds: monitor.long_holds(),
                    token_failures: monitor.token_failures(),
                    process: None,
                    start,
                }
            })
            .with_process()
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
