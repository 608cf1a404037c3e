//! The outcome of a part: figures for people, goals, and latency over time for a picture.

use crate::observer::{Noticed, Stretch};
use crate::support::goal::Goal;
use crate::support::spread::quantile_us;
use elockd_load::Latencies;
use serde_json::{Value, json};
use std::time::Instant;

/// How many microseconds a point of the picture covers.
const SLICE_US: u32 = 5_000;

/// The outcome of a part.
pub(crate) struct Outcome {
    name: String,
    figures: Vec<(String, f64, &'static str)>,
    pub(crate) goals: Vec<Goal>,
    /// Time in milliseconds, number of replies, median and worst latency in microseconds.
    slices: Vec<(f64, usize, f64, f64)>,
    /// Events, with their times.
    marks: Vec<(String, f64)>,
    /// Connections that ended, all at once.
    closings: Vec<Value>,
}

impl Outcome {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { name, figures: vec![], goals: vec![], slices: vec![], marks: vec![], closings: vec![] }
    }

    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push((what.into(), value, unit));
    }

    /// Adds the times of connections' ends: the first close, the last one, and when all was free.
    pub(crate) fn closing(&mut self, of: impl Into<String>, latencies: &Latencies, times: [Instant; 3]) {
        let [first_close, last_close, free] = times.map(|time| ms(latencies.began, time));
        self.closings.push(json!({
            "of": of.into(),
            "first_close": first_close,
            "last_close": last_close,
            "free": free,
        }));
    }

    /// Adds the latencies of the others in a stretch.
    pub(crate) fn notice(&mut self, when: &str, latencies: &Latencies, stretch: Stretch) -> Noticed {
        let noticed = Noticed::of(latencies, stretch);
        self.marks.push((when.to_owned(), ms(latencies.began, stretch.0)));
        #[allow(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
        self.add(format!("{when}: replies to the others"), noticed.replies as f64, "");
        self.add(format!("{when}: their p50"), noticed.p50_us, "µs");
        self.add(format!("{when}: their p99"), noticed.p99_us, "µs");
        self.add(format!("{when}: their p99.9"), noticed.p999_us, "µs");
        self.add(format!("{when}: their worst"), noticed.worst_us, "µs");
        noticed
    }

    /// Adds the picture of latency over time.
    pub(crate) fn picture(&mut self, latencies: &Latencies) {
        for slice in latencies.samples.chunk_by(|one, other| one.at_us / SLICE_US == other.at_us / SLICE_US) {
            let mut sorted: Vec<u32> = slice.iter().map(|sample| sample.latency_ns).collect();
            sorted.sort_unstable();
            let at_ms = f64::from(slice[0].at_us / SLICE_US * SLICE_US) / 1e3;
            let (median, worst) = (quantile_us(&sorted, 0.5), quantile_us(&sorted, 1.0));
            self.slices.push((at_ms, slice.len(), median, worst));
        }
    }

    pub(crate) fn print(&self) {
        println!("\n{}:", self.name);
        let width = self.figures.iter().map(|(what, ..)| what.chars().count()).max().unwrap_or_default();
        for (what, value, unit) in &self.figures {
            let digits = if value.fract() == 0.0 { 0 } else { 2 };
            println!("  {what:<width$}  {value:>14.digits$} {unit}");
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|(what, value, unit)| json!({ "what": what, "value": value, "unit": unit }))
            .collect();
        json!({
            "name": self.name,
            "figures": figures,
            "marks_ms": self.marks,
            "closings_ms": self.closings,
            "latency_over_time": {
                "columns": ["ms", "replies", "median_us", "worst_us"],
                "rows": self.slices,
            },
        })
    }
}

/// Milliseconds between two points in time.
pub(crate) fn ms(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}
