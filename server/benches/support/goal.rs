//! A goal, and how far it is reached.

use super::spread::Spread;
use serde_json::{Value, json};

/// A goal, and how far it is reached. It counts as reached by the median.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    pub(crate) measured: Spread,
}

/// Where a figure has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// One that was measured once, as an amount.
    pub(crate) fn at_most(what: impl Into<String>, most: f64, measured: f64) -> Self {
        let measured = Spread { median: measured, min: measured, max: measured };
        Self { what: what.into(), bound: Bound::AtMost(most), measured }
    }

    pub(crate) fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.measured.median >= bound,
            Bound::AtMost(bound) => self.measured.median <= bound,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let (bound, value) = match self.bound {
            Bound::AtLeast(value) => ("at least", value),
            Bound::AtMost(value) => ("at most", value),
        };
        let Spread { median, min, max } = self.measured;
        json!({
            "what": self.what,
            "bound": bound,
            "value": value,
            "measured": median,
            "min": min,
            "max": max,
            "reached": self.is_reached(),
        })
    }
}

/// Prints them as a table in Markdown.
pub(crate) fn print(goals: &[Goal]) {
    println!("\n| goal | has to be | is | reached |\n|---|---|---|---|");
    for goal in goals {
        let bound = match goal.bound {
            Bound::AtLeast(bound) => format!("≥ {bound:.2}"),
            Bound::AtMost(bound) => format!("≤ {bound:.2}"),
        };
        let Spread { median, min, max } = goal.measured;
        let spread = if min < max { format!(" ({min:.3}..{max:.3})") } else { String::new() };
        let reached = if goal.is_reached() { "yes" } else { "**no**" };
        println!("| {} | {bound} | {median:.3}{spread} | {reached} |", goal.what);
    }
}
