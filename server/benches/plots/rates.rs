//! Rates of every server ÷ the ceiling's, at every depth: bars, with the lowest and the highest round.

use crate::axis::{Axis, rate};
use crate::figures::{Run, uncontended};
use crate::sheet::{self, INK};
use crate::support::Failure;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// The part of the width that is left free between two depths.
const GAP: f64 = 0.16;

/// All servers at one depth, including the ceiling.
struct Group<'r> {
    runs: Vec<&'r Run>,
    ceiling: &'r Run,
}

/// Draws it. Returns false if there is nothing to draw.
pub(crate) fn draw(runs: &[Run], about: &str, path: &Path) -> Result<bool, Failure> {
    let runs = uncontended(runs);
    let groups = groups(&runs);
    let Some(first) = groups.first() else { return Ok(false) };
    let legend: Vec<_> =
        first.runs.iter().map(|run| (run.server.as_str(), sheet::colour(&run.server))).collect();
    let caption = format!("Rates of get and release, {} connections", first.ceiling.connections);
    let area = sheet::begin(path, 430, (&caption, about), &legend)?;

    let all = groups.iter().flat_map(|group| group.runs.iter().filter_map(|run| run.rate_by(group.ceiling)));
    let highest = all.map(|spread| spread.max).fold(1.0, f64::max);
    let y = Axis::linear("rate ÷ ceiling", 0.0..highest + 0.1, 0.2, &|ratio| format!("{ratio:.1}"));
    let depths: Vec<u64> = groups.iter().map(|group| group.ceiling.depth).collect();
    let centres: Vec<f64> = (0..groups.len()).map(|nth| left_of(nth) + 0.5).collect();
    let x = Axis {
        title: "requests under way on each connection; the figures are requests a second",
        range: 0.0..left_of(groups.len()),
        marks: centres.clone(),
        label: &|at| {
            let nth = centres.iter().position(|centre| (centre - at).abs() < 1e-6);
            nth.map_or_else(String::new, |nth| format!("depth {}", depths[nth]))
        },
    };
    let mut chart = sheet::chart(&area, None, &x, &y)?;
    let style = ("sans-serif", 12).into_font().color(&INK).pos(Pos::new(HPos::Center, VPos::Bottom));
    for (nth, Group { runs, ceiling }) in groups.iter().enumerate() {
        let bars = f64::from(u32::try_from(runs.len())?);
        let width = (1.0 - GAP) / bars;
        for (place, run) in runs.iter().enumerate() {
            let Some((ratio, median)) = run.rate_by(ceiling).zip(run.rate()) else { continue };
            let left = left_of(nth) + GAP / 2.0 + width * f64::from(u32::try_from(place)?);
            let (right, middle) = (left + width * 0.9, left + width * 0.45);
            let colour = sheet::colour(&run.server);
            chart.draw_series([Rectangle::new([(left, 0.0), (right, ratio.median)], colour.filled())])?;
            chart.draw_series([PathElement::new([(middle, ratio.min), (middle, ratio.max)], INK)])?;
            let figure = Text::new(rate(median), (0, -3), style.clone());
            chart.draw_series([EmptyElement::at((middle, ratio.max)) + figure])?;
        }
    }
    area.present()?;
    Ok(true)
}

fn groups<'r>(runs: &[&'r Run]) -> Vec<Group<'r>> {
    let mut groups: Vec<Group<'r>> = Vec::new();
    for &ceiling in runs.iter().filter(|run| run.server == "ceiling") {
        let runs = runs.iter().copied().filter(|run| run.depth == ceiling.depth).collect();
        groups.push(Group { runs, ceiling });
    }
    groups.sort_by_key(|group| group.ceiling.depth);
    groups
}

/// Where the nth group begins.
fn left_of(nth: usize) -> f64 {
    f64::from(u32::try_from(nth).unwrap_or(u32::MAX))
}
