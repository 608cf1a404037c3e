//! Counts are exact: the N of every reply, and the figures of `q`, are what can be counted.

use super::{Invariant, Outcome, State, Verdict, shown};
use crate::belief::Belief;
use elockd_core::{Figure, Figures, Kind, Output, Reply};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "exact counts",
    guards: "The N of a shared lock and every figure of `q` are exact at their place in the order, also right \
             after thousands of connections ended at once.",
    told: Some(told),
    state: Some(state),
};

fn told(outcome: &Outcome<'_>) -> Verdict {
    let (kind, holders, name, more) = match outcome.output {
        Output::Reply(Reply::Got { kind, holders, name }) => {
            // What is told has not been taken note of yet.
            let is_new = !outcome.belief.is_holder(outcome.to, *kind, name);
            (*kind, *holders, *name, usize::from(is_new))
        }
        Output::Reply(Reply::Inspected { kind, holders, name }) => (*kind, *holders, *name, 0),
        Output::Reply(Reply::Figures { figures, .. }) => return figures_are_counted(figures, outcome.belief),
        _ => return Ok(()),
    };
    let counted = outcome.belief.holders(kind, name) + more;
    if counted == holders as usize {
        return Ok(());
    }
    Err(format!(
        "{:?} was told {holders} holders of {kind:?} {}, there are {counted}",
        outcome.to,
        shown(name)
    ))
}

fn state(state: &State<'_>) -> Verdict {
    figures_are_counted(&state.machine.figures(), state.belief)
}

fn figures_are_counted(figures: &Figures<'_>, belief: &Belief) -> Verdict {
    let names = |kind| belief.locks(kind).len() as u64;
    let counted = [
        ("connections", belief.open().len() as u64),
        ("locks", names(Kind::Exclusive)),
        ("shared_locks", names(Kind::Shared)),
        ("holds", belief.holds(Kind::Exclusive)),
        ("shared_holds", belief.holds(Kind::Shared)),
        ("orphans", belief.orphans(Kind::Exclusive)),
        ("shared_orphans", belief.orphans(Kind::Shared)),
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
