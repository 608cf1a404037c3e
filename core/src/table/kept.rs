//! Kept locks: the slot of the lock that a tenure released last stays for a while, free for anybody, because whoever
//! works with locks mostly gets the same one over and over. It changes no reply and no figure.
//!
//! What is kept may be freed at any time, and is where it would cost too much: there are never more than
//! [`Storage::kept_locks`](crate::Storage::kept_locks) of them, none has a name outside its slot, and while most slots
//! that have memory are empty, none is kept and those that are go: one slot holds the memory of a whole chunk.

use super::holds::Holds;
use super::lock::Lock;
use super::tenure::Tenure;
use crate::storage::Id;
use crate::types::Now;

/// Which locks may be kept, and how many are.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) limit: u32,
    pub(crate) count: u32,
    /// The position among tenures where locks to be freed were last looked for. It goes round.
    pub(crate) hand: u32,
}

impl Kept {
    pub(crate) const fn new(limit: u32) -> Self {
        Self { limit, count: 0, hand: 0 }
    }
}

impl Holds {
    /// Tenures at which one release looks for locks to be freed. As many releases as there were holds at a peak pass
    /// by all tenures that had one of them.
    const HAND_STEPS: u32 = 4;

    /// Whether a tenure keeps a lock that it does not hold any more.
    pub(crate) fn keeps(&self, tenure: Id<Tenure>, lock: Id<Lock>) -> bool {
        self.tenures[tenure].kept == Some(lock) && !bug!(KeptLockIsHeld)
    }

    /// Whether a lock may be kept without asking further.
    #[inline]
    pub(crate) fn may_keep(&self) -> bool {
        self.kept.count < self.kept.limit && !self.is_sparse()
    }

    /// Whether most slots that have memory are empty.
    fn is_sparse(&self) -> bool {
        let slots = self.locks.slots();
        slots.room() > u64::from(slots.len()) * 4 + u64::from(self.kept.limit) * 16
    }

    /// Notes that a tenure keeps a lock now, and frees the one that it kept before.
    #[inline]
    pub(crate) fn note_kept(&mut self, before: Option<Id<Lock>>) {
        match before {
            None => self.kept.count += 1,
            Some(before) => {
                mark!(KeptLockWasFreed);
                self.locks.remove(before);
            }
        }
    }

    /// Lets a tenure keep a lock that it has released, or frees it.
    #[cold]
    pub(crate) fn keep_or_free(&mut self, lock: Id<Lock>, tenure: Id<Tenure>, is_short: bool) {
        self.free_kept(tenure);
        if !self.may_keep() {
            self.turn_hand();
        }
        if is_short && self.may_keep() {
            self.tenures[tenure].kept = Some(lock);
            self.kept.count += 1;
        } else {
            mark!(ReleasedLockWasNotKept);
            self.locks.remove(lock);
        }
    }

    /// Frees the lock that a tenure keeps, if it keeps one.
    pub(crate) fn free_kept(&mut self, tenure: Id<Tenure>) {
        if let Some(kept) = self.tenures[tenure].kept.take() {
            self.kept.count -= 1;
            self.locks.remove(kept);
        }
    }

    /// Frees what is kept at the next few tenures.
    fn turn_hand(&mut self) {
        for _ in 0..Self::HAND_STEPS {
            self.kept.hand = if self.kept.hand + 1 < self.tenures.end() { self.kept.hand + 1 } else { 0 };
            if let Some((tenure, Tenure { kept: Some(_), .. })) = self.tenures.at(self.kept.hand) {
                mark!(HandFreedAKeptLock);
                self.free_kept(tenure);
            }
        }
    }

    /// The same while most slots are empty, so that their memory goes.
    pub(crate) fn turn_hand_if_sparse(&mut self) {
        if self.is_sparse() {
            self.turn_hand();
        }
    }

