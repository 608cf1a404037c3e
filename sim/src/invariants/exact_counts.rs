//! Counts are exact: the N of every reply and the figures of `q` are the numbers that can be counted.

use super::{Held, Invariant, Outcome, State, shown};
use crate::observed::Observed;
use elockd_core::{Figure, Figures, Kind, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "exact counts",
    guards: "The N of shared locks and of readers, and every figure of `q` are exact at their place in the order, also right \
             after thousands of connections ended at once.",
    given: None,
    told: Some(told),
    state: Some(state),
};

fn told(outcome: &Outcome<'_>) -> Held {
    let (kind, holders, name, more) = match outcome.output {
        Output::Reply(Reply::Got { kind, holders, name }) => {
            // This outcome has not been noted yet.
            let is_new = !outcome.observed.is_holder(outcome.to, *kind, name);
            (*kind, *holders, *name, usize::from(is_new))
        }
        Output::Reply(Reply::Inspected { kind, holders, name }) => (*kind, *holders, *name, 0),
        Output::Reply(Reply::Figures { figures, .. }) => {
            return figures_are_counted(figures, outcome.observed);
        }
        _ => return Ok(()),
    };
    let counted = outcome.observed.holders(kind, name) + more;
    if counted == holders as usize {
        return Ok(());
    }
    Err(format!(
        "{:?} was told {holders} holders of {kind:?} {}, there are {counted}",
        outcome.to,
        shown(name)
    ))
}

fn state(state: &State<'_>) -> Held {
    figures_are_counted(&state.machine.figures(), state.observed)
}

fn figures_are_counted(figures: &Figures<'_>, observed: &Observed) -> Held {
    let names = |kind| observed.locks(kind).len() as u64;
    let counts = observed.counts();
    let begun = observed.waits().all().map(|wait| wait.begun).min();
    let longest_wait_ms = begun.map_or(0, |begun| observed.now().0 - begun.0);
    let counted = [
        ("connections", observed.open().len() as u64),
        ("locks", names(Kind::Exclusive)),
        ("shared_locks", names(Kind::Shared)),
        ("holds", observed.holds(Kind::Exclusive)),
        ("shared_holds", observed.holds(Kind::Shared)),
        ("orphans", observed.orphans(Kind::Exclusive)),
        ("shared_orphans", observed.orphans(Kind::Shared)),
        ("waiters", observed.waits().count(Kind::Exclusive)),
        ("shared_waiters", observed.waits().count(Kind::Shared)),
        ("end_waiters", observed.waits().ends().map(|(_, waits)| waits.count() as u64).sum()),
        ("longest_wait_ms", longest_wait_ms),
        ("waits", counts.waits),
        ("waits_granted", counts.granted),
        ("waits_timed_out", counts.timed_out),
        ("waits_drained", counts.drained),
        ("deadlocks_refused", counts.deadlocks),
        ("queue_full", counts.queue_full),
        ("read_locks", names(Kind::Read)),
        ("write_locks", names(Kind::Write)),
        ("read_holds", observed.holds(Kind::Read)),
        ("write_holds", observed.holds(Kind::Write)),
        ("read_orphans", observed.orphans(Kind::Read)),
        ("write_orphans", observed.orphans(Kind::Write)),
        ("read_waiters", observed.waits().count(Kind::Read)),
        ("write_waiters", observed.waits().count(Kind::Write)),
        ("changes", counts.changes),
        ("released_together", counts.released_together[0]),
        ("shared_released_together", counts.released_together[1]),
        ("read_released_together", counts.released_together[2]),
        ("write_released_together", counts.released_together[3]),
        ("lingering", observed.sessions().len() as u64),
        ("lingering_holds", observed.sessions().values().map(|session| session.held.len() as u64).sum()),
        ("resumed", counts.resumed),
        ("tokens_given", observed.tokens().given()),
        ("tokens_left", observed.tokens().left()),
    ];
    let mut verdict = Ok(());
    let mut seen = 0;
    figures.each(true, &mut |key, figure| {
        let Some((_, count)) = counted.iter().find(|(of, _)| *of == key) else { return };
        seen += 1;
        if figure != Figure::Number(*count) {
            verdict = Err(format!("the figure {key} is {figure:?}, counted {count}"));
        }
    });
    if seen != counted.len() {
        return Err(format!("only {seen} figures of {} are there", counted.len()));
    }
    verdict
}
