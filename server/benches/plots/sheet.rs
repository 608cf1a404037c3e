//! The common look of all pictures. They are white, so that they can be read on any background. They have a caption, a
//! legend in a row of its own, and a line at the bottom about what was measured where.

use crate::axis::Axis;
use crate::support::Failure;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;
use std::path::Path;

/// Something to draw on.
pub(crate) type Area<'p> = DrawingArea<SVGBackend<'p>, Shift>;

/// Something to draw figures into.
pub(crate) type Chart<'p> = ChartContext<'p, SVGBackend<'p>, Cartesian2d<Coordinate, Coordinate>>;

/// An axis as it is drawn.
pub(crate) struct Coordinate {
    range: Range<f64>,
    marks: Vec<f64>,
}

impl Ranged for Coordinate {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let part = (value - self.range.start) / (self.range.end - self.range.start);
        #[allow(clippy::cast_possible_truncation, reason = "a picture has few pixels")]
        let pixels = (f64::from(last - first) * part).round() as i32;
        first + pixels
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Width of every picture.
const WIDTH: u32 = 900;
/// Height of the caption with its legend. Below: of the line at the bottom.
const HEAD: i32 = 62;
const FOOT: i32 = 20;

/// The colour of text. Below: of helping lines.
pub(crate) const INK: RGBColor = RGBColor(60, 60, 60);
const FAINT: RGBColor = RGBColor(225, 225, 225);

/// The colour of a server's figures. Colour-blind people can tell these colours apart (Okabe and Ito).
pub(crate) fn colour(server: &str) -> RGBColor {
    match server {
        "elockd" => RGBColor(213, 94, 0),
        "redis" => RGBColor(0, 114, 178),
        "valkey" => RGBColor(86, 180, 233),
        "memcached" => RGBColor(0, 158, 115),
        "poolcounter" => RGBColor(204, 121, 167),
        "etcd" => RGBColor(230, 159, 0),
        _ => RGBColor(110, 110, 110),
    }
}

/// Begins a picture. Returns the area for charts.
pub(crate) fn begin<'p>(
    path: &'p Path,
    height: u32,
    (caption, about): (&str, &str),
    legend: &[(&str, RGBColor)],
) -> Result<Area<'p>, Failure> {
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let (head, rest) = area.split_vertically(HEAD);
    write(&head, caption, (12, 20), 20)?;
    let mut left = 12;
    for &(name, colour) in legend {
        head.draw(&Rectangle::new([(left, 40), (left + 18, 48)], colour.filled()))?;
        write(&head, name, (left + 24, 44), 16)?;
        // Text is not measured. On average no letter is wider than this.
        left += 50 + 8 * i32::try_from(name.chars().count())?;
    }
    let foot_top = i32::try_from(height)? - HEAD - FOOT;
    let (charts, foot) = rest.split_vertically(foot_top);
    write(&foot, about, (12, 8), 12)?;
    Ok(charts)
}

/// Writes text. `at` is the middle of its left edge.
fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32) -> Result<(), Failure> {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
    Ok(area.draw_text(text, &style, at)?)
}

/// A chart with its axes.
pub(crate) fn chart<'p>(
    area: &Area<'p>,
    caption: Option<&str>,
    x: &Axis<'_>,
    y: &Axis<'_>,
) -> Result<Chart<'p>, Failure> {
    let text = |size| ("sans-serif", size).into_font().color(&INK);
    let coordinate = |axis: &Axis<'_>| Coordinate { range: axis.range.clone(), marks: axis.marks.clone() };
    let mut builder = ChartBuilder::on(area);
    if let Some(caption) = caption {
        builder.caption(caption, text(17));
    }
    let mut chart = builder
        .margin(8)
        .margin_right(28)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(coordinate(x), coordinate(y))?;
    chart
        .configure_mesh()
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(text(14))
        .axis_desc_style(text(15))
        .x_desc(x.title)
        .y_desc(y.title)
        .x_label_formatter(&|value| (x.label)(*value))
        .y_label_formatter(&|value| (y.label)(*value))
        .draw()?;
    Ok(chart)
}
