//! A goal and whether it is reached, or a figure without a goal, for information.

use super::spread::Spread;
use serde_json::{Value, json};

/// A goal, and the measured figure. The median decides whether it is reached.
pub(crate) struct Goal {
    pub(crate) what: String,
    /// `None` if the figure is for information only.
    pub(crate) bound: Option<Bound>,
    pub(crate) measured: Spread,
}

/// The bound of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// A goal for a figure that was measured once, such as an amount.
    pub(crate) fn at_most(what: impl Into<String>, most: f64, measured: f64) -> Self {
        let measured = Spread { median: measured, min: measured, max: measured };
        Self { what: what.into(), bound: Some(Bound::AtMost(most)), measured }
    }

    /// Whether it is reached, if it is a goal.
    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.bound.map(|bound| match bound {
            Bound::AtLeast(bound) => self.measured.median >= bound,
            Bound::AtMost(bound) => self.measured.median <= bound,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let (bound, value) = match self.bound {
            Some(Bound::AtLeast(value)) => (Some("at least"), Some(value)),
            Some(Bound::AtMost(value)) => (Some("at most"), Some(value)),
            None => (None, None),
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
            Some(Bound::AtLeast(bound)) => format!("≥ {bound:.2}"),
            Some(Bound::AtMost(bound)) => format!("≤ {bound:.2}"),
            None => "no goal".to_owned(),
        };
        let Spread { median, min, max } = goal.measured;
        let spread = if min < max { format!(" ({min:.3}..{max:.3})") } else { String::new() };
        let reached = match goal.is_reached() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        println!("| {} | {bound} | {median:.3}{spread} | {reached} |", goal.what);
    }
}
