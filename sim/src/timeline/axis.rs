//! The position on the page of each place of the log. Time runs from left to right. The events of one millisecond
//! stand side by side, in the order of the log. If nothing happens for long, the axis is folded. The axis must never
//! change the order of two places.

use crate::history::Place;
use crate::log::Entry;

/// Positions as parts of the page's width, from 0 to 1.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// The position of each place, and of the end.
    parts: Vec<f64>,
    /// In order, without gaps.
    pub(super) stretches: Vec<Stretch>,
}

/// A stretch of time that is drawn to one scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) from_ms: u32,
    pub(super) to_ms: u32,
    pub(super) from: f64,
    pub(super) to: f64,
    /// Whether nothing happens in it and it is drawn shorter than it is.
    pub(super) is_fold: bool,
}

impl Axis {
    /// Of a run that lasts so long.
    pub(super) fn new(entries: &[Entry], end_ms: u32) -> Self {
        let times = times(entries);
        let end_ms = times.last().map_or(1, |(last_ms, _)| last_ms + 1).max(end_ms);
        let stretches = scaled(stretches(&times, end_ms));
        let mut axis = Self { parts: Vec::with_capacity(entries.len() + 1), stretches };
        for (at_ms, many) in &times {
            for number in 0..*many {
                // A little of each millisecond stays empty, so that milliseconds can be told apart.
                let within = 0.9 * (f64::from(number) + 0.5) / f64::from(*many);
                axis.parts.push(axis.at(f64::from(*at_ms) + within));
            }
        }
        axis.parts.push(1.0);
        axis
    }

    /// The position of a place. A place beyond the log is at the end.
    pub(super) fn of(&self, place: Place) -> f64 {
        self.parts.get(place).copied().unwrap_or(1.0)
    }

    /// Milliseconds that are worth a label, and where they are: at most about so many.
    pub(super) fn labels(&self, most: u32) -> Vec<(u32, f64)> {
        /// No label runs into a fold.
        const ROOM: f64 = 0.025;
        let drawn_ms: u32 = self.drawn().map(|stretch| stretch.to_ms - stretch.from_ms).sum();
        let steps = (0..9).flat_map(|power| [1, 2, 5].map(|step| step * 10u32.pow(power)));
        let step = steps.into_iter().find(|step| drawn_ms / step <= most).unwrap_or(u32::MAX);
        let mut labels = Vec::new();
        for stretch in self.drawn() {
            let first = stretch.from_ms.next_multiple_of(step);
            let in_it = (first..stretch.to_ms).step_by(step as usize);
            let labelled = in_it.map(|at_ms| (at_ms, self.at(f64::from(at_ms))));
            let has_room = |part: f64| stretch.to - part > ROOM || stretch.to_ms == self.end_ms();
            labels.extend(labelled.filter(|(_, part)| has_room(*part)));
        }
        labels
    }

    /// The stretches that are not folded.
    pub(super) fn drawn(&self) -> impl Iterator<Item = &Stretch> {
        self.stretches.iter().filter(|stretch| !stretch.is_fold)
    }

    fn end_ms(&self) -> u32 {
        self.stretches.last().map_or(0, |stretch| stretch.to_ms)
    }

    fn at(&self, at_ms: f64) -> f64 {
        let stretch = self.stretches.iter().find(|stretch| at_ms < f64::from(stretch.to_ms));
        stretch.map_or(1.0, |stretch| {
            let length_ms = f64::from(stretch.to_ms - stretch.from_ms);
            stretch.from + (stretch.to - stretch.from) * (at_ms - f64::from(stretch.from_ms)) / length_ms
        })
    }
}

/// The milliseconds in which something happens, and how much.
fn times(entries: &[Entry]) -> Vec<(u32, u32)> {
    let mut times: Vec<(u32, u32)> = Vec::new();
    for entry in entries {
        match times.last_mut() {
            Some((at_ms, many)) if entry.at_ms <= *at_ms => *many += 1,
            _ => times.push((entry.at_ms, 1)),
        }
    }
    times
}

