//! The end of a connection releases all it held, and nothing else does: the machine's own listing of who
//! holds what is what has to be believed from what it said.

use super::{Invariant, State, any_outcome, shown};
use elockd_core::{Conn, Kind, Listing, Scan, Subject};
use std::collections::BTreeMap;
use std::collections::BTreeSet;

pub(super) const INVARIANT: Invariant = Invariant {
    name: "the end releases",
    guards: "When a connection ends in whatever way, everything it holds is released in one step.",
    told: any_outcome,
    state,
};

fn state(state: &State<'_>) -> Result<(), String> {
    let mut held: BTreeMap<(Kind, Vec<u8>), BTreeSet<Conn>> = BTreeMap::new();
    for kind in Kind::ALL {
        let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: &[] });
        while !scan.is_done() {
            state.machine.scan(&mut scan, &mut |entry| {
                held.entry((kind, entry.name.to_vec())).or_default().insert(entry.conn);
            });
        }
    }
    let believed = state.belief.locks();
    if held == *believed {
        return Ok(());
    }
    let none = BTreeSet::new();
    let differs = held.keys().chain(believed.keys()).find(|lock| held.get(*lock) != believed.get(*lock));
    let lock = differs.expect("two maps that differ differ somewhere");
    let of = |map: &BTreeMap<_, BTreeSet<Conn>>| map.get(lock).unwrap_or(&none).clone();
    Err(format!(
        "{:?} {} is held by {:?}, but {:?} have to believe that they hold it",
        lock.0,
        shown(&lock.1),
        of(&held),
        of(believed)
    ))
}
