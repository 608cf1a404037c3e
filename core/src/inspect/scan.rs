//! Listings, a slice at a time: what is held, who waits and who is registered, read without changing anything.
//!
//! A scan goes over slots, which never move. So it meets each entry that is there throughout. Meanwhile a wait or a
//! sole hold may become a tied hold, but never the reverse. Waits are read first, then sole holds, then tied ones. So
//! an entry that changes is met once or twice, and [`crate::wire::listing`] drops the second. A hold that was released
//! and got again meanwhile is a new one. It may be met twice, or not at all. So may a registered name that a `resume`
//! gave to another connection meanwhile.

use crate::machine::{Holder, Machine};
use crate::storage::Id;
use crate::table::{Aim, Lock, Locks, Moment, State, Tenure, TiedHold};
use crate::types::{Account, Addr, Conn, Kind, Now};
use crate::wire::{Listing, Role, Subject};

/// A listing in progress: its subject, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    subject: Subject,
    name: Box<[u8]>,
    position: Position,
    /// Whose eyes it has. `None` sees everything.
    seen_by: Option<Account>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Next: the wait in this slot.
    Wait(u32),
    /// Next: the sole hold in this slot.
    Sole(u32),
    /// Next: the tied hold in this slot.
    Tied(u32),
    /// Next: the holds of the one name whose order is above `after`. The hold with that order was read last, in slot
    /// `last`.
    Name {
        after: u64,
        last: Option<Id<TiedHold>>,
    },
    /// Next: the connection in this slot.
    Connection(u32),
    Done,
}

/// One line of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The lock; for `who`, the registered name.
    pub name: &'a [u8],
    /// The holder's connection. For one that has a grace, the connection that first asked for it: so the holder is the
    /// same after a `resume`.
    pub conn: Conn,
    /// Its address.
    pub addr: Addr,
    /// Whether that connection has ended, and its hold lingers.
    pub is_lingering: bool,
    /// Its registered name.
    pub registered: Option<&'a [u8]>,
    /// Ascends in the order in which the holders got the lock. For `who`: in the order of registration.
    pub order: u64,
    /// When the hold began. `None` for `who` and for a wait.
    pub(crate) since: Option<Moment>,
    /// What only `ls` shows. `None` for other listings.
    pub(crate) more: Option<More>,
}

/// What `ls` shows of an entry, and no other listing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct More {
    pub(crate) kind: Kind,
    pub(crate) role: Role,
    /// For how long it is held or waited for by now.
    pub(crate) ms: u64,
    /// How many wait for the lock.
    pub(crate) waiters: u32,
}

impl Entry<'_> {
    /// How long it has been held by `now`, in milliseconds. `now` must not be before the machine's time. 0 for `who`.
    #[must_use]
    pub fn held_ms(&self, now: Now) -> u64 {
        self.since.map_or(0, |since| since.until(now))
    }
}

impl Scan {
    /// A listing from its start.
    #[must_use]
    pub fn new(listing: Listing<'_>) -> Self {
        let position = match listing.subject {
            Subject::Who => Position::Connection(0),
            Subject::All => Position::Wait(0),
            _ if listing.name.is_empty() => Position::Sole(0),
            _ => Position::Name { after: 0, last: None },
        };
        Self { subject: listing.subject, name: listing.name.into(), position, seen_by: None }
    }

    /// The same listing with what this account may see, and nothing else. The table of accounts is asked in each slice.
    ///
    /// Of locks these are the names that its profile allows, with whoever holds them or waits. Of registered names
    /// these are its own connections', or all if it may see every name.
    #[must_use]
    pub fn seen_by(self, account: Account) -> Self {
        Self { seen_by: Some(account), ..self }
    }

    /// Whether a listing of many names has this lock.
    fn is_of(&self, locks: &Locks, lock: &Lock) -> bool {
        match self.subject {
            Subject::All => locks.name(lock).starts_with(&self.name),
            subject => Some(lock.kind()) == subject.kind(),
        }
    }

    /// Which listing it is.
    #[must_use]
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// Whether everything was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.position, Position::Done)
    }
}

/// What a slice may still take: entries, bytes of names, and slots looked at. The slice ends when one of them is used
/// up.
struct Allowance {
    entries: u32,
    bytes: usize,
    slots: u32,
}

impl Allowance {
    /// Bytes of names copied in one slice. So a slice of the longest names takes no longer than others.
    const BYTES: usize = 64 << 10;
    /// Slots looked at for each entry that may be copied.
    const SLOTS_PER_ENTRY: u32 = 16;

