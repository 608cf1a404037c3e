//! The end of a connection releases all that it held, and nothing else does: the machine's own listing of holds
//! equals the observed state.

use super::{Held, Invariant, State, shown};
use elockd_core::{Conn, Kind, Listing, Scan, Subject};

pub(super) const INVARIANT: Invariant = Invariant {
    name: "the end releases",
    guards: "When a connection ends, in whatever way, everything it holds is released in one step.",
    given: None,
    told: None,
    state: Some(state),
};

fn state(state: &State<'_>) -> Held {
    for kind in Kind::ALL {
        let observed = state.observed.locks(kind);
        let mut rows = 0;
        let mut wrong = None;
        let mut scan = Scan::new(Listing { subject: Subject::Locks(kind), name: &[] });
        while !scan.is_done() {
            state.machine.scan(&mut scan, &mut |entry| {
                rows += 1;
                let is_it = |holder: &Conn| state.observed.number_of(*holder) == entry.conn;
                if observed.get(entry.name).is_none_or(|holders| !holders.iter().any(is_it)) {
                    let what = format!("{:?} holds {kind:?} {}", entry.conn, shown(entry.name));
                    wrong.get_or_insert(format!("{what}, and the observed state has no such hold"));
                }
            });
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        // Every row is in the observed state, and no row is there twice. So a missing hold shows as a lower count.
        let holds = state.observed.holds(kind);
        if rows != holds {
            return Err(format!(
                "the machine lists {rows} {kind:?} holds, and the observed state has {holds}"
            ));
        }
    }
    Ok(())
}
