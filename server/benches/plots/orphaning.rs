//! Latency of other clients over time, while thousands of connections end at once, first without locks and then with
//! them.

use crate::axis::Axis;
use crate::figures::{Closing, Part, Slice};
use crate::sheet::{self, Chart, INK};
use crate::support::Failure;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;
use std::path::Path;

/// How much is shown before the first connection closes, and after all is free, in milliseconds.
const BEFORE: f64 = 100.0;
const AFTER: f64 = 200.0;

const MEDIAN: RGBColor = RGBColor(0, 114, 178);
const WORST: RGBColor = RGBColor(213, 94, 0);

/// Draws it. Returns false if there is nothing to draw.
pub(crate) fn draw(part: &Part, about: &str, path: &Path) -> Result<bool, Failure> {
    let longest = part.closings.iter().map(|closing| closing.free - closing.first_close).fold(0.0, f64::max);
    let range = -BEFORE..((longest + AFTER) / 50.0).ceil() * 50.0;
    let shown = part.closings.iter().flat_map(|closing| slices(part, closing, range.clone()));
    let latencies = shown.flat_map(|(_, slice)| [slice.median_us, slice.worst_us]);
    let mut y = Axis::of_latency("latency (logarithmic)", latencies);
    // Room for the text at the top.
    y.range.end += (y.range.end - y.range.start) * 0.35;
    let step = if range.end > 800.0 { 200.0 } else { 50.0 };
    let x = Axis::linear("ms since the first of them closed", range.clone(), step, &|ms| format!("{ms:.0}"));

    let legend = [("median of each 5 ms", MEDIAN), ("the worst of each 5 ms", WORST)];
    let caption = "Latency of others' gets and releases while connections end";
    let height = u32::try_from(110 + 270 * part.closings.len())?;
    let area = sheet::begin(path, height, (caption, about), &legend)?;
    for (area, closing) in area.split_evenly((part.closings.len(), 1)).iter().zip(&part.closings) {
        let mut chart = sheet::chart(area, Some(&format!("{} end", closing.of)), &x, &y)?;
        let shown: Vec<_> = slices(part, closing, range.clone()).collect();
        let line = |of: fn(&Slice) -> f64| shown.iter().map(move |(ms, slice)| (*ms, of(slice).log10()));
        chart.draw_series(LineSeries::new(line(|slice| slice.worst_us), WORST.stroke_width(2)))?;
        chart.draw_series(LineSeries::new(line(|slice| slice.median_us), MEDIAN.stroke_width(2)))?;
        mark(&mut chart, closing, &y.range)?;
    }
    area.present()?;
    Ok(true)
}

/// The slices around a closing, each with its time since the first close.
fn slices<'p>(
    part: &'p Part,
    closing: &Closing,
    range: Range<f64>,
) -> impl Iterator<Item = (f64, &'p Slice)> + Clone {
    let begin = closing.first_close;
    let all = part.slices.iter().map(move |slice| (slice.ms - begin, slice));
    all.filter(move |(ms, _)| range.contains(ms))
}

/// Marks the events. Each has a row of its own, because they are close together.
fn mark(chart: &mut Chart<'_>, closing: &Closing, height: &Range<f64>) -> Result<(), Failure> {
    let style = ("sans-serif", 14).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
    let times = [closing.first_close, closing.last_close, closing.free];
    let rows = ["the first closes", "the last has closed", "all is free"];
    for ((time, what), row) in times.into_iter().zip(rows).zip([0.05, 0.13, 0.21]) {
        let ms = time - closing.first_close;
        let top = height.end - (height.end - height.start) * row;
        chart.draw_series([PathElement::new([(ms, height.start), (ms, top)], INK)])?;
        let text = Text::new(format!("{ms:.0} ms: {what}"), (5, 0), style.clone());
        chart.draw_series([EmptyElement::at((ms, top)) + text])?;
    }
    Ok(())
}
