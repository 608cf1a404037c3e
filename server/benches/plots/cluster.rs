//! A cluster of elockd beside one of etcd: a bar for each figure and system, on logarithmic scales, with the lowest and
//! the highest round. Above rates, where longer is better, below times, where shorter is.

use crate::axis::rate;
use crate::figures::ClusterRow;
use crate::sheet::{self, Area, INK};
use crate::support::Failure;
use crate::support::spread::Spread;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// Systems, in the order of their bars.
const SYSTEMS: [&str; 3] = ["elockd", "etcd", "one elockd"];
/// Height of a bar, of the text above the bars of a figure, and of the heading of a panel.
const BAR: i32 = 15;
const TEXT: i32 = 22;
const HEADING: i32 = 34;
/// The left and the right end of the longest bar. On its right is room for a figure.
const LEFT: i32 = 20;
const RIGHT: i32 = 780;

/// Figures that have a scale in common.
struct Panel<'r> {
    heading: &'static str,
    rows: Vec<&'r ClusterRow>,
    /// The figure as people write it.
    label: fn(f64) -> String,
}

/// Draws it. Returns false if there is nothing to draw.
pub(crate) fn draw(rows: &[ClusterRow], about: &str, path: &Path) -> Result<bool, Failure> {
    let ending = |end: &str| rows.iter().filter(|row| row.what.ends_with(end)).collect::<Vec<_>>();
    // What explains other figures is in the tables alone.
    let told = |row: &&ClusterRow| !["median", "before"].iter().any(|word| row.what.contains(word));
    let panels = [
        Panel { heading: "Rates: longer is better", rows: ending("a second"), label: rate },
        Panel {
            heading: "Times in ms: shorter is better",
            rows: ending(", ms").into_iter().filter(told).collect(),
            label: |ms| if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") },
        },
    ];
    let panels: Vec<_> = panels.into_iter().filter(|panel| !panel.rows.is_empty()).collect();
    if panels.is_empty() {
        return Ok(false);
    }
    let is_there = |system: &&str| rows.iter().any(|row| row.spread(system).is_some());
    let systems: Vec<&str> = SYSTEMS.into_iter().filter(is_there).collect();
    let legend: Vec<_> = systems.iter().map(|system| (*system, sheet::colour(system))).collect();
    let height: i32 = panels.iter().map(Panel::height).sum();
    let caption = "A cluster of three nodes; all lengths are logarithmic";
    let area = sheet::begin(path, u32::try_from(height + 90)?, (caption, about), &legend)?;
    let mut top = 0;
    for panel in &panels {
        panel.draw(&area, &systems, top)?;
        top += panel.height();
    }
    area.present()?;
    Ok(true)
}

impl Panel<'_> {
    fn height(&self) -> i32 {
        let bars = |row: &&ClusterRow| {
            let bars = SYSTEMS.iter().filter(|system| row.spread(system).is_some()).count();
            TEXT + BAR * i32::try_from(bars).unwrap_or(i32::MAX)
        };
        HEADING + self.rows.iter().map(bars).sum::<i32>()
    }

    fn draw(&self, area: &Area<'_>, systems: &[&str], mut top: i32) -> Result<(), Failure> {
        let spreads =
            || self.rows.iter().flat_map(|row| systems.iter().filter_map(|system| row.spread(system)));
        let lowest = spreads().map(|spread| spread.min).fold(f64::INFINITY, f64::min).max(0.01);
        let highest = spreads().map(|spread| spread.max).fold(lowest, f64::max);
        // A bar is never without length, so it begins a little below the lowest.
        let [low, high] = [(lowest / 3.0).ln(), highest.max(lowest * 2.0).ln()];
        #[allow(clippy::cast_possible_truncation, reason = "a picture has few pixels")]
        let right = |value: f64| {
            LEFT + (f64::from(RIGHT - LEFT) * (value.max(lowest).ln() - low) / (high - low)).round() as i32
        };
        let style =
            |size: i32| ("sans-serif", size).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw_text(self.heading, &style(17), (12, top + HEADING / 2))?;
        top += HEADING;
        for row in &self.rows {
            area.draw_text(&row.what, &style(14), (LEFT, top + TEXT / 2))?;
            top += TEXT;
            for system in systems {
                let Some(Spread { median, min, max }) = row.spread(system) else { continue };
                let (end, middle) = (right(median), top + BAR / 2);
                let bar = [(LEFT, top + 1), (end, top + BAR - 2)];
                area.draw(&Rectangle::new(bar, sheet::colour(system).filled()))?;
                area.draw(&PathElement::new([(right(min), middle), (right(max), middle)], INK))?;
                area.draw_text(&(self.label)(median), &style(13), (end.max(right(max)) + 6, middle))?;
                top += BAR;
            }
        }
        Ok(())
    }
}
