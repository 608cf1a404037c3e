//! Axes: where they begin and end, where their marks are, and the labels of the marks.

use std::ops::Range;

/// An axis. Logarithms are taken before anything is drawn, so that all axes are linear.
pub(crate) struct Axis<'l> {
    /// What it measures, with its unit if the marks have none.
    pub(crate) title: &'l str,
    pub(crate) range: Range<f64>,
    pub(crate) marks: Vec<f64>,
    /// The label of a mark.
    pub(crate) label: &'l dyn Fn(f64) -> String,
}

impl<'l> Axis<'l> {
    /// Latencies in microseconds, by their logarithm, with room for all of `latencies_us`.
    pub(crate) fn of_latency(title: &'l str, latencies_us: impl Iterator<Item = f64> + Clone) -> Self {
        let lowest = latencies_us.clone().fold(f64::INFINITY, f64::min).max(1.0);
        let highest = latencies_us.fold(lowest, f64::max);
        let round: Vec<f64> =
            (0..9).flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade))).collect();
        let below = round.iter().rposition(|&us| us <= lowest).unwrap_or(0);
        let above = round.iter().position(|&us| us > highest).unwrap_or(round.len() - 1);
        let marks: Vec<f64> = round[below..=above].iter().map(|us| us.log10()).collect();
        Self { title, range: marks[0]..marks[marks.len() - 1], marks, label: &|log| time(10_f64.powf(log)) }
    }

    /// Linear, with a mark at every multiple of a step.
    #[allow(clippy::cast_possible_truncation, reason = "marks are few")]
    pub(crate) fn linear(
        title: &'l str,
        range: Range<f64>,
        step: f64,
        label: &'l dyn Fn(f64) -> String,
    ) -> Self {
        let [first, last] = [(range.start / step).ceil() as i32, (range.end / step).floor() as i32];
        let marks = (first..=last).map(|nth| f64::from(nth) * step).collect();
        Self { title, range, marks, label }
    }
}

/// A time, given in microseconds, as people write it.
fn time(us: f64) -> String {
    match us {
        ..999.5 => format!("{us:.0} µs"),
        ..999_500.0 => format!("{:.0} ms", us / 1e3),
        _ => format!("{:.0} s", us / 1e6),
    }
}

/// A rate as people write it, with three significant digits.
pub(crate) fn rate(rate: f64) -> String {
    let (value, unit) = if rate < 999_500.0 { (rate / 1e3, "k") } else { (rate / 1e6, "M") };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}{unit}")
}