/// Cuts the run where nothing happens for long. Places are not known yet.
fn stretches(times: &[(u32, u32)], end_ms: u32) -> Vec<Stretch> {
    // At most eleven folds, whatever the run is like.
    let long_ms = (end_ms / 12).max(20);
    let stretch = |from_ms, to_ms, is_fold| Stretch { from_ms, to_ms, from: 0.0, to: 0.0, is_fold };
    let mut stretches = Vec::new();
    let (mut from_ms, mut until_ms) = (0, 0);
    for at_ms in times.iter().map(|(at_ms, _)| *at_ms).chain([end_ms]) {
        if at_ms.saturating_sub(until_ms) > long_ms {
            if until_ms > from_ms {
                stretches.push(stretch(from_ms, until_ms, false));
            }
            stretches.push(stretch(until_ms, at_ms, true));
            from_ms = at_ms;
        }
        until_ms = at_ms + 1;
    }
    if end_ms > from_ms {
        stretches.push(stretch(from_ms, end_ms, false));
    }
    stretches
}

/// Gives each stretch its part of the page: folds have a third of it at most, and each a 24th at most.
fn scaled(mut stretches: Vec<Stretch>) -> Vec<Stretch> {
    let folds = stretches.iter().filter(|stretch| stretch.is_fold).count() as u32;
    let length_ms = |stretch: &Stretch| f64::from(stretch.to_ms - stretch.from_ms);
    let drawn_ms: f64 = stretches.iter().filter(|stretch| !stretch.is_fold).map(length_ms).sum();
    let fold_ms = (drawn_ms * 0.5 / f64::from(folds.max(12))).max(f64::MIN_POSITIVE);
    let whole_ms = drawn_ms + fold_ms * f64::from(folds);
    let mut from_ms = 0.0;
    for stretch in &mut stretches {
        let to_ms = from_ms + if stretch.is_fold { fold_ms } else { length_ms(stretch) };
        (stretch.from, stretch.to) = (from_ms / whole_ms, to_ms / whole_ms);
        from_ms = to_ms;
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Event;

    fn axis(times: &[u32], end_ms: u32) -> Axis {
        let entry = |at_ms: &u32| Entry { at_ms: *at_ms, event: Event::LivenessBegins };
        Axis::new(&times.iter().map(entry).collect::<Vec<_>>(), end_ms)
    }

    #[test]
    fn order_stays_visible_within_a_millisecond() {
        let axis = axis(&[0, 1, 1, 1, 1, 2], 4);
        let parts: Vec<f64> = (0..=6).map(|place| axis.of(place)).collect();
        assert!(parts.is_sorted_by(|a, b| a < b), "{parts:?}");
        assert!(parts[1] > 0.25 && parts[4] < 0.5, "{parts:?}");
        assert!((axis.of(6) - 1.0).abs() < f64::EPSILON);
        assert!((axis.of(600) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_long_and_quiet_is_folded() {
        let axis = axis(&[0, 1, 2, 500, 501, 900], 1_000);
        let folds: Vec<_> = axis.stretches.iter().filter(|stretch| stretch.is_fold).collect();
        let times: Vec<_> = folds.iter().map(|fold| (fold.from_ms, fold.to_ms)).collect();
        assert_eq!(times, [(3, 500), (502, 900), (901, 1_000)]);
        assert!(folds.iter().all(|fold| fold.to - fold.from < 0.05), "{folds:?}");
        assert!(axis.stretches.is_sorted_by(|a, b| a.to_ms == b.from_ms && (a.to - b.from).abs() < 1e-12));
    }

    #[test]
    fn labels_are_few_and_outside_of_folds() {
        let axis = axis(&[0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 600, 610], 620);
        let labels = axis.labels(12);
        let times: Vec<_> = labels.iter().map(|(at_ms, _)| *at_ms).collect();
        assert_eq!(times, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 600, 610]);
        assert!(labels.is_sorted_by(|a, b| a.1 < b.1));
    }

    #[test]
    fn a_run_in_which_nothing_happens_has_an_axis() {
        let axis = axis(&[], 0);
        assert!((axis.of(0) - 1.0).abs() < f64::EPSILON);
        assert_eq!(axis.labels(10), [(0, 0.0)]);
    }
}
