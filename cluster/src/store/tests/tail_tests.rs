//! Goal: what a node reads of its log is the same whether it is in memory, on the disk, or on its way there. Method:
//! drawn appends, truncations and purges, with entries so large that few stay in memory, against a list.

use super::disk::{Draw, Stepped};
use crate::store::{Ballot, Content, DiskLog, Log, Position, Record, Store, Writing};
use std::io::{self, ErrorKind};
use std::sync::{Arc, mpsc};

#[test]
fn a_log_reads_as_a_list_does() {
    for (seed, writing) in (0..6).zip([Writing::Thread, Writing::Inline].into_iter().cycle()) {
        let mut draw = Draw(seed);
        let log = Arc::new(DiskLog::in_memory().unwrap());
        let store = Store::open(Arc::clone(&log) as Arc<dyn Log>, writing).unwrap();
        let (mut list, mut begin, mut term): (Vec<Record>, u64, u64) = (Vec::new(), 0, 1);
        for _ in 0..60 {
            let end = begin + list.len() as u64;
            match draw.below(10) {
                0 => {
                    let from = begin + draw.below(list.len() as u64 + 1);
                    list.truncate((from - begin) as usize);
                    term += 1;
                    store.truncate(from, Box::new(|result| result.unwrap()));
                }
                1 => {
                    let to = Position { term, index: begin + draw.below(list.len() as u64 + 2) };
                    list.drain(..list.len().min((to.index + 1 - begin) as usize));
                    begin = to.index + 1;
                    store.purge(to, Box::new(|result| result.unwrap()));
                }
                count => {
                    let record = |index| {
                        let content =
                            Content::Bytes(vec![index as u8; 1 + draw.below(700_000) as usize].into());
                        Record { position: Position { term, index }, content }
                    };
                    let new: Vec<Record> = (end..end + count).map(record).collect();
                    list.extend(new.iter().cloned());
                    store.append(new, Box::new(|result| result.unwrap()));
                }
            }
            let end = begin + list.len() as u64;
            let (from, to) = (draw.below(end + 2), draw.below(end + 2));
            let expected: Vec<&Record> =
                list.iter().filter(|record| (from..to).contains(&record.position.index)).collect();
            let read = store.read(from..to, usize::MAX).unwrap();
            assert!(read.iter().eq(expected.iter().copied()), "seed {seed}: {from}..{to} of {begin}..{end}");
            // A part of it, and at least one.
            let part = store.read(from..to, 2_000_000).unwrap();
            let bytes = |records: &[Record]| records.iter().map(Record::size).sum::<usize>();
            assert!(part.iter().eq(expected[..part.len()].iter().copied()), "seed {seed}");
            assert!(part.len() == read.len() || bytes(&part) >= 2_000_000, "seed {seed}");
            assert!(part.is_empty() || bytes(&part[..part.len() - 1]) < 2_000_000, "seed {seed}");
            let end = list.last().map(|record| record.position.index);
            let known = store.head().last.map(|last| last.index);
            assert_eq!(end.or(begin.checked_sub(1)), known, "seed {seed}");
        }
        let head = store.head();
        drop(store);
        let store = Store::open(log, writing).unwrap();
        // Not `assert_eq`: it would print a hundred megabytes.
        let is_same = store.head() == head && store.read(0..u64::MAX, usize::MAX).unwrap() == list;
        assert!(is_same, "seed {seed}: {:?} is not {head:?}", store.head());
    }
}

fn large(index: u64) -> Record {
    let content = Content::Bytes(vec![index as u8; 1 << 20].into());
    Record { position: Position { term: 1, index }, content }
}

/// Goal: an entry can be read from its append on, however many there are before it is durable. Method: one step of the
/// writer ends while far more than is kept in memory waits for the next.
#[test]
fn what_is_not_durable_is_not_forgotten() {
    let (log, steps) = Stepped::new(DiskLog::in_memory().unwrap());
    let store = Store::open(Arc::new(log), Writing::Thread).unwrap();
    // Dropped before the store, whose end waits for the writer.
    let steps = steps;
    let (told, durable) = mpsc::channel();
    store.append(vec![large(0)], Box::new(move |result| told.send(result).unwrap()));
    steps.wait();
    store.append((1..40).map(large).collect(), Box::new(|result| result.unwrap()));
    steps.go_on(Ok(()));
    durable.recv().unwrap().unwrap();
    steps.wait();
    assert_eq!(store.read(0..40, usize::MAX).unwrap().len(), 40);
    steps.go_on(Ok(()));
    drop(store);
}

/// Goal: the first error is the last thing that the disk is asked for, and everybody gets it. Method: one step fails,
/// and the disk would be well again.
#[test]
fn nothing_is_tried_again() {
    let (log, steps) = Stepped::new(DiskLog::in_memory().unwrap());
    let log = Arc::new(log);
    let store = Store::open(Arc::clone(&log) as Arc<dyn Log>, Writing::Thread).unwrap();
    let steps = steps;
    let failure = store.failure();
    let (told, results) = mpsc::channel();
    let tell = || {
        let told = told.clone();
        Box::new(move |result| told.send(result).unwrap())
    };
    store.append(vec![large(0)], tell());
    steps.wait();
    steps.go_on(Err(io::Error::new(ErrorKind::StorageFull, "no room")));
    let first = results.recv().unwrap().unwrap_err();
    assert_eq!((first.kind, first.reason.as_str()), (ErrorKind::StorageFull, "no room"));
    drop(steps);
    store.append(vec![large(1)], tell());
    store.vote(Ballot { term: 2, node: 1, is_elected: false }, tell());
    store.truncate(1, tell());
    for _ in 0..3 {
        assert_eq!(results.recv().unwrap(), Err(first.clone()));
    }
    assert_eq!(*failure.borrow(), Some(first));
    drop(store);
    assert_eq!(log.head().unwrap().0, crate::store::Head::default());
}

/// How far the log is committed costs no step of its own: it goes with the next one.
#[test]
fn how_far_it_is_committed_is_written_with_what_comes_next() {
    let log = Arc::new(DiskLog::in_memory().unwrap());
    let store = Store::open(Arc::clone(&log) as Arc<dyn Log>, Writing::Inline).unwrap();
    store.append(vec![large(0)], Box::new(|result| result.unwrap()));
    let position = Position { term: 1, index: 0 };
    store.commit(position);
    assert_eq!((store.head().committed, log.head().unwrap().0.committed), (Some(position), None));
    store.append(vec![large(1)], Box::new(|result| result.unwrap()));
    assert_eq!(log.head().unwrap().0.committed, Some(position));
}

/// A gap is never written.
#[test]
#[should_panic(expected = "an entry must follow the last one")]
fn entries_are_in_a_row() {
    let store = Store::in_memory().unwrap();
    let record = |index| Record { position: Position { term: 1, index }, content: Content::Blank };
    store.append(vec![record(0), record(2)], Box::new(drop));
}
