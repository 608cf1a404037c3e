//! Goal: what was acknowledged is there after a crash; what was not is there as a whole, or not at all. Method: drawn
//! changes on a disk that dies within one of them, and keeps, loses or cuts each write that was not synced. A model
//! beside it says what there must be.

use super::disk::{CrashDisk, Draw, Stepped};
use crate::store::{Ballot, Change, Content, DiskLog, Head, Log, Position, Record, Store, Writing};
use std::sync::{Arc, Mutex};

/// What must be on the disk.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    head: Head,
    records: Vec<Record>,
}

impl Model {
    fn of(log: &DiskLog) -> Self {
        let head = log.head().unwrap().0;
        Self { head, records: log.read(0..u64::MAX, usize::MAX).unwrap() }
    }

    fn next(&self) -> u64 {
        self.head.last.map_or(0, |last| last.index + 1)
    }

    fn make(&mut self, change: &Change) {
        match change {
            Change::Append(records) => self.records.extend(records.iter().cloned()),
            Change::Truncate(from) => self.records.retain(|record| record.position.index < *from),
            Change::Purge(to) => {
                self.records.retain(|record| record.position.index > to.index);
                self.head.purged = Some(*to);
            }
            Change::Vote(ballot) => self.head.ballot = Some(*ballot),
            Change::Commit(position) => self.head.committed = Some(*position),
        }
        self.head.last = self.records.last().map(|record| record.position).or(self.head.purged);
    }

    /// A change that makes sense now.
    fn draw(&self, draw: &mut Draw) -> Change {
        let term = self.head.last.map_or(1, |last| last.term) + draw.below(2);
        let begin = self.head.purged.map_or(0, |purged| purged.index + 1);
        match draw.below(8) {
            0 if self.next() > begin => Change::Truncate(begin + draw.below(self.next() - begin)),
            1 if self.next() > begin => {
                Change::Purge(self.records[draw.below(self.next() - begin) as usize].position)
            }
            // A snapshot came: behind the last entry.
            2 if draw.below(4) == 0 => Change::Purge(Position { term, index: self.next() + draw.below(3) }),
            3 => Change::Vote(Ballot { term, node: draw.below(5) as u16, is_elected: draw.below(2) == 0 }),
            4 if self.head.last.is_some() => Change::Commit(self.head.last.unwrap()),
            _ => {
                let record = |index| {
                    let length = [0, 1, 300, 5_000, 70_000][draw.below(5) as usize];
                    let content = Content::Bytes(vec![index as u8; length].into());
                    Record { position: Position { term, index }, content }
                };
                let count = 1 + self.records.len() as u64 % 4;
                Change::Append((self.next()..self.next() + count).map(record).collect())
            }
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..150 {
        let mut draw = Draw(seed);
        let mut disk = CrashDisk::default();
        drop(DiskLog::open(disk.clone()).unwrap());
        let mut model = Model::default();
        // Processes that live for some steps, and die within one, or while they open the log.
        for _ in 0..8 {
            if draw.below(8) == 0 {
                disk.die_after(draw.below(12));
            }
            let log = DiskLog::open(disk.clone());
            assert!(log.is_ok() || disk.is_dead(), "seed {seed}: {:?}", log.err());
            let mut after = model.clone();
            for left in (0..draw.below(8)).rev() {
                let Ok(log) = &log else { break };
                assert!(disk.is_dead() || Model::of(log) == model, "seed {seed}");
                if left == 0 {
                    disk.die_after(draw.below(30));
                }
                let mut changes = Vec::new();
                for _ in 0..=draw.below(3) {
                    changes.push(after.draw(&mut draw));
                    after.make(&changes[changes.len() - 1]);
                }
                if log.change(&changes).is_err() {
                    assert!(disk.is_dead(), "seed {seed}");
                    break;
                }
                model = after.clone();
            }
            drop(log);
            disk = disk.crash(&mut draw);
            let found = Model::of(&DiskLog::open(disk.clone()).unwrap());
            assert!(
                found == after || found == model,
                "seed {seed}: {found:?}, neither {model:?} nor {after:?}"
            );
            if model != after {
                if found == after { kept += 1 } else { lost += 1 }
            }
            model = found;
        }
    }
    assert!(lost > 20 && kept > 20, "{lost} lost and {kept} kept: the disk dies always at the same place");
}

/// The same through the store, which writes in steps of its own: what it said was durable is there.
#[test]
fn what_the_store_called_durable_is_there_after_a_crash() {
    for (seed, writing) in (0..60).zip([Writing::Thread, Writing::Inline].into_iter().cycle()) {
        let mut draw = Draw(seed);
        let disk = CrashDisk::default();
        let store = Store::open(Arc::new(DiskLog::open(disk.clone()).unwrap()), writing).unwrap();
        disk.die_after(5 + draw.below(120));
        let acknowledged = Arc::new(Mutex::new((0, None)));
        let (mut appended, mut voted) = (0, None);
        for term in 1..=40 {
            let told = Arc::clone(&acknowledged);
            if draw.below(5) == 0 {
                let ballot = Ballot { term, node: 1, is_elected: false };
                voted = Some(ballot);
                let done = move |result: Result<(), _>| {
                    if result.is_ok() {
                        told.lock().unwrap().1 = Some(ballot);
                    }
                };
                store.vote(ballot, Box::new(done));
            } else {
                let position = Position { term, index: appended };
                appended += 1;
                let content = Content::Bytes(vec![7; draw.below(6_000) as usize].into());
                let done = move |result: Result<(), _>| {
                    if result.is_ok() {
                        told.lock().unwrap().0 = position.index + 1;
                    }
                };
                store.append(vec![Record { position, content }], Box::new(done));
            }
        }
        let failure = store.failure();
        drop(store);
        assert!(
            failure.borrow().is_some() || *acknowledged.lock().unwrap() == (appended, voted),
            "seed {seed}"
        );
        let (durable, ballot) = *acknowledged.lock().unwrap();
        let found = Model::of(&DiskLog::open(disk.crash(&mut draw)).unwrap());
        assert!(found.next() >= durable && found.next() <= appended, "seed {seed}: {durable} of {found:?}");
        let term = |ballot: Option<Ballot>| ballot.map(|ballot| ballot.term);
        assert!(term(found.head.ballot) >= term(ballot), "seed {seed}: {ballot:?} of {found:?}");
    }
}

/// Goal: one sync serves all that waits. Method: a log that is slow, and many appends at once.
#[test]
fn appends_that_wait_share_a_sync() {
    let disk = CrashDisk::default();
    let (log, steps) = Stepped::new(DiskLog::open(disk.clone()).unwrap());
    let store = Store::open(Arc::new(log), Writing::Thread).unwrap();
    // Dropped before the store, whose end waits for the writer.
    let steps = steps;
    let before = disk.syncs();
    for index in 0..500 {
        let record = Record { position: Position { term: 1, index }, content: Content::Blank };
        store.append(vec![record], Box::new(|result| result.unwrap()));
    }
    assert_eq!(
        store.read(0..500, usize::MAX).unwrap().len(),
        500,
        "they can be read before they are durable"
    );
    drop(steps);
    drop(store);
    let syncs = disk.syncs() - before;
    assert!((1..=6).contains(&syncs), "{syncs} syncs");
    assert_eq!(Model::of(&DiskLog::open(disk.crash(&mut Draw(1))).unwrap()).next(), 500);
}
