//! Percentiles of latency for every server, at depths 1 and 16: how long clients wait, and how rarely they wait long.

use crate::axis::Axis;
use crate::figures::{Run, uncontended};
use crate::sheet;
use crate::support::Failure;
use plotters::prelude::*;
use std::path::Path;

const DEPTHS: [u64; 2] = [1, 16];
/// The percentiles that are marked. The distance between marks is one nine.
const MARKS: [(f64, &str); 5] =
    [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];

/// Draws it. Returns false if there is nothing to draw.
pub(crate) fn draw(runs: &[Run], about: &str, path: &Path) -> Result<bool, Failure> {
    let runs = uncontended(runs);
    let panels =
        DEPTHS.map(|depth| runs.iter().copied().filter(|run| run.depth == depth).collect::<Vec<_>>());
    let panels: Vec<_> = panels.iter().filter(|panel| !panel.is_empty()).collect();
    let Some(first) = panels.first() else { return Ok(false) };
    let legend: Vec<_> = first.iter().map(|run| (run.server.as_str(), sheet::colour(&run.server))).collect();
    let caption = format!("Latency of get and release, {} connections", first[0].connections);
    let area = sheet::begin(path, 470, (&caption, about), &legend)?;

    let latencies = panels.iter().copied().flatten().flat_map(|run| points(run)).map(|(_, us)| us);
    let y = Axis::of_latency("latency (logarithmic)", latencies);
    let x = Axis {
        title: "part of all requests that took no longer",
        range: nines(MARKS[0].0)..nines(MARKS[4].0),
        marks: MARKS.map(|(part, _)| nines(part)).to_vec(),
        label: &|at| {
            let mark = MARKS.iter().find(|(part, _)| (nines(*part) - at).abs() < 1e-6);
            mark.map_or_else(String::new, |(_, label)| (*label).to_owned())
        },
    };
    for (area, panel) in area.split_evenly((1, panels.len())).iter().zip(&panels) {
        let mut chart = sheet::chart(area, Some(&format!("depth {}", panel[0].depth)), &x, &y)?;
        for run in *panel {
            let width = if run.server == "elockd" { 3 } else { 2 };
            let line = points(run).map(|(part, us)| (nines(part), us.log10()));
            chart.draw_series(LineSeries::new(line, sheet::colour(&run.server).stroke_width(width)))?;
        }
    }
    area.present()?;
    Ok(true)
}

/// The points of a run that are shown.
fn points(run: &Run) -> impl Iterator<Item = (f64, f64)> + Clone {
    let shown = MARKS[0].0 - 0.01..MARKS[4].0 + 1e-9;
    run.curve.iter().copied().filter(move |(part, _)| shown.contains(part))
}

/// How many nines a part has: 0.9 has 1, 0.99 has 2.
fn nines(part: f64) -> f64 {
    -(1.0 - part).log10()
}
