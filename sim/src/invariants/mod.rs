//! What has to be so after every input of the machine. One claim a file, each with the sentence of
//! `docs/guarantees.md` that it guards.
//!
//! A claim looks at three things: at an input as it comes (`given`) and at each outcome of it (`told`), which is
//! cheap, and at the whole state after the input (`state`), which costs time in proportion to it. With a thousand holds or more
//! the latter is done after each end of a connection, after each drain, and after every thousandth input; with a line of a hundred or more after every hundredth.

mod bounded;
mod deadlines;
mod deadlocks;
mod draining;
mod exact_counts;
mod first_come;
mod idle;
mod limited;
mod names;
mod no_idle_waiter;
mod one_holder;
mod only_holders_release;
mod operators;
mod sound;
mod the_end_releases;
mod tokens;
mod told_once;
mod waits_alone;

use crate::belief::Belief;
use elockd_core::{Command, Conn, Input, Limits, Machine, Now, Output};

/// Whether a claim holds; if not, what is wrong.
pub type Verdict = Result<(), String>;

/// A claim.
pub struct Invariant {
    /// What it is called in a failure.
    pub name: &'static str,
    /// The sentence of `docs/guarantees.md` that it guards, word for word.
    pub guards: &'static str,
    /// Looks at an input before anything comes of it, if it is about those.
    pub given: Option<fn(&Given<'_>) -> Verdict>,
    /// Looks at one outcome of an input, if it is about those.
    pub told: Option<fn(&Outcome<'_>) -> Verdict>,
    /// Looks at everything after an input, if it is about that.
    pub state: Option<fn(&State<'_>) -> Verdict>,
}

/// An input, before anything comes of it.
pub struct Given<'a> {
    /// What is believed; of the input no more than its time has been taken note of.
    pub belief: &'a Belief,
    /// The input.
    pub input: &'a Input<Command<Vec<u8>>>,
}

/// An outcome of an input, as it is told.
pub struct Outcome<'a> {
    /// What was believed before it was told. The input itself has been taken note of, unless this is of what was
    /// due before it.
    pub belief: &'a Belief,
    /// The input.
    pub input: &'a Input<Command<Vec<u8>>>,
    /// Who is told.
    pub to: Conn,
    /// What.
    pub output: &'a Output<'a>,
    /// The server's limits.
    pub limits: &'a Limits,
}

/// Everything, after an input.
pub struct State<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// What has to be believed.
    pub belief: &'a Belief,
    /// The latest time that the machine was given.
    pub now: Now,
    /// When each open connection last said something, or opened.
    pub active: &'a std::collections::BTreeMap<Conn, Now>,
    /// The server's limits.
    pub limits: &'a Limits,
}

/// Every claim.
pub const ALL: [Invariant; 18] = [
    told_once::INVARIANT,
    one_holder::INVARIANT,
    only_holders_release::INVARIANT,
    the_end_releases::INVARIANT,
    limited::INVARIANT,
    exact_counts::INVARIANT,
    names::INVARIANT,
    bounded::INVARIANT,
    idle::INVARIANT,
    draining::INVARIANT,
    first_come::INVARIANT,
    no_idle_waiter::INVARIANT,
    deadlines::INVARIANT,
    deadlocks::INVARIANT,
    waits_alone::INVARIANT,
    tokens::INVARIANT,
    operators::INVARIANT,
    sound::INVARIANT,
];

/// A name in a message.
fn shown(name: &[u8]) -> String {
    format!("\"{}\"", name.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_claim_guards_a_sentence_of_the_guarantees() {
        let guarantees = include_str!("../../../docs/guarantees.md");
        let plain: String = guarantees.split_whitespace().collect::<Vec<_>>().join(" ").replace("**", "");
        for invariant in ALL {
            assert!(plain.contains(invariant.guards), "not in the guarantees: {}", invariant.guards);
        }
        let names: BTreeSet<_> = ALL.iter().map(|invariant| invariant.name).collect();
        assert_eq!(names.len(), ALL.len(), "each has a name of its own");
    }
}
