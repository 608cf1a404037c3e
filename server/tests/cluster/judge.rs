//! Judges what clients were told. Two connections never hold a lock at the same time, as clients see it. And for each
//! lock there is an order of all requests that explains every answer, with each request between its sending and its
//! answer. The search is the crate `todc-utils`'.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History as Actions};
use todc_utils::specifications::Specification;

/// How long after its client saw it the end of a connection has freed its locks, in nanoseconds.
const FREED_NS: u64 = 20_000_000_000;
/// Steps of a search. A history that is in order takes a few thousand.
const STEPS: u64 = 3_000_000;

/// A connection of a client, never used again.
pub(crate) type Line = u32;

/// What a connection did about a lock. `None`: it ended before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Get(Option<bool>),
    Release(Option<bool>),
    /// The connection ended, and not because the client wanted it.
    End,
}

/// A deed, with the times of its sending and its answer in nanoseconds.
///
/// An `End` has instead the last time when the connection was known to live, and the time when its end was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) line: Line,
    pub(crate) name: u8,
    pub(crate) deed: Deed,
    pub(crate) sent: u64,
    pub(crate) heard: u64,
}

/// What all clients did.
#[derive(Debug, Default)]
pub(crate) struct History(pub(crate) Vec<Done>);

impl History {
    fn locks(&self) -> BTreeMap<u8, Vec<Done>> {
        let mut locks: BTreeMap<u8, Vec<Done>> = BTreeMap::new();
        for done in &self.0 {
            locks.entry(done.name).or_default().push(*done);
        }
        locks
    }

    /// The first two holds of one lock that overlap.
    pub(crate) fn overlap(&self) -> Option<String> {
        Self::overlap_of(self.locks())
    }

    /// The same without connections that ended. A node that is shut down frees the locks of its connections as soon as
    /// they are closed, and a client that looks away hears of that later.
    pub(crate) fn overlap_of_survivors(&self) -> Option<String> {
        let ended: BTreeSet<_> = self.lost().collect();
        let mut locks = self.locks();
        for deeds in locks.values_mut() {
            deeds.retain(|done| !ended.contains(&done.line));
        }
        Self::overlap_of(locks)
    }

    /// The connections that ended, again for each lock.
    fn lost(&self) -> impl Iterator<Item = Line> {
        self.0.iter().filter(|done| done.deed == Deed::End).map(|done| done.line)
    }

    fn overlap_of(locks: BTreeMap<u8, Vec<Done>>) -> Option<String> {
        locks.into_iter().find_map(|(name, mut deeds)| {
            deeds.sort_by_key(|done| done.sent);
            let mut holds = holds(&deeds);
            holds.sort_unstable();
            let pair = holds.windows(2).find(|pair| pair[1].0 < pair[0].1)?;
            Some(format!("lock {name}: held from-to-by {:?} and {:?} (ns)", pair[0], pair[1]))
        })
    }

    /// The first lock whose answers no order explains.
    pub(crate) fn disorder(&self) -> Option<String> {
        self.locks().into_iter().find_map(|(name, deeds)| {
            let explained = explains(&deeds);
            (explained != Some(true)).then(|| format!("lock {name}: {explained:?} for {deeds:?}"))
        })
    }

    /// For people.
    pub(crate) fn summary(&self) -> String {
        let count = |deed: Deed| self.0.iter().filter(|done| done.deed == deed).count();
        let slowest = self.0.iter().filter(|done| matches!(done.deed, Deed::Release(Some(_))));
        let slowest = slowest.map(|done| done.heard - done.sent).max().unwrap_or(0);
        format!(
            "{} gets, {} refused, {} unanswered; {} releases, {} unanswered; {} lines lost; slowest release {} ms",
            count(Deed::Get(Some(true))),
            count(Deed::Get(Some(false))),
            count(Deed::Get(None)),
            count(Deed::Release(Some(true))),
            count(Deed::Release(None)),
            self.lost().collect::<BTreeSet<_>>().len(),
            slowest / 1_000_000
        )
    }
}

/// From the success read to the release sent or the end seen, of one lock.
fn holds(deeds: &[Done]) -> Vec<(u64, u64, Line)> {
    let mut holds = Vec::new();
    let gets = deeds.iter().enumerate().filter(|(_, done)| done.deed == Deed::Get(Some(true)));
    for (at, got) in gets {
        let next = deeds[at + 1..].iter().find(|done| done.line == got.line && done.deed != Deed::End);
        let ended = deeds.iter().find(|done| done.line == got.line && done.deed == Deed::End);
        let until = match (next, ended) {
            (Some(next), _) => next.sent,
            (None, Some(end)) => end.heard,
            (None, None) => u64::MAX,
        };
        holds.push((got.heard, until, got.line));
    }
    holds
}

