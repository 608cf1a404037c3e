//! The end of a connection releases all it held, and nothing else does: the machine's own listing of who
//! holds what is what has to be observed from what it said.

use super::{Invariant, State, Verdict, shown};
use elockd_core::{Kind, Listing, Scan, Subject};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "the end releases",
    guards: "When a connection ends, in whatever way, everything it holds is released in one step.",
    given: None,
    told: None,
    state: Some(state),
};

fn state(state: &State<'_>) -> Verdict {
    for kind in Kind::ALL {
        let observed = state.observed.locks(kind);
        let mut rows = 0;
        let mut wrong = None;
        let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: &[] });
        while !scan.is_done() {
            state.machine.scan(&mut scan, &mut |entry| {
                rows += 1;
                if observed.get(entry.name).is_none_or(|holders| !holders.contains(&entry.conn)) {
                    let what = format!("{:?} holds {kind:?} {}, and nobody", entry.conn, shown(entry.name));
                    wrong.get_or_insert(format!("{what} who looks on can believe it"));
                }
            });
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        // Every row is observed, and none is there twice: if something is missing, there are fewer.
        let holds = state.observed.holds(kind);
        if rows != holds {
            return Err(format!("{rows} {kind:?} holds are there, and {holds} have to be observed"));
        }
    }
    Ok(())
}
