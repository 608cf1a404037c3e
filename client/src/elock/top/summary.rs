//! What `elock top` shows, computed from what the daemon says: rates between two samples, and a line for each lock.

use crate::name::Name;
use crate::rows::LockRow;
use elockd_client::Kind;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Instant;

/// What the daemon said at a time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) figures: BTreeMap<String, String>,
    /// The locks, or why they are not listed.
    pub(super) rows: Result<Vec<LockRow>, String>,
}

/// Numbers for the screen.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    sample: Sample,
    /// Requests, and those that failed, a second since the sample before.
    pub(super) rates: Option<(u64, u64)>,
    lines: Vec<LockLine>,
}

/// One lock of one kind.
#[derive(Clone, Debug)]
pub(super) struct LockLine {
    pub(super) name: Name,
    pub(super) kind: &'static str,
    pub(super) holders: usize,
    pub(super) waiters: usize,
    /// The hold that has lasted longest.
    pub(super) longest: Option<LockRow>,
}

/// By what the lines are sorted. What is large comes first, and names in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sorting {
    Age,
    Waiters,
    Holders,
    Name,
}

impl Summary {
    /// The summary of a sample, with rates since the one before.
    pub(super) fn new(before: Option<&Self>, sample: Sample) -> Self {
        let rates = before.map(|before| {
            let ms = sample.at.duration_since(before.sample.at).as_millis().max(1);
            let rate = |start: &str| {
                let counted = sum(&sample, start).saturating_sub(sum(&before.sample, start));
                u64::try_from(u128::from(counted) * 1000 / ms).unwrap_or(u64::MAX)
            };
            (rate("command_"), rate("failed_"))
        });
        let lines = sample.rows.as_deref().map(lines).unwrap_or_default();
        Self { sample, rates, lines }
    }

    /// A figure of the daemon, as it says it. Empty if it does not.
    pub(super) fn figure(&self, key: &str) -> &str {
        self.sample.figures.get(key).map_or("", String::as_str)
    }

    /// A figure as a number.
    pub(super) fn number(&self, key: &str) -> u64 {
        self.figure(key).parse().unwrap_or(0)
    }

    /// Why the locks are not listed, if they are not.
    pub(super) fn unlisted(&self) -> Option<&str> {
        self.sample.rows.as_ref().err().map(String::as_str)
    }

    pub(super) fn lines(&self, order: Sorting) -> Vec<&LockLine> {
        let mut lines: Vec<&LockLine> = self.lines.iter().collect();
        let age = |line: &LockLine| line.longest.as_ref().map_or(0, |row| row.ms);
        // The sort is stable, and they were sorted by name.
        match order {
            Sorting::Age => lines.sort_by_key(|line| Reverse(age(line))),
            Sorting::Waiters => lines.sort_by_key(|line| Reverse(line.waiters)),
            Sorting::Holders => lines.sort_by_key(|line| Reverse(line.holders)),
            Sorting::Name => {}
        }
        lines
    }
}

/// The sum of all figures whose keys begin so.
fn sum(sample: &Sample, start: &str) -> u64 {
    let of_start = sample.figures.iter().filter(|(key, _)| key.starts_with(start));
    of_start.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

fn lines(rows: &[LockRow]) -> Vec<LockLine> {
    let mut lines: Vec<LockLine> = Vec::new();
    for row in rows {
        // Readers and writers have one line.
        let kind = match row.group.kind {
            Kind::Exclusive => "exclusive",
            Kind::Shared => "shared",
            Kind::Read | Kind::Write => "read/write",
        };
        if lines.last().is_none_or(|last| last.name != row.name || last.kind != kind) {
            lines.push(LockLine { name: row.name.clone(), kind, holders: 0, waiters: 0, longest: None });
        }
        let Some(line) = lines.last_mut() else { continue };
        if row.holds() {
            line.holders += 1;
            if line.longest.as_ref().is_none_or(|longest| longest.ms < row.ms) {
                line.longest = Some(row.clone());
            }
        } else {
            line.waiters += 1;
        }
    }
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use elockd_client::{Group, Role};
    use std::time::Duration;

    pub(in crate::top) fn row(name: &str, state: &str, ms: u64, waiters: u32) -> LockRow {
        let role = if state == "held" { Role::Holds } else { Role::Waits };
        LockRow {
            name: Name::told(name.as_bytes()),
            kind: "exclusive",
            role: "",
            ms,
            waiters,
            address: format!("unix:{ms}"),
            lingers: false,
            registered: None,
            group: Group { kind: Kind::Exclusive, role },
        }
    }

    pub(in crate::top) fn sample(rows: Vec<LockRow>) -> Sample {
        let figures = [("command_g", "100"), ("command_q", "50"), ("failed_g", "10"), ("version", "1.2.3")];
        let figures = figures.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Sample { at: Instant::now(), figures, rows: Ok(rows) }
    }

    #[test]
    fn rates_are_what_was_counted_in_between() {
        let first = Summary::new(None, sample(Vec::new()));
        assert_eq!(first.rates, None);
        let mut later = sample(Vec::new());
        later.at = first.sample.at + Duration::from_secs(2);
        later.figures.insert("command_g".to_owned(), "300".to_owned());
        later.figures.insert("failed_g".to_owned(), "16".to_owned());
        assert_eq!(Summary::new(Some(&first), later.clone()).rates, Some((100, 3)));
        // A daemon that was restarted counts from 0.
        later.figures.clear();
        assert_eq!(Summary::new(Some(&first), later).rates, Some((0, 0)));
    }

    #[test]
    fn a_lock_is_a_line_with_the_longest_hold() {
        let mut shared = row("a", "held", 7, 0);
        shared.group.kind = Kind::Shared;
        let longer = LockRow { ms: 9, ..shared.clone() };
        let rows =
            vec![row("a", "held", 5, 2), row("a", "waits", 4, 2), row("a", "waits", 3, 2), shared, longer];
        let summary = Summary::new(None, sample(rows));
        let lines = summary.lines(Sorting::Name);
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line.kind, line.holders, line.waiters, line.longest.as_ref().map(|row| row.ms)))
            .collect();
        assert_eq!(told, [("exclusive", 1, 2, Some(5)), ("shared", 2, 0, Some(9))]);
        assert_eq!(summary.lines(Sorting::Holders)[0].kind, "shared");
        assert_eq!(summary.lines(Sorting::Waiters)[0].kind, "exclusive");
    }
}