    /// Makes a tenure the only holder of a lock that one keeps: mostly the same one.
    #[inline]
    pub(crate) fn add_kept(&mut self, lock: Id<Lock>, keeper: Id<Tenure>, tenure: Id<Tenure>, now: Now) {
        self.tenures[keeper].give_up(lock);
        self.kept.count -= 1;
        self.hold_again(lock, tenure, now);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::machine::{DriverInput, Input, Machine};
    use crate::types::{Account, Addr, Conn, Kind, Now, Origin};
    use crate::wire::Command;

    fn machine(kept_locks: u32, connections: u64) -> Machine {
        let mut config = Config::smallest_storage();
        config.storage.kept_locks = kept_locks;
        let mut machine = Machine::new(config);
        for serial in 1..=connections {
            let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
            machine.apply(Now(0), DriverInput::Opened(Conn::new(0, serial), origin), &mut |_, _| {});
        }
        machine
    }

    fn get(machine: &mut Machine, serial: u64, name: &str) {
        let command = Command::get(Kind::Exclusive, name);
        machine.apply(Now(0), Input::Command(Conn::new(0, serial), &command), &mut |_, _| {});
    }

    fn release(machine: &mut Machine, serial: u64, name: &str) {
        let command = Command::Release(Kind::Exclusive, name);
        machine.apply(Now(0), Input::Command(Conn::new(0, serial), &command), &mut |_, _| {});
        machine.check().unwrap();
    }

    fn slots(machine: &Machine) -> u32 {
        machine.holds.locks.slots().len()
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        for (limit, expected) in [(0, 0), (1, 1), (3, 3), (100, 8)] {
            let mut machine = machine(limit, 8);
            for serial in (1..=8).chain(1..=8) {
                let name = format!("name {serial}");
                get(&mut machine, serial, &name);
                release(&mut machine, serial, &name);
                assert!(slots(&machine) <= limit);
            }
            assert_eq!(slots(&machine), expected);
        }
    }

    #[test]
    fn whoever_goes_on_working_takes_the_place_of_who_does_not() {
        let mut machine = machine(2, 8);
        for serial in 1..=8 {
            for _ in 0..4 {
                let name = format!("name {serial}");
                get(&mut machine, serial, &name);
                release(&mut machine, serial, &name);
            }
            let id = machine.connections.find(Conn::new(0, serial)).expect("it is open");
            let tenure = machine.connections[id].tenure.expect("it has got a lock");
            assert!(machine.holds.tenures[tenure].kept.is_some(), "connection {serial}");
        }
    }

    #[test]
    fn a_name_outside_its_slot_is_not_kept() {
        let mut machine = machine(8, 1);
        for (length, kept) in [(29, 1), (30, 0), (4096, 0), (29, 1)] {
            let name = "x".repeat(length);
            get(&mut machine, 1, &name);
            release(&mut machine, 1, &name);
            assert_eq!(slots(&machine), kept, "{length} bytes");
        }
    }

    /// Goal: what is kept does not hold the memory of a peak. Method: connections with many locks each release them in
    /// an order that leaves the last of each in a chunk of its own, and are silent then.
    #[test]
    fn memory_of_a_peak_goes_with_its_locks() {
        const CONNECTIONS: u64 = 50;
        const LOCKS: u64 = 40;
        let mut machine = machine(100, CONNECTIONS);
        for lock in 0..LOCKS {
            for serial in 1..=CONNECTIONS {
                get(&mut machine, serial, &format!("{serial}.{lock}"));
            }
        }
        let peak = machine.holds.locks.slots().room();
        for serial in 1..=CONNECTIONS {
            let last = serial % LOCKS;
            for lock in (0..LOCKS).filter(|lock| *lock != last).chain([last]) {
                let command = Command::Release(Kind::Exclusive, format!("{serial}.{lock}"));
                machine.apply(Now(0), Input::Command(Conn::new(0, serial), &command), &mut |_, _| {});
            }
        }
        machine.check().unwrap();
        assert_eq!(machine.figures().holds(Kind::Exclusive), 0);
        let left = machine.holds.locks.slots().room();
        assert!(left * 4 <= peak, "{left} slots of {peak} have memory");
    }
}
