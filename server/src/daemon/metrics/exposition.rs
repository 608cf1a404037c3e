//! The sample in Prometheus' words: names, help, types and labels. No label has a value that a client chooses,
//! so that their number is bounded; names of locks are nowhere in it.

use super::sample::Sample;
use elockd_core::{Kind, Times};
use elockd_server::Latency;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
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

/// A label's name and its value; several are a series' labels.
type Labels<'a> = &'a [(&'a str, &'a str)];

impl Collector for Sample {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder };
        build_info(&mut page)?;
        self.connections(&mut page)?;
        self.locks(&mut page)?;
        self.waits(&mut page)?;
        self.tokens(&mut page)?;
        self.commands(&mut page)?;
        self.times(&mut page)?;
        self.process(&mut page)
    }
}

impl Sample {
    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauge("elockd_connections", "Connections open now.", self.number("connections"))?;
        let limit = self.number("limit_connections");
        page.gauge("elockd_connections_limit", "Connections that may be open at a time.", limit)?;
        let peak = self.number("peak_connections");
        page.gauge("elockd_connections_peak", "The most connections at a time since the start.", peak)?;
        let opened = self.number("connections_opened");
        page.counter("elockd_connections_opened", "Connections that were accepted.", opened)?;
        let refused = self.number("connections_refused");
        page.counter("elockd_connections_refused", "Connections over the limit.", refused)?;
        let closed = ["eof", "error", "idle", "kicked", "quit", "shutdown", "stalled"]
            .map(|cause| ([("cause", cause)], self.number(&format!("closed_{cause}"))));
        let closed = closed.each_ref().map(|(labels, count)| (&labels[..], *count));
        page.counters("elockd_connections_closed", "Connections that have ended, by cause.", &closed)
    }

    fn locks(&self, page: &mut Page<'_>) -> fmt::Result {
        let both = |exclusive: &str, shared: &str| [self.number(exclusive), self.number(shared)];
        let names = both("locks", "shared_locks");
        page.gauges_by_kind("elockd_locks", "Names that are locked now.", names)?;
        let holds = both("holds", "shared_holds");
        let help = "Holds now: a shared lock with five holders is five.";
        page.gauges_by_kind("elockd_holds", help, holds)?;
        let limit = self.number("limit_locks");
        page.gauge("elockd_holds_limit", "Holds of both kinds that there may be at a time.", limit)?;
        let peak = self.number("peak_holds");
        page.gauge("elockd_holds_peak", "The most holds of both kinds at a time since the start.", peak)?;
        let limit = self.number("limit_locks_per_connection");
        page.gauge("elockd_connection_holds_limit", "Holds that one connection may have at a time.", limit)?;
        let peak = self.number("peak_connection_holds");
        let help = "The most holds of one connection at a time since the start.";
        page.gauge("elockd_connection_holds_peak", help, peak)?;
        let orphans = both("orphans", "shared_orphans");
        let help = "Holds released because their connection ended.";
        page.counters_by_kind("elockd_orphans", help, orphans)?;
        let together = both("released_together", "shared_released_together");
        let help = "Holds released by ra.";
        page.counters_by_kind("elockd_released_together", help, together)?;
        let refused = self.number("locks_refused");
        page.counter("elockd_locks_refused", "Gets that would have passed a limit of locks.", refused)?;
        let bytes = self.number("lock_bytes");
        page.gauge("elockd_lock_bytes", "Memory that locks take, their indexes left out.", bytes)?;
        let help = "Holds of ended connections whose memory is still to be freed.";
        page.gauge("elockd_dead_holds", help, self.dead_holds.into())?;
        let help = "Holds that had lasted longer than the time of --warn-held when last looked at.";
        page.gauge("elockd_long_holds", help, self.long_holds)
    }

    fn waits(&self, page: &mut Page<'_>) -> fmt::Result {
        let waiters = [self.number("waiters"), self.number("shared_waiters")];
        page.gauges_by_kind("elockd_waiters", "Clients that wait for a lock now.", waiters)?;
        let limit = self.number("limit_waiters");
        page.gauge("elockd_waiters_limit", "Clients that may wait at a time.", limit)?;
        let limit = self.number("limit_waiters_per_name");
        page.gauge("elockd_name_waiters_limit", "Clients that may wait for one lock at a time.", limit)?;
        let peak = self.number("peak_waiters");
        page.gauge("elockd_waiters_peak", "The most clients that waited at a time since the start.", peak)?;
        let longest = Duration::from_millis(self.number("longest_wait_ms")).as_secs_f64();
        let help = "How long the wait has lasted that has lasted longest; 0 when nobody waits.";
        page.gauge_f64("elockd_longest_wait_seconds", help, longest)?;
        let begun = self.number("waits");
        page.counter("elockd_waits", "Waits that began.", begun)?;
        let [granted, timed_out, drained] =
            ["waits_granted", "waits_timed_out", "waits_drained"].map(|key| self.number(key));
        // All figures are of one moment, so that what is left of them is exact too.
        let told_of = granted + timed_out + drained + waiters[0] + waiters[1];
        let ended = [
            ([("outcome", "granted")], granted),
            ([("outcome", "timeout")], timed_out),
            ([("outcome", "shutdown")], drained),
            ([("outcome", "disconnected")], begun.saturating_sub(told_of)),
        ];
        let ended = ended.each_ref().map(|(labels, count)| (&labels[..], *count));
        page.counters("elockd_waits_ended", "Waits that are over, by how they ended.", &ended)?;
        let refused = [("deadlock", "deadlocks_refused"), ("queue_full", "queue_full")]
            .map(|(reason, key)| ([("reason", reason)], self.number(key)));
        let refused = refused.each_ref().map(|(labels, count)| (&labels[..], *count));
        let help = "Waits that did not begin, because they would never have ended, or because of a limit.";
        page.counters("elockd_waits_refused", help, &refused)
    }

    fn tokens(&self, page: &mut Page<'_>) -> fmt::Result {
        let given = self.number("tokens_given");
        page.counter("elockd_tokens_given", "Fencing tokens that were given out.", given)?;
        let left = self.number("tokens_left");
        let help = "Fencing tokens that are reserved and not given out yet.";
        page.gauge("elockd_tokens_left", help, left)?;
        let help = "Reservations of fencing tokens that failed.";
        page.counter("elockd_token_reservations_failed", help, self.token_failures)
    }

    fn commands(&self, page: &mut Page<'_>) -> fmt::Result {
        let outcomes = self.outcomes.map(|(verb, succeeded, failed)| {
            let labels = |outcome| [("verb", verb.word()), ("outcome", outcome)];
            [(labels("success"), succeeded), (labels("failure"), failed)]
        });
        let series: Vec<(Labels<'_>, u64)> =
            outcomes.iter().flatten().map(|(labels, count)| (&labels[..], *count)).collect();
        let help = "Commands that were answered, by verb; a failure is an answer that begins with 0.";
        page.counters("elockd_commands", help, &series)?;
        let invalid = self.number("invalid_commands");
        let help = "Unknown commands, and lines and names that were too long.";
        page.counter("elockd_invalid_commands", help, invalid)?;
        let help = "Listings that were answered 0 Too Large.";
        page.counter("elockd_listings_refused", help, self.listings_refused)?;
        let ignored = self.number("ignored_inputs");
        page.counter("elockd_ignored_inputs", "Events of connections that had ended already.", ignored)
    }

    fn times(&self, page: &mut Page<'_>) -> fmt::Result {
        let bounds = Latency::BOUNDS.map(|bound| bound.as_secs_f64());
        let latency = Histogram {
            labels: &[],
            bounds: &bounds,
            counts: &self.latency.counts,
            sum: self.latency.sum.as_secs_f64(),
        };
        let help = "Time from reading a command off its socket to having its answer ready to be sent.";
        page.histograms("elockd_command_duration_seconds", help, &[latency])?;
        let help = "How long locks were held that are free.";
        page.times_by_kind("elockd_hold_duration_seconds", help, &self.hold_times)?;
        let help = "How long was waited for locks, by waits that are over, however they ended.";
        page.times_by_kind("elockd_wait_seconds", help, &self.wait_times)
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let start = self.start.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        page.gauge_f64("process_start_time_seconds", "Start of the process, in Unix time.", start)?;
        let Some(process) = self.process else { return Ok(()) };
        page.counter_f64(
            "process_cpu_seconds",
            "User and system time of the process.",
            process.cpu.as_secs_f64(),
        )?;
        let help = "Memory of the process that is resident.";
        page.gauge("process_resident_memory_bytes", help, process.resident_bytes)?;
        process.max_files.map_or(Ok(()), |files| {
            page.gauge("process_max_fds", "File descriptors that the process may open.", files)
        })
    }
}

