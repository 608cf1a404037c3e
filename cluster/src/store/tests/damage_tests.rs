//! Goal: damage is refused, and nothing is cut off or made up. Method: single bits are flipped in a log and in a
//! snapshot; what opens must be what was written.

use super::disk::{CrashDisk, Draw};
use crate::store::snapshot::{BUILT, RECEIVED, SNAPSHOT};
use crate::store::{
    Ballot, Change, Content, DiskLog, Folder, Log, Members, Position, Record, SnapshotFile, SnapshotPart,
    StoredMembers,
};
use std::fs;
use std::io::ErrorKind;

fn records() -> Vec<Record> {
    let content = |index: u64| Content::Bytes(vec![index as u8 | 1; 300].into());
    let record = |index| Record { position: Position { term: 2, index }, content: content(index) };
    (0..40).map(record).collect()
}

#[test]
fn a_flipped_bit_of_the_log_is_refused() {
    let disk = CrashDisk::default();
    let log = DiskLog::open(disk.clone()).unwrap();
    for record in records() {
        log.change(&[Change::Append([record].into())]).unwrap();
    }
    log.change(&[Change::Vote(Ballot { term: 2, node: 1, is_elected: true })]).unwrap();
    let head = log.head().unwrap();
    drop(log);
    let bytes = disk.bytes();
    let (mut draw, mut refused, mut places) = (Draw(3), 0, 0);
    while places < 1_500 {
        let at = draw.below(bytes.len() as u64) as usize;
        if bytes[at] == 0 {
            continue;
        }
        places += 1;
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << draw.below(8);
        // A database that does not find its way may panic. That is a refusal too.
        let read = std::panic::catch_unwind(|| {
            let log = DiskLog::open(CrashDisk::of(damaged))?;
            Ok::<_, std::io::Error>((log.head()?, log.read(0..u64::MAX, usize::MAX)?))
        });
        match read {
            Ok(Ok(read)) => assert!(read == (head, records()), "byte {at}: {:?}", read.0),
            Ok(Err(_)) | Err(_) => refused += 1,
        }
    }
    assert!(refused > 100, "only {refused} of {places} are noticed: the rest is unused");
}

#[test]
fn a_damaged_entry_says_what_to_do() {
    let disk = CrashDisk::default();
    let log = DiskLog::open(disk.clone()).unwrap();
    log.change(&[Change::Append(records().into())]).unwrap();
    drop(log);
    let mut bytes = disk.bytes();
    let at = bytes.windows(300).position(|window| window == [9; 300]).unwrap();
    bytes[at + 100] = 8;
    let error = DiskLog::open(CrashDisk::of(bytes)).and_then(|log| log.head()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("remove") && error.to_string().contains("join"), "{error}");
}

fn members() -> StoredMembers {
    let position = Some(Position { term: 1, index: 0 });
    let addresses = [(1, "a:1".to_owned()), (2, "b:1".to_owned())].into();
    StoredMembers { position, members: Members { voters: vec![[1].into()], addresses } }
}

#[test]
fn each_flipped_bit_of_a_snapshot_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let depot = Folder(folder.path().to_owned());
    assert!(SnapshotFile::open(&depot).unwrap().is_none());
    let position = Some(Position { term: 3, index: 70 });
    let built = SnapshotFile::build(&depot, position, members(), b"the state").unwrap();
    assert!(SnapshotFile::open(&depot).unwrap().is_none(), "it is not in its place yet");
    built.keep(&depot, BUILT).unwrap();
    let opened = SnapshotFile::open(&depot).unwrap().unwrap();
    assert_eq!((opened.header(), opened.state().unwrap()), (built.header(), b"the state".to_vec()));
    assert_eq!(opened.piece(4, 3).unwrap(), b"sta");
    let path = folder.path().join(SNAPSHOT);
    let bytes = fs::read(&path).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, damaged).unwrap();
        let error = SnapshotFile::open(&depot).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "bit {bit}: {error}");
    }
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(SnapshotFile::open(&depot).unwrap_err().kind(), ErrorKind::InvalidData, "{length} bytes");
    }
    fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert!(SnapshotFile::open(&depot).is_err(), "a byte too many");
}

/// Goal: a snapshot that comes damaged, or is longer than it said, never takes the place of a good one.
#[test]
fn a_snapshot_is_received_as_a_whole_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let depot = Folder(folder.path().to_owned());
    let sent = SnapshotFile::build(&depot, None, members(), b"the state").unwrap();
    let header = sent.header().clone();
    let mut part = SnapshotPart::receive(&depot, header.clone()).unwrap();
    part.write(b"the ").unwrap();
    assert_eq!(part.written(), 4);
    assert_eq!(part.write(b"states").unwrap_err().kind(), ErrorKind::InvalidData);
    part.write(b"state").unwrap();
    part.finish().unwrap().keep(&depot, RECEIVED).unwrap();
    assert_eq!(SnapshotFile::open(&depot).unwrap().unwrap().state().unwrap(), b"the state");
    for wrong in [&b"the stat"[..], b"the stale"] {
        let mut part = SnapshotPart::receive(&depot, header.clone()).unwrap();
        part.write(wrong).unwrap();
        assert_eq!(part.finish().unwrap_err().kind(), ErrorKind::InvalidData);
    }
    let mut large = header;
    large.length = u64::MAX;
    assert_eq!(SnapshotPart::receive(&depot, large).unwrap_err().kind(), ErrorKind::InvalidData);
    // Who still reads the old one is not disturbed by the next.
    let old = SnapshotFile::open(&depot).unwrap().unwrap();
    SnapshotFile::build(&depot, None, members(), b"another one").unwrap().keep(&depot, BUILT).unwrap();
    assert_eq!(old.state().unwrap(), b"the state");
    assert_eq!(SnapshotFile::open(&depot).unwrap().unwrap().state().unwrap(), b"another one");
}
