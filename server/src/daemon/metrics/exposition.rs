//! Writes a sample in Prometheus' format. The table of metrics says what is written. No label has a value that a client
//! chooses, so the number of series is bounded. Names of locks are not in it.

use super::clustered::{self, NodeValue};
use super::described::{self, Described, Own};
use super::sample::{AccountSample, Sample};
use elockd_core::figures::Part;
use elockd_core::{Kind, Times, Unit};
use elockd_server::Latency;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

pub(super) use prometheus_text::CONTENT_TYPE;

/// The whole answer to a scrape.
pub(super) fn text(sample: Sample) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(sample));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("writing to memory does not fail");
    text
}

/// A series' labels: the name and the value of each.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Collector for Sample {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder };
        let version: Labels<'_> = &[("version", env!("CARGO_PKG_VERSION"))];
        page.series(&Own::BuildInfo.described(), &[(version.to_vec(), Number::Whole(1))])?;
        for metric in described::figures() {
            page.series(&metric, &self.series_of(&metric))?;
        }
        page.number(Own::LongHolds, Number::Whole(self.long_holds))?;
        page.number(Own::TokenReservationsFailed, Number::Whole(self.token_failures))?;
        page.number(Own::ListingsRefused, Number::Whole(self.listings_refused))?;
        page.number(Own::ClosingSockets, Number::Whole(self.closing_sockets))?;
        page.number(Own::ClosingSocketsDropped, Number::Whole(self.closing_sockets_dropped))?;
        page.number(Own::Handshakes, Number::Whole(self.handshakes))?;
        page.number(Own::HandshakesDropped, Number::Whole(self.handshakes_dropped))?;
        page.number(Own::HandshakesFailed, Number::Whole(self.handshakes_failed))?;
        page.number(Own::ForeignConnections, Number::Whole(self.foreign_connections))?;
        page.number(Own::CertificateExpiry, Number::Whole(self.certificate_expiry))?;
        page.number(Own::LogLinesDropped, Number::Whole(self.log_lines_dropped))?;
        page.number(Own::StrangersClosed, Number::Whole(self.strangers_closed))?;
        page.by_account(Own::AccountConnections, self, |account| account.connections)?;
        page.by_account(Own::AccountHolds, self, |account| account.holds)?;
        page.by_account(Own::AccountWaiters, self, |account| account.waiters)?;
        page.by_account(Own::AccountMemory, self, |account| account.memory_bytes)?;
        self.times(&mut page)?;
        if let Some(node) = &self.node {
            for row in &clustered::ROWS {
                let number = match (row.value)(node) {
                    NodeValue::Whole(value) => Number::Whole(value),
                    NodeValue::Milliseconds(ms) => Number::Seconds(Duration::from_millis(ms)),
                };
                page.series(&row.described(), &[(Vec::new(), number)])?;
            }
        }
        self.process(&mut page)
    }
}

impl Sample {
    /// The series of a metric that is made of figures: by verb or cause, and then by row.
    fn series_of(&self, metric: &Described) -> Vec<Series> {
        let of_row = |row| self.parts_of(row).iter().map(move |(part, value)| (row, *part, *value));
        let mut parts: Vec<_> = metric.rows.iter().copied().flat_map(of_row).collect();
        parts.sort_by_key(|(_, part, _)| match part.label() {
            Some((_, word)) if !matches!(part, Part::Kind(_)) => word,
            _ => "",
        });
        let series = parts.into_iter().map(|(row, part, value)| {
            let number = match row.unit {
                Unit::Milliseconds => Number::Seconds(Duration::from_millis(value)),
                Unit::Count | Unit::Bytes => Number::Whole(value),
            };
            (described::labels_of(row, part), number)
        });
        series.collect()
    }

    fn times(&self, page: &mut Page<'_>) -> fmt::Result {
        let bounds = Latency::BOUNDS.map(|bound| bound.as_secs_f64());
        let latency = Histogram {
            labels: &[],
            bounds: &bounds,
            counts: &self.latency.counts,
            sum: self.latency.sum.as_secs_f64(),
        };
        page.histograms(Own::CommandDuration, &[latency])?;
        page.times_by_kind(Own::HoldDuration, &self.hold_times)?;
        page.times_by_kind(Own::WaitTime, &self.wait_times)
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let start = self.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        page.number(Own::StartTime, Number::Seconds(start))?;
        let Some(process) = self.process else { return Ok(()) };
        page.number(Own::Processor, Number::Seconds(process.cpu))?;
        page.number(Own::ResidentMemory, Number::Whole(process.resident_bytes))?;
        let Some(files) = process.max_files else { return Ok(()) };
        page.number(Own::MaxFiles, Number::Whole(files))
    }
}