fn build_info(page: &mut Page<'_>) -> fmt::Result {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.gauges("elockd_build_info", "The daemon's release; always 1.", &[(&version[..], 1)])
}

fn labels_of(kind: Kind) -> Labels<'static> {
    match kind {
        Kind::Exclusive => &[("kind", "exclusive")],
        Kind::Shared => &[("kind", "shared")],
    }
}

/// One series of a histogram. Counts are not cumulative, and the last one is of what is over all bounds.
struct Histogram<'a> {
    labels: Labels<'a>,
    bounds: &'a [f64],
    counts: &'a [u64],
    sum: f64,
}

/// The answer under way. Names of counters are without the `_total` that they get.
struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauge_f64(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges(&mut self, name: &str, help: &str, series: &[(Labels<'_>, u64)]) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            family.encode_family(labels)?.encode_gauge(value)?;
        }
        Ok(())
    }

    fn gauges_by_kind(&mut self, name: &str, help: &str, values: [u64; 2]) -> fmt::Result {
        let series = Kind::ALL.map(|kind| (labels_of(kind), values[kind as usize]));
        self.gauges(name, help, &series)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counter_f64(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters(&mut self, name: &str, help: &str, series: &[(Labels<'_>, u64)]) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            family.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }

    fn counters_by_kind(&mut self, name: &str, help: &str, values: [u64; 2]) -> fmt::Result {
        let series = Kind::ALL.map(|kind| (labels_of(kind), values[kind as usize]));
        self.counters(name, help, &series)
    }

    fn times_by_kind(&mut self, name: &str, help: &str, times: &[Times; 2]) -> fmt::Result {
        let bounds = Times::BOUNDS_MS.map(|ms| Duration::from_millis(ms).as_secs_f64());
        let histograms = Kind::ALL.map(|kind| {
            let times = &times[kind as usize];
            let sum = Duration::from_millis(times.sum_ms()).as_secs_f64();
            Histogram { labels: labels_of(kind), bounds: &bounds, counts: times.counts(), sum }
        });
        self.histograms(name, help, &histograms)
    }

    fn histograms(&mut self, name: &str, help: &str, series: &[Histogram<'_>]) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_server::{Config, Server};
    use std::time::SystemTime;

    #[test]
    fn every_figure_that_is_told_exists() {
        // A machine that nobody has asked for anything: what has a line only from its first use on is not there.
        let server = Server::new(Config::default());
        let text = text(Sample::take(&server.monitor(), SystemTime::now()));
        assert!(text.contains("\nelockd_locks_refused_total 0\n"), "{text}");
        assert!(text.contains("\nelockd_connections_closed_total{cause=\"stalled\"} 0\n"), "{text}");
        assert!(text.contains("\nelockd_holds_limit 1000000\n"), "{text}");
        assert!(text.contains("\nelockd_name_waiters_limit 10000\n"), "{text}");
        assert!(text.contains("\nelockd_waits_ended_total{outcome=\"disconnected\"} 0\n"), "{text}");
        assert!(text.contains("\nelockd_tokens_left 0\n"), "nobody has reserved any: {text}");
    }
}
