//! Goal: what a node reads of its log is the same whether it is in memory, on the disk, or on its way there. Method:
//! drawn appends, truncations and purges, with entries so large that few stay in memory, against a list.

use super::disk::Draw;
use crate::store::{Content, DiskLog, Position, Record, Store, Writing};
use std::sync::Arc;

#[test]
fn a_log_reads_as_a_list_does() {
    for (seed, writing) in (0..6).zip([Writing::Thread, Writing::Inline].into_iter().cycle()) {
        let mut draw = Draw(seed);
        let store = Store::open(Arc::new(DiskLog::in_memory().unwrap()), writing).unwrap();
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
            let last = list.last().map(|record| record.position.index);
            let known = store.head().last.map(|last| last.index);
            assert_eq!(last.or(begin.checked_sub(1)), known, "seed {seed}");
        }
    }
}

/// A gap is never written.
#[test]
#[should_panic(expected = "an entry must follow the last one")]
fn entries_are_in_a_row() {
    let store = Store::in_memory().unwrap();
    let record = |index| Record { position: Position { term: 1, index }, content: Content::Blank };
    store.append(vec![record(0), record(2)], Box::new(drop));
}
