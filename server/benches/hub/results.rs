//! What was measured, round by round, and what follows from it.

use crate::crew::Pace;
use crate::support::spread::Spread;
use std::collections::BTreeMap;

/// What is measured in one turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    /// Which of the stretches of work between two batches.
    pub(crate) outside: usize,
    /// Commands in a batch.
    pub(crate) size: usize,
    pub(crate) threads: usize,
}

/// All rounds of all cases.
#[derive(Default)]
pub(crate) struct Results {
    paces: BTreeMap<Case, Vec<Pace>>,
    /// Nanoseconds that the lock is held for a batch of so many commands.
    held_ns: BTreeMap<usize, Vec<f64>>,
}

/// What a case came to in one round, beside what one thread alone came to and how long the lock is held.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) pace: Pace,
    /// Nanoseconds in the hub for a batch beyond what one thread alone was there.
    pub(crate) waiting_ns: f64,
    /// Nanoseconds that the lock is held for a batch.
    held_ns: f64,
}

impl Round {
    /// The part of a thread's time that it waits, in percent.
    pub(crate) fn waiting_percent(&self) -> f64 {
        100.0 * self.waiting_ns / (self.pace.inside_ns + self.pace.outside_ns)
    }

    /// The part of the time that the lock would be held if a batch held it no longer than with one thread, in percent.
    pub(crate) fn held_percent(&self) -> f64 {
        100.0 * self.held_ns * 1e-9 * self.pace.rate
    }
}

impl Results {
    pub(crate) fn add(&mut self, case: Case, pace: Pace) {
        self.paces.entry(case).or_default().push(pace);
    }

    pub(crate) fn add_held(&mut self, size: usize, ns: f64) {
        self.held_ns.entry(size).or_default().push(ns);
    }

    /// The cases there are.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        self.paces.keys().copied()
    }

    /// A figure of a case, over all rounds.
    pub(crate) fn spread(&self, case: Case, of: impl Fn(&Round) -> f64) -> Option<Spread> {
        let alone = self.paces.get(&Case { threads: 1, ..case })?;
        let (paces, held) = (self.paces.get(&case)?, self.held_ns.get(&case.size)?);
        Spread::of(paces.iter().zip(alone).zip(held).map(|((&pace, alone), &held_ns)| {
            of(&Round { pace, waiting_ns: pace.inside_ns - alone.inside_ns, held_ns })
        }))
    }

    /// Sizes of batches, and the nanoseconds that the lock is held for one.
    pub(crate) fn held_ns(&self) -> impl Iterator<Item = (usize, Spread)> {
        self.held_ns.iter().filter_map(|(&size, held)| Some((size, Spread::of(held.iter().copied())?)))
    }
}