/// The value of a series.
#[derive(Clone, Copy)]
enum Number {
    Whole(u64),
    Seconds(Duration),
}

/// Labels and value.
type Series = (Vec<(&'static str, &'static str)>, Number);

/// One series of a histogram. Counts are not cumulative. The last one is for values above all bounds.
struct Histogram<'a> {
    labels: Labels<'a>,
    bounds: &'a [f64],
    counts: &'a [u64],
    sum: f64,
}

/// The answer in progress.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn descriptor<'b>(&'b mut self, metric: &'b Described) -> Result<MetricEncoder<'b>, fmt::Error> {
        self.encoder.encode_descriptor(&metric.name, metric.help, None, metric.metric_type)
    }

    /// A metric that is one number without labels.
    fn number(&mut self, own: Own, number: Number) -> fmt::Result {
        self.series(&own.described(), &[(Vec::new(), number)])
    }

    fn series(&mut self, metric: &Described, series: &[Series]) -> fmt::Result {
        let mut encoder = self.descriptor(metric)?;
        for (labels, number) in series {
            if labels.is_empty() {
                write(&mut encoder, metric.metric_type, *number)?;
            } else {
                write(&mut encoder.encode_family(&labels.as_slice())?, metric.metric_type, *number)?;
            }
        }
        Ok(())
    }

    /// A metric with a series for each account. Names of accounts are in the operator's files, so there are few.
    fn by_account(&mut self, own: Own, sample: &Sample, number: fn(&AccountSample) -> u64) -> fmt::Result {
        let metric = own.described();
        let mut encoder = self.descriptor(&metric)?;
        for account in &sample.accounts {
            let labels: Labels<'_> = &[("account", &account.name)];
            write(&mut encoder.encode_family(&labels)?, metric.metric_type, Number::Whole(number(account)))?;
        }
        Ok(())
    }

    fn times_by_kind(&mut self, own: Own, times: &[(Kind, Times)]) -> fmt::Result {
        let bounds = Times::BOUNDS_MS.map(|ms| Duration::from_millis(ms).as_secs_f64());
        let labelled: Vec<_> = times.iter().map(|(kind, times)| ([("kind", kind.word())], times)).collect();
        let histograms: Vec<Histogram<'_>> = labelled
            .iter()
            .map(|(labels, times)| {
                let sum = Duration::from_millis(times.sum_ms()).as_secs_f64();
                Histogram { labels, bounds: &bounds, counts: times.counts(), sum }
            })
            .collect();
        self.histograms(own, &histograms)
    }

    fn histograms(&mut self, own: Own, series: &[Histogram<'_>]) -> fmt::Result {
        let metric = own.described();
        let mut family = self.descriptor(&metric)?;
        for Histogram { labels, bounds, counts, sum } in series {
            let bounds = bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
            let count = counts.iter().sum();
            let mut metric = family.encode_family(labels)?;
            metric.encode_histogram::<NoLabelSet>(*sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// Writes one value, as its metric's type wants it.
fn write(encoder: &mut MetricEncoder<'_>, metric_type: MetricType, number: Number) -> fmt::Result {
    match (metric_type, number) {
        (MetricType::Counter, Number::Whole(value)) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)
        }
        (MetricType::Counter, Number::Seconds(time)) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(&time.as_secs_f64(), None)
        }
        (_, Number::Whole(value)) => encoder.encode_gauge(&value),
        (_, Number::Seconds(time)) => encoder.encode_gauge(&time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_server::{Config, Server};
    use std::time::SystemTime;

    #[test]
    fn every_figure_that_is_told_exists() {
        // Nobody has sent this machine a command. So figures that need a first use are not there.
        let server = Server::new(Config::default());
        let text = text(Sample::take(&server.monitor(), None, 0, SystemTime::now()));
        assert!(text.contains("\nelockd_locks_refused_total 0\n"), "{text}");
        assert!(text.contains("\nelockd_connections_closed_total{cause=\"stalled\"} 0\n"), "{text}");
        assert!(text.contains("\nelockd_holds_limit 1000000\n"), "{text}");
        assert!(text.contains("\nelockd_name_waiters_limit 10000\n"), "{text}");
        assert!(text.contains("\nelockd_waits_ended_total{outcome=\"disconnected\"} 0\n"), "{text}");
        assert!(text.contains("\nelockd_tokens_left 0\n"), "nobody has reserved any: {text}");
    }
}
