//! A figure that was measured several times: its median, lowest and highest value.

use std::fmt;

/// Median, lowest and highest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of these values. `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max } = self;
        // Three significant digits are enough.
        let digits = if *median >= 100.0 { 0 } else { 2 };
        write!(f, "{median:.digits$} ({min:.digits$}..{max:.digits$})")
    }
}

/// The value at a part (0.5, 0.99 …) of sorted values in nanoseconds, as microseconds. 0 if there are no values.
pub(crate) fn quantile_us(sorted_ns: &[u32], part: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let index = ((sorted_ns.len() as f64 * part) as usize).min(sorted_ns.len().saturating_sub(1));
    sorted_ns.get(index).map_or(0.0, |&ns| f64::from(ns) / 1e3)
}
