//! What was measured: for each figure and system one value a round.

use crate::support::spread::Spread;
use crate::system::System;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The figures of a turn, each with its name and unit.
pub(crate) type Turn = Vec<(String, f64)>;

/// Every figure of every round.
#[derive(Default)]
pub(crate) struct Figures {
    /// In the order in which they were measured first.
    rows: Vec<Row>,
}

struct Row {
    what: String,
    rounds: BTreeMap<System, Vec<f64>>,
}

impl Figures {
    pub(crate) fn add(&mut self, system: System, turn: Turn) {
        for (what, value) in turn {
            let at = self.rows.iter().position(|row| row.what == what).unwrap_or_else(|| {
                self.rows.push(Row { what, rounds: BTreeMap::new() });
                self.rows.len() - 1
            });
            self.rows[at].rounds.entry(system).or_default().push(value);
        }
    }

    /// The spread of a figure.
    pub(crate) fn spread(&self, what: &str, system: System) -> Option<Spread> {
        Spread::of(self.rounds(what, system)?.iter().copied())
    }

    /// One system's figure ÷ another's, round by round.
    pub(crate) fn ratio(&self, what: &str, one: System, other: System) -> Option<Spread> {
        let (one, other) = (self.rounds(what, one)?, self.rounds(what, other)?);
        Spread::of(one.iter().zip(other).map(|(one, other)| one / other))
    }

    /// The difference of two figures of a system, round by round.
    pub(crate) fn difference(&self, what: &str, less: &str, system: System) -> Option<Spread> {
        let (what, less) = (self.rounds(what, system)?, self.rounds(less, system)?);
        Spread::of(what.iter().zip(less).map(|(what, less)| what - less))
    }

    fn rounds(&self, what: &str, system: System) -> Option<&[f64]> {
        let row = self.rows.iter().find(|row| row.what == what)?;
        row.rounds.get(&system).map(Vec::as_slice)
    }

    /// Prints them as a table in Markdown, which can be copied into a document.
    pub(crate) fn print(&self, systems: &[System]) {
        println!("Medians, and in brackets the lowest and the highest round.\n");
        let names: Vec<_> = systems.iter().map(|system| system.name()).collect();
        println!("| | {} | elockd ÷ etcd |", names.join(" | "));
        println!("|---|{}---|", "---|".repeat(systems.len()));
        for row in &self.rows {
            let show = |spread: Option<Spread>| spread.map_or_else(String::new, |spread| spread.to_string());
            let cells: Vec<_> = systems.iter().map(|&system| show(self.spread(&row.what, system))).collect();
            let ratio = self.ratio(&row.what, System::Elockd, System::Etcd);
            // There are figures that can be 0, such as requests that were sent again.
            let ratio = ratio.filter(|ratio| ratio.median.is_finite());
            println!("| {} | {} | {} |", row.what, cells.join(" | "), show(ratio));
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let row = |Row { what, rounds }: &Row| {
            let rounds: BTreeMap<_, _> = rounds.iter().map(|(system, all)| (system.name(), all)).collect();
            json!({ "what": what, "rounds": rounds })
        };
        self.rows.iter().map(row).collect()
    }
}
