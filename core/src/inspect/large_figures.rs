//! Goal: no figure is cut to 16, 32 or 53 bits on its way to the wire. Method: every counter is set to a number of its
//! own, beyond these sizes. `q full` must show each number once, and the next command must count from there.

use super::{ByVerb, Counters, for_each_counter};
use crate::config::Config;
use crate::machine::{DriverInput, Input, Machine};
use crate::types::{Account, Addr, ByKind, Conn, Kind, Now, Origin};
use crate::wire::{Command, Reply, Verb, encode};
use std::collections::BTreeMap;

/// Something that counts, and can be set.
trait Set {
    /// Sets each of its numbers to what `next` returns.
    fn set(&mut self, next: &mut impl FnMut() -> u64);
}

impl Set for u64 {
    fn set(&mut self, next: &mut impl FnMut() -> u64) {
        *self = next();
    }
}

impl Set for u32 {
    fn set(&mut self, next: &mut impl FnMut() -> u64) {
        *self = next() as u32 | 1 << 31;
    }
}

impl Set for ByKind<u64> {
    fn set(&mut self, next: &mut impl FnMut() -> u64) {
        *self = Self::from_fn(|_| next());
    }
}

impl Set for ByVerb {
    fn set(&mut self, next: &mut impl FnMut() -> u64) {
        Verb::ALL.into_iter().for_each(|verb| self[verb] = next());
    }
}

impl<const N: usize> Set for [u64; N] {
    fn set(&mut self, next: &mut impl FnMut() -> u64) {
        *self = std::array::from_fn(|_| next());
    }
}

macro_rules! set_counters {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ty,)+) => {
        fn set_all(counters: &mut Counters, mut next: impl FnMut() -> u64) {
            $(counters.$field.set(&mut next);)+
        }
    };
}
for_each_counter!(set_counters);

/// The figures of `q full` that are numbers.
fn figures(machine: &Machine) -> BTreeMap<String, u64> {
    let mut text = Vec::new();
    encode(&Reply::Figures { figures: &machine.figures(), full: true }, &mut text);
    let text = String::from_utf8(text).expect("keys and figures are plain");
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.filter_map(|(key, figure)| Some((key.to_owned(), figure.parse().ok()?))).collect()
}

#[test]
fn every_counter_is_shown_whole_and_counts_on() {
    for size in [1 << 16, 1 << 32, 1 << 53] {
        let mut machine = Machine::new(Config::smallest_storage());
        let conn = Conn::new(0, 1);
        let origin = Origin { addr: Addr::Unix(1), account: Account::default() };
        machine.apply(Now(0), DriverInput::Opened(conn, origin), &mut |_, _| {});
        let mut set = Vec::new();
        set_all(&mut machine.counters, || {
            set.push(size + 3 * set.len() as u64);
            set[set.len() - 1]
        });
        let before = figures(&machine);
        for number in set {
            let is_it = |figure: &&u64| **figure == number || **figure == u64::from(number as u32 | 1 << 31);
            assert_eq!(before.values().filter(is_it).count(), 1, "{number} in {before:?}");
        }
        machine.apply(Now(0), Input::Command(conn, &Command::get(Kind::Exclusive, "x")), &mut |_, _| {});
        let after = figures(&machine);
        let changed: Vec<_> = after.iter().filter(|(key, figure)| before[*key] != **figure).collect();
        let expected = [
            ("command_g", before["command_g"] + 1),
            ("holds", 1),
            ("lock_bytes", 56),
            ("locks", 1),
            ("memory_bytes", before["memory_bytes"] + 160),
        ];
        let changed: Vec<_> = changed.into_iter().map(|(key, figure)| (key.as_str(), *figure)).collect();
        assert_eq!(changed, expected);
    }
}
