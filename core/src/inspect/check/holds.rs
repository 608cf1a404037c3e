//! The invariants of locks, ties and tenures, checked one by one, as part of [`Machine::check`].

use super::{Violation, ensure};
use crate::machine::Machine;
use crate::table::{Grace, State, Tenure};
use crate::types::ByKind;

impl Machine {
    /// Every slab's lists of open and bare chunks are right.
    pub(super) fn check_storage(&self) -> Result<(), Violation> {
        let holds = &self.holds;
        let slabs = [
            ("connections", self.connections.slots().check()),
            ("tenures", holds.tenures().check()),
            ("locks", holds.locks().slots().check()),
            ("ties", holds.ties().slots().check()),
            ("tied holds", holds.ties().holds().check()),
            ("waits", holds.waits().slots().check()),
            ("graces", self.graces.slots().check()),
        ];
        slabs.into_iter().try_for_each(|(of, checked)| {
            checked.map_err(|wrong| Violation(format!("slab of {of}: {wrong}")))
        })
    }

    /// Each lock is found under its name.
    pub(super) fn check_locks(&self) -> Result<(), Violation> {
        let locks = self.holds.locks();
        for (id, lock) in locks.slots().iter() {
            let name = locks.name(lock);
            let found = self.holds.find(lock.kind(), name).lock();
            ensure!(found == Some(id), "lock {id:?} is not found under its name, but {found:?}");
            ensure!(
                name.len() <= usize::from(self.config.limits.name_bytes),
                "lock {id:?} has a name of {} bytes",
                name.len()
            );
        }
        ensure!(locks.indexed() == locks.slots().len(), "the index of locks has strangers in it");
        locks.check_long_names().map_err(|wrong| Violation(format!("long names: {wrong}")))
    }

    /// Each tied lock's list is in order, its count is right, and its holders live.
    pub(super) fn check_ties(&self) -> Result<(), Violation> {
        let ties = self.holds.ties();
        let mut holds = 0;
        let mut tied_locks = 0;
        for (id, lock) in self.holds.locks().slots().iter() {
            let State::Tied(tie) = self.holds.state(id) else { continue };
            tied_locks += 1;
            let Some(tie) = ties.slots().get(tie) else {
                return Err(Violation(format!("tied lock {id:?} has no tie")));
            };
            let count =
                ties.check_holds(tie).map_err(|broken| Violation(format!("holds of {id:?}: {broken}")))?;
            let mut last_order = 0;
            for (_, hold) in ties.holds_from(tie.oldest()) {
                ensure!(hold.lock() == id, "a hold of {:?} is in the list of {id:?}", hold.lock());
                ensure!(hold.order() > last_order, "{id:?}: holders out of order");
                let owner = self.holds.tenures().get(hold.tenure());
                ensure!(owner.is_some_and(Tenure::lives), "{id:?}: a tied holder is dead");
                let found = ties.find(id, hold.tenure()).map(|found| ties.holds()[found].order());
                ensure!(found == Some(hold.order()), "{id:?}: a tied hold is not found by lock and tenure");
                last_order = hold.order();
            }
            ensure!(last_order <= ties.last_order(), "{id:?}: a holder has a higher order than the last one");
            ensure!(count > 0, "tied lock {id:?} has no holder");
            ensure!(count == tie.holders(), "{id:?}: {count} holders, counted {}", tie.holders());
            ensure!(lock.kind().is_counted() || count == 1, "{:?} {id:?} has {count} holders", lock.kind());
            holds += count;
        }
        ensure!(ties.holds().len() == holds, "tied holds that no lock lists");
        ensure!(ties.indexed() == holds, "the index of tied holds has strangers in it");
        ensure!(ties.slots().len() == tied_locks, "a tie without its lock");
        Ok(())
    }

    /// Each tenure's lists have its own holds and no others, as many as it counts. Every hold is in one of these lists.
    pub(super) fn check_tenures(&self) -> Result<(), Violation> {
        let (mut soles, mut tied) = (0, 0);
        for (id, tenure) in self.holds.tenures().iter() {
            let listed = self.holds.check_holds_of(tenure);
            let listed = listed.map_err(|broken| Violation(format!("holds of tenure {id:?}: {broken}")))?;
            (soles, tied) = (soles + listed.0, tied + listed.1);
            let mut sole_count = ByKind::default();
            let mut name_bytes = 0;
            for (_, lock) in self.holds.soles(id) {
                ensure!(
                    lock.listed_by() == Some(id),
                    "tenure {id:?} lists a lock that it does not hold alone"
                );
                sole_count[lock.kind()] += 1;
                name_bytes += self.holds.locks().outer_bytes(lock);
            }
            let mut tied_count = ByKind::default();
            for (_, hold) in self.holds.tied(id) {
                ensure!(hold.tenure() == id, "tenure {id:?} lists a hold of {:?}", hold.tenure());
                tied_count[self.holds.locks()[hold.lock()].kind()] += 1;
            }
            ensure!(
                sole_count == tenure.sole_count(),
                "tenure {id:?} has {sole_count:?} sole holds, not as counted"
            );
            ensure!(
                name_bytes == tenure.sole_name_bytes(),
                "tenure {id:?}: {name_bytes} bytes of names, not as counted"
            );
            ensure!(
                tied_count == tenure.tied_count(),
                "tenure {id:?} has {tied_count:?} tied holds, not as counted"
            );
            let is_own = tenure.owner().is_none_or(|owner| {
                let connection = self.connections.slots().get(owner);
                connection.is_some_and(|connection| connection.tenure() == Some(id))
            });
            let is_own = is_own
                && tenure.grace().is_none_or(|grace| {
                    let left = self.graces.slots().get(grace).and_then(Grace::left);
                    left.is_some_and(|left| left.tenure == id)
                });
            ensure!(is_own, "tenure {id:?} is not its connection's or its session's");
        }
        let locks = self.holds.locks().slots().len() - self.holds.ties().slots().len();
        ensure!(soles == locks, "{soles} locks in lists of sole holds, {locks} are there");
        ensure!(tied == self.holds.ties().holds().len(), "tied holds that no tenure lists");
        Ok(())
    }

    /// The list of tenures to be swept has exactly the dead ones, and each has something to sweep.
    pub(super) fn check_dead(&self) -> Result<(), Violation> {
        let lined_up = self.holds.check_dead_tenures();
        let lined_up = lined_up.map_err(|broken| Violation(format!("dead tenures: {broken}")))?;
        let mut holds = 0;
        for (id, tenure) in self.holds.dead_tenures() {
            ensure!(!tenure.lives(), "tenure {id:?} lives and is to be swept");
            ensure!(tenure.tied_count().total() == 0, "dead tenure {id:?} has a tied hold");
            ensure!(tenure.holds() > 0, "dead tenure {id:?} has nothing to sweep");
            holds += tenure.holds();
        }
        let dead = self.holds.tenures().iter().filter(|(_, tenure)| !tenure.lives()).count();
        ensure!(dead == lined_up as usize, "{dead} dead tenures, {lined_up} in the list to be swept");
        ensure!(self.holds.dead() == holds, "{holds} dead holds, counted {}", self.holds.dead());
        Ok(())
    }
}