thread_local! {
    /// The steps that the search may still take.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Whether there is an order. `None` if none was found in as many steps as there are.
fn explains(deeds: &[Done]) -> Option<bool> {
    let mut actions = Vec::new();
    for (process, done) in deeds.iter().enumerate() {
        let until = match done.deed {
            // What was not answered may run until the connection's end is known to all.
            Deed::End | Deed::Get(None) | Deed::Release(None) => done.heard.saturating_add(FREED_NS),
            Deed::Get(Some(_)) | Deed::Release(Some(_)) => done.heard,
        };
        actions.push((done.sent, false, process, Action::Call(*done)));
        actions.push((until, true, process, Action::Response(*done)));
    }
    actions.sort_by_key(|(time, is_response, process, _)| (*time, *is_response, *process));
    LEFT.set(STEPS);
    let actions = actions.into_iter().map(|(_, _, process, action)| (process, action)).collect();
    let found = WGLChecker::<OneLock>::is_linearizable(Actions::from_actions(actions));
    (found || LEFT.get() > 0).then_some(found)
}

impl PartialEq for Done {
    fn eq(&self, other: &Self) -> bool {
        (self.line, self.deed, self.sent, self.heard) == (other.line, other.deed, other.sent, other.heard)
    }
}

impl Eq for Done {}

/// An exclusive lock: nobody's, or a connection's.
struct OneLock;

impl Specification for OneLock {
    type State = Option<Line>;
    type Operation = Done;

    fn init() -> Option<Line> {
        None
    }

    fn apply(done: &Done, holder: &Option<Line>) -> (bool, Option<Line>) {
        // Without steps nothing is possible, which ends the search.
        let left = LEFT.get();
        if left == 0 {
            return (false, *holder);
        }
        LEFT.set(left - 1);
        let own = Some(done.line);
        match done.deed {
            Deed::Get(Some(true)) => (holder.is_none(), own),
            Deed::Get(Some(false)) => (holder.is_some() && *holder != own, *holder),
            Deed::Get(None) => (true, holder.or(own)),
            Deed::Release(Some(true)) => (*holder == own, None),
            Deed::Release(Some(false)) => (*holder != own, *holder),
            Deed::Release(None) | Deed::End => (true, holder.filter(|line| Some(*line) != own)),
        }
    }
}

fn history(deeds: &[(Line, Deed, u64, u64)]) -> History {
    let done = |&(line, deed, sent, heard): &(_, _, _, _)| Done { line, name: 0, deed, sent, heard };
    History(deeds.iter().map(done).collect())
}

/// Goal: the judge takes what is in order. Method: a connection ends with a get under way, and the next one waits.
#[test]
fn the_judge_takes_what_is_in_order() {
    let fine = history(&[
        (1, Deed::Get(Some(true)), 0, 10),
        (2, Deed::Get(Some(false)), 5, 20),
        (1, Deed::Release(Some(true)), 30, 50),
        (2, Deed::Get(None), 40, 60),
        (2, Deed::End, 20, 60),
        (3, Deed::Get(Some(false)), 70, 80),
        (3, Deed::Get(Some(true)), 90, 95),
    ]);
    assert_eq!((fine.overlap(), fine.disorder()), (None, None));
}

/// Goal: the judge finds each kind of lie. Method: one history with each.
#[test]
fn the_judge_finds_lies() {
    let twice = history(&[(1, Deed::Get(Some(true)), 0, 10), (2, Deed::Get(Some(true)), 20, 30)]);
    assert!(twice.overlap().is_some() && twice.disorder().is_some());
    // Nobody had it, and a get that was sent afterwards was refused.
    let refused = history(&[
        (1, Deed::Get(Some(true)), 0, 10),
        (1, Deed::Release(Some(true)), 20, 30),
        (2, Deed::Get(Some(false)), 40, 50),
    ]);
    assert!(refused.disorder().is_some());
    // A lock that its holder no longer had.
    let lost = history(&[(1, Deed::Get(Some(true)), 0, 10), (1, Deed::Release(Some(false)), 20, 30)]);
    assert!(lost.disorder().is_some());
    // Freed before its holder's end was seen.
    let early = history(&[
        (1, Deed::Get(Some(true)), 0, 10),
        (2, Deed::Get(Some(true)), 20, 30),
        (1, Deed::End, 10, 40),
    ]);
    assert!(early.overlap().is_some());
    assert!(early.overlap_of_survivors().is_none() && twice.overlap_of_survivors().is_some());
    // Never freed.
    let late = history(&[
        (1, Deed::Get(Some(true)), 0, 10),
        (1, Deed::End, 20, 40),
        (2, Deed::Get(Some(false)), FREED_NS + 50, FREED_NS + 60),
    ]);
    assert!(late.disorder().is_some());
}
