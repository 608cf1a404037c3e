//! Counts are exact: the N of every reply, and the figures of `q`, are what can be counted.

use super::{Invariant, Outcome, State, Verdict, shown};
use elockd_core::{Figure, Kind, Output, Reply};
use std::collections::BTreeMap;

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
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    state.machine.figures().each(true, &mut |key, figure| {
        if let Figure::Number(number) = figure {
            told.insert(key.to_owned(), number);
        }
    });
    let belief = state.belief;
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
    for (key, count) in counted {
        let figure = told.get(key).copied();
        if figure != Some(count) {
            return Err(format!("the figure {key} is {figure:?}, counted {count}"));
        }
    }
    Ok(())
}