    fn new(entries: u32) -> Self {
        Self { entries, bytes: Self::BYTES, slots: entries.saturating_mul(Self::SLOTS_PER_ENTRY) }
    }

    fn is_full(&self) -> bool {
        self.entries == 0 || self.bytes == 0 || self.slots == 0
    }

    fn took(&mut self, entry: &Entry<'_>) {
        let bytes = entry.name.len() + entry.registered.map_or(0, <[u8]>::len);
        self.entries -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Machine {
    /// Reads the next slice of a listing: at most `scan_slice` entries, and a bounded number of bytes and slots. Call
    /// it until the scan is done. Other inputs may come between.
    pub fn scan(&self, scan: &mut Scan, each: &mut impl FnMut(Entry<'_>)) {
        let mut slice = Allowance::new(self.config.storage.scan_slice);
        while !slice.is_full() {
            scan.position = match scan.position {
                Position::Done => return,
                Position::Wait(slot) => self.scan_wait(scan, slot, &mut slice, each),
                Position::Sole(slot) => self.scan_sole(scan, slot, &mut slice, each),
                Position::Tied(slot) => self.scan_tied(scan, slot, &mut slice, each),
                Position::Name { after, last } => self.scan_name(scan, after, last, &mut slice, each),
                Position::Connection(slot) => self.scan_connection(scan, slot, &mut slice, each),
            };
        }
    }

    /// Whether whose eyes a listing has may see this lock.
    fn may_see(&self, scan: &Scan, name: &[u8]) -> bool {
        scan.seen_by.is_none_or(|of| self.accounts().of(of).sees(name))
    }

    /// Whether whose eyes a listing has may see the registered names of this account.
    fn may_see_registered(&self, scan: &Scan, of: Account) -> bool {
        let sees_all = |account| self.accounts().of(account).names.is_none();
        scan.seen_by.is_none_or(|account| account == of || sees_all(account))
    }

    fn scan_wait(
        &self,
        scan: &Scan,
        slot: u32,
        slice: &mut Allowance,
        each: &mut impl FnMut(Entry<'_>),
    ) -> Position {
        let waits = self.holds.waits().slots();
        if slot >= waits.end() {
            return Position::Sole(0);
        }
        slice.slots -= 1;
        if let Some((_, wait)) = waits.at(slot)
            && scan.is_of(self.holds.locks(), &self.holds.locks()[wait.lock()])
            && self.may_see(scan, self.holds.name(wait.lock()))
        {
            let lock = &self.holds.locks()[wait.lock()];
            let ms = self.now.0 - wait.began().0;
            let waiters = self.holds.waiting(wait.lock());
            let role = match wait.place().aim() {
                Aim::Lock { .. } => Role::Waits,
                Aim::End => Role::AwaitsEnd,
            };
            let more = Some(More { kind: wait.place().kind(), role, ms, waiters });
            let entry = Entry {
                order: wait.order(),
                more,
                ..entry(self.holder_of(&self.connections[wait.by()]), self.holds.locks().name(lock))
            };
            slice.took(&entry);
            each(entry);
        }
        Position::Wait(slot + 1)
    }

    fn scan_sole(
        &self,
        scan: &Scan,
        slot: u32,
        slice: &mut Allowance,
        each: &mut impl FnMut(Entry<'_>),
    ) -> Position {
        let locks = self.holds.locks().slots();
        if slot >= locks.end() {
            return Position::Tied(0);
        }
        slice.slots -= 1;
        if let Some((id, lock)) = locks.at(slot)
            && scan.is_of(self.holds.locks(), lock)
            && let State::Sole(tenure) = self.holds.state(id)
            && self.may_see(scan, self.holds.name(id))
        {
            self.give(scan, id, tenure, (0, lock.since()), slice, each);
        }
        Position::Sole(slot + 1)
    }

    fn scan_tied(
        &self,
        scan: &Scan,
        slot: u32,
        slice: &mut Allowance,
        each: &mut impl FnMut(Entry<'_>),
    ) -> Position {
        let holds = self.holds.ties().holds();
        if slot >= holds.end() {
            return Position::Done;
        }
        slice.slots -= 1;
        if let Some((_, hold)) = holds.at(slot)
            && scan.is_of(self.holds.locks(), &self.holds.locks()[hold.lock()])
            && self.may_see(scan, self.holds.name(hold.lock()))
        {
            self.give(scan, hold.lock(), hold.tenure(), (hold.order(), hold.since()), slice, each);
        }
        Position::Tied(slot + 1)
    }

    /// The holds of one name: along the lock's list if it is tied. If the hold that was read last is gone, the next one
    /// is found by its order, which takes a walk along the list.
    fn scan_name(
        &self,
        scan: &Scan,
        after: u64,
        last: Option<Id<TiedHold>>,
        slice: &mut Allowance,
        each: &mut impl FnMut(Entry<'_>),
    ) -> Position {
        let kind = scan.subject.kind().filter(|_| self.may_see(scan, &scan.name));
        let Some(kind) = kind else { return Position::Done };
        let Some(id) = self.holds.find(kind, &scan.name).lock() else { return Position::Done };
        let tie = match self.holds.state(id) {
            State::Free => return Position::Done,
            State::Sole(tenure) => {
                self.give(scan, id, tenure, (0, self.holds.locks()[id].since()), slice, each);
                return Position::Done;
            }
            State::Tied(tie) => tie,
        };
        let ties = self.holds.ties();
        let known = last.and_then(|last| ties.holds().get(last));
        let known = known.filter(|hold| hold.order() == after && hold.lock() == id);
        let next = match known {
            Some(last) => last.newer(),
            None => ties[tie].oldest(),
        };
        let mut position = Position::Done;
        for (current, hold) in ties.holds_from(next) {
            if slice.is_full() {
                return position;
            }
            if hold.order() > after {
                self.give(scan, id, hold.tenure(), (hold.order(), hold.since()), slice, each);
                position = Position::Name { after: hold.order(), last: Some(current) };
            }
        }
        Position::Done
    }

    fn scan_connection(
        &self,
        scan: &Scan,
        slot: u32,
        slice: &mut Allowance,
        each: &mut impl FnMut(Entry<'_>),
    ) -> Position {
        let slots = self.connections.slots();
        if slot >= slots.end() {
            return Position::Done;
        }
        slice.slots -= 1;
        if let Some((_, connection)) = slots.at(slot)
            && let Some(registered) = connection.registered()
            && let Some(name) = self.connections.name_of(connection)
            && (scan.name.is_empty() || *scan.name == *name)
            && self.may_see_registered(scan, connection.origin().account)
        {
            let entry = Entry { order: registered.order(), ..entry(self.holder_of(connection), name) };
            slice.took(&entry);
            each(entry);
        }
        Position::Connection(slot + 1)
    }

    /// Passes one hold to `each`.
    fn give(
        &self,
        scan: &Scan,
        id: Id<Lock>,
        tenure: Id<Tenure>,
        (order, since): (u64, Moment),
        slice: &mut Allowance,
        each: &mut impl FnMut(Entry<'_>),
    ) {
        let lock = &self.holds.locks()[id];
        let more = (scan.subject == Subject::All).then(|| More {
            kind: lock.kind(),
            role: Role::Holds,
            ms: since.until(self.now),
            waiters: self.holds.waiting(id),
        });
        let entry = Entry {
            order,
            since: Some(since),
            more,
            ..entry(self.holder(tenure), self.holds.locks().name(lock))
        };
        slice.took(&entry);
        each(entry);
    }
}

fn entry<'a>(holder: Holder<'a>, name: &'a [u8]) -> Entry<'a> {
    Entry {
        name,
        conn: holder.number,
        addr: holder.addr,
        is_lingering: holder.is_lingering,
        registered: holder.registered,
        order: 0,
        since: None,
        more: None,
    }
}

impl Subject {
    /// The kind of lock it lists. `None` for `ls`, which lists all, and for `who`.
    #[must_use]
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Locks(kind) | Self::Dump(kind) => Some(kind),
            Self::All | Self::Who => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::machine::{DriverInput, Input};
    use crate::types::{Account, Origin};
    use crate::wire::Command;

    /// A machine with `connections` connections. Its slices copy up to `scan_slice` entries.
    fn machine(scan_slice: u32, connections: u64) -> Machine {
        let mut config = Config::smallest_storage();
        config.storage.scan_slice = scan_slice;
        let mut machine = Machine::new(config);
        for serial in 1..=connections {
            let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
            machine.apply(Now(0), DriverInput::Opened(conn(serial), origin), &mut |_, _| {});
        }
        machine
    }

    fn conn(serial: u64) -> Conn {
        Conn::new(0, serial)
    }

    fn get(machine: &mut Machine, serial: u64, kind: Kind, name: &str) {
        machine.apply(Now(0), Input::Command(conn(serial), &Command::get(kind, name)), &mut |_, _| {});
    }

    /// The number of entries in each slice of a listing.
    fn slices(machine: &Machine, subject: Subject, name: &str) -> Vec<usize> {
        let mut scan = Scan::new(Listing { subject, name: name.as_bytes() });
        let mut slices = Vec::new();
        while !scan.is_done() {
            let mut entries = 0;
            machine.scan(&mut scan, &mut |_| entries += 1);
            slices.push(entries);
        }
        slices
    }

    const D: Subject = Subject::Locks(Kind::Exclusive);
    const SD: Subject = Subject::Locks(Kind::Shared);

    #[test]
    fn a_slice_has_no_more_entries_than_it_may() {
        let mut machine = machine(4, 2);
        for name in 0..10 {
            get(&mut machine, 1, Kind::Exclusive, &name.to_string());
            get(&mut machine, 1, Kind::Shared, &name.to_string());
            get(&mut machine, 2, Kind::Shared, &name.to_string());
        }
        assert_eq!(slices(&machine, D, ""), [4, 4, 2]);
        assert_eq!(slices(&machine, SD, ""), [4, 4, 4, 4, 4, 0], "a full slice does not look for the end");
        assert_eq!(slices(&machine, SD, "7"), [2]);
        assert_eq!(slices(&machine, D, "7"), [1]);
        assert_eq!(slices(&machine, D, "none"), [0]);
    }

    #[test]
    fn a_slice_ends_when_its_names_are_many_bytes() {
        let mut machine = machine(1000, 2);
        for name in 0..40 {
            get(&mut machine, 1, Kind::Exclusive, &format!("{name:04096}"));
        }
        assert_eq!(slices(&machine, D, ""), [16, 16, 8]);
        let name = "x".repeat(4096);
        machine.apply(Now(0), Input::Command(conn(1), &Command::Iam(name)), &mut |_, _| {});
        assert_eq!(slices(&machine, D, ""), [8, 8, 8, 8, 8, 0], "a holder's name counts too");
    }

    #[test]
    fn a_slice_looks_at_a_bounded_number_of_slots() {
        let mut machine = machine(1, 2);
        for name in 0..160 {
            get(&mut machine, 1, Kind::Shared, &name.to_string());
        }
        get(&mut machine, 1, Kind::Exclusive, "x");
        let slices = slices(&machine, D, "");
        assert_eq!(slices.iter().sum::<usize>(), 1);
        assert_eq!(slices.len(), 12, "ten of 16 slots of the other kind, the lock, and the end");
        let mut scan = Scan::new(Listing { subject: Subject::Who, name: b"" });
        machine.scan(&mut scan, &mut |_| panic!("nobody is registered"));
        assert!(scan.is_done(), "two connections are few slots");
    }

    #[test]
    fn the_tied_holds_of_the_other_kind_are_slots_too() {
        let mut machine = machine(1, 2);
        for name in 0..80 {
            get(&mut machine, 1, Kind::Shared, &name.to_string());
            get(&mut machine, 2, Kind::Shared, &name.to_string());
        }
        let slices = slices(&machine, D, "");
        assert_eq!(slices, [0; 16], "five of 16 tied locks, ten of 16 tied holds, and the end");
    }

    #[test]
    fn registered_connections_come_in_slices_too() {
        let mut machine = machine(1, 2);
        for serial in [1, 2] {
            machine.apply(Now(0), Input::Command(conn(serial), &Command::Iam("n")), &mut |_, _| {});
        }
        assert_eq!(slices(&machine, Subject::Who, ""), [1, 1, 0]);
        assert_eq!(slices(&machine, Subject::Who, "m"), [0]);
    }

    #[test]
    fn connections_that_are_not_registered_are_slots_too() {
        let machine = machine(1, 40);
        assert_eq!(slices(&machine, Subject::Who, ""), [0, 0, 0], "16, 16 and 8 of them");
    }

    #[test]
    fn a_listing_of_one_name_goes_on_when_the_hold_it_read_last_is_gone_and_its_slot_used_again() {
        let mut machine = machine(1, 5);
        (1..=4).for_each(|serial| get(&mut machine, serial, Kind::Shared, "n"));
        let mut scan = Scan::new(Listing { subject: SD, name: b"n" });
        let mut read = Vec::new();
        let mut slice = |machine: &Machine, scan: &mut Scan| {
            machine.scan(scan, &mut |entry| read.push(entry.conn.serial()));
        };
        slice(&machine, &mut scan);
        slice(&machine, &mut scan);
        let release = Command::Release(Kind::Shared, "n");
        machine.apply(Now(0), Input::Command(conn(2), &release), &mut |_, _| {});
        get(&mut machine, 5, Kind::Shared, "n");
        while !scan.is_done() {
            slice(&machine, &mut scan);
        }
        assert_eq!(read, [1, 2, 3, 4, 5]);
    }
}
