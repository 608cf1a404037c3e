//! What must hold after every input of the machine. There is one invariant a file, each with the sentence of
//! `docs/guarantees.md` that it guards.
//!
//! An invariant looks at up to three things: at each input as it comes (`given`), at each outcome of it (`told`), and
//! at the whole state after it (`state`). The first two are cheap; the third costs time in proportion to the state.
//! With a thousand holds or more it is done after each end of a connection, after each drain, and after every
//! thousandth input. With a line of a hundred waits or more it is done after every hundredth input.

mod accounts;
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
mod sessions;
mod sound;
mod the_end_releases;
mod tokens;
mod told_once;
mod waits_alone;

use crate::observed::Observed;
use elockd_core::{Command, Conn, Input, Limits, Machine, Now, Output};

/// Whether an invariant holds; the error says what is wrong.
pub type Held = Result<(), String>;

/// An invariant.
pub struct Invariant {
    /// Its name in a failure.
    pub name: &'static str,
    /// The sentence of `docs/guarantees.md` that it guards, word for word.
    pub guards: &'static str,
    /// Checks an input before it is applied, if the invariant is about inputs.
    pub given: Option<fn(&Given<'_>) -> Held>,
    /// Checks one outcome of an input, if the invariant is about outcomes.
    pub told: Option<fn(&Outcome<'_>) -> Held>,
    /// Checks the whole state after an input, if the invariant is about states.
    pub state: Option<fn(&State<'_>) -> Held>,
}

/// An input before it is applied.
pub struct Given<'a> {
    /// The observed state. Of the input only its time has been noted.
    pub observed: &'a Observed,
    /// The input.
    pub input: &'a Input<Command<Vec<u8>>>,
}

/// An outcome of an input, at the moment when a connection is told.
pub struct Outcome<'a> {
    /// The observed state before this outcome. The input itself has been noted, unless this is an outcome of what was
    /// due before it.
    pub observed: &'a Observed,
    /// The input.
    pub input: &'a Input<Command<Vec<u8>>>,
    /// The connection that is told.
    pub to: Conn,
    /// What it is told.
    pub output: &'a Output<'a>,
    /// The server's limits.
    pub limits: &'a Limits,
}

/// The whole state after an input.
pub struct State<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The observed state.
    pub observed: &'a Observed,
    /// The latest time that the machine was given.
    pub now: Now,
    /// When each open connection last sent a command, or opened.
    pub active: &'a std::collections::BTreeMap<Conn, Now>,
    /// The server's limits.
    pub limits: &'a Limits,
}

/// Every invariant.
pub const ALL: [Invariant; 20] = [
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
    sessions::INVARIANT,
    accounts::INVARIANT,
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
    fn each_invariant_guards_a_sentence_of_the_guarantees() {
        let guarantees = include_str!("../../../docs/guarantees.md");
        let plain: String = guarantees.split_whitespace().collect::<Vec<_>>().join(" ").replace("**", "");
        for invariant in ALL {
            assert!(plain.contains(invariant.guards), "not in the guarantees: {}", invariant.guards);
        }
        let names: BTreeSet<_> = ALL.iter().map(|invariant| invariant.name).collect();
        assert_eq!(names.len(), ALL.len(), "each has a name of its own");
    }
}
