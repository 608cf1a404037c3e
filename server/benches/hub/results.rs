//! What was measured, round by round, and what follows from it.

use crate::crew::Pace;
use crate::support::spread::Spread;
use std::collections::BTreeMap;

/// What is measured in one turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    /// The index of the work between two batches.
    pub(crate) outside: usize,
    /// Commands in a batch.
    pub(crate) size: usize,
    pub(crate) threads: usize,
}

/// All rounds of all cases.
#[derive(Default)]
pub(crate) struct Results {
    paces: BTreeMap<Case, Vec<Pace>>,
    /// Nanoseconds that the lock is held for a batch, by its number of commands.
    held_ns: BTreeMap<usize, Vec<f64>>,
}

/// The result of a case in one round, compared with one thread alone and with how long the lock is held.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) pace: Pace,
    /// Nanoseconds that a batch is in the hub longer than with one thread alone.
    pub(crate) waiting_ns: f64,
    /// Nanoseconds that the lock is held for a batch.
    held_ns: f64,
}

impl Round {
    /// The part of its time that a thread waits, in percent.
    pub(crate) fn waiting_percent(&self) -> f64 {
        100.0 * self.waiting_ns / (self.pace.inside_ns + self.pace.outside_ns)
    }

    /// The part of the time that the lock would be held, in percent, if a batch held it only as long as with one
    /// thread.
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

    /// All cases.
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
