//! A node's disk. It outlives the node's process. What was written and not synced may be lost in a crash, or a part of
//! it. Files are those of the log, which redb writes, and of snapshots.

use elockd_cluster::store::{Depot, Volume};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The file of the log.
const LOG: &str = "log";
/// What a disk writes as a whole, or not at all.
const SECTOR: usize = 512;

/// What a crash does to each write that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsynced {
    /// It is on the disk.
    Kept,
    /// It is lost.
    Dropped,
    /// It is kept, or lost, or its first sectors are kept.
    Torn,
}

/// A disk. All clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct SimDisk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    files: BTreeMap<String, Arc<Mutex<SimFile>>>,
    /// Counts the processes that had this disk. What an earlier one has open fails.
    boot: u64,
    /// After so many more writes and syncs everything fails.
    fails_after: Option<u32>,
    has_failed: bool,
    tally: DiskTally,
}

/// What a disk has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DiskTally {
    /// Writes that a crash has lost, or cut.
    pub(super) lost: u64,
    /// Operations that failed.
    pub(super) failed: u64,
}

#[derive(Debug, Default)]
struct SimFile {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What makes one of the other, in order.
    unsynced: Vec<FileChange>,
}

#[derive(Debug)]
enum FileChange {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl FileChange {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
        }
    }
}

impl SimFile {
    fn change(&mut self, change: FileChange) {
        change.make(&mut self.now);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.make(&mut self.synced);
        }
    }

    /// Returns how many writes were lost or cut.
    fn crash(&mut self, fate: Unsynced, rng: &mut ChaCha8Rng) -> u64 {
        let mut lost = 0;
        for mut change in std::mem::take(&mut self.unsynced) {
            let kept = match fate {
                Unsynced::Kept => 2,
                Unsynced::Dropped => 0,
                Unsynced::Torn => rng.random_range(0..3),
            };
            if let (1, FileChange::Write(_, data)) = (kept, &mut change) {
                data.truncate(rng.random_range(0..=data.len() / SECTOR) * SECTOR);
            }
            lost += u64::from(kept < 2);
            if kept > 0 {
                change.make(&mut self.synced);
            }
        }
        self.now.clone_from(&self.synced);
        lost
    }
}

impl SimDisk {
    /// A process begins to use the disk.
    pub(super) fn boot(&self) -> BootedDisk {
        let mut platter = lock(&self.0);
        platter.boot += 1;
        platter.fails_after = None;
        platter.has_failed = false;
        BootedDisk { boot: platter.boot, platter: Arc::clone(&self.0) }
    }

    /// The process that uses it is gone, from this moment on.
    pub(super) fn crash(&self, fate: Unsynced, rng: &mut ChaCha8Rng) {
        let mut platter = lock(&self.0);
        platter.boot += 1;
        let lost: u64 = platter.files.values().map(|file| lock(file).crash(fate, rng)).sum();
        platter.tally.lost += lost;
    }

    /// Has everything fail after so many more writes and syncs.
    pub(super) fn fail_after(&self, count: u32) {
        lock(&self.0).fails_after = Some(count);
    }

    /// Whether something has failed: the process must end.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.0).has_failed
    }

    pub(super) fn tally(&self) -> DiskTally {
        lock(&self.0).tally
    }
}

/// The disk, as one process has it.
#[derive(Clone, Debug)]
pub(super) struct BootedDisk {
    boot: u64,
    platter: Arc<Mutex<Platter>>,
}

impl BootedDisk {
    /// The file of the log, for redb.
    pub(super) fn log(&self) -> OpenFile {
        let file = Arc::clone(lock(&self.platter).files.entry(LOG.to_owned()).or_default());
        OpenFile { disk: self.clone(), file }
    }

    /// Fails if the process is gone. Counts a write or a sync, which may be the one that fails.
    fn check(&self, counts: bool) -> io::Result<()> {
        let mut platter = lock(&self.platter);
        if platter.boot != self.boot {
            return Err(io::Error::other("this process is gone"));
        }
        if counts && let Some(left) = &mut platter.fails_after {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => platter.has_failed = true,
            }
        }
        if platter.has_failed {
            platter.tally.failed += 1;
            return Err(io::Error::other("the disk has failed"));
        }
        Ok(())
    }
}

impl Depot for BootedDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn Volume>> {
        self.check(true)?;
        let file = Arc::<Mutex<SimFile>>::default();
        lock(&self.platter).files.insert(name.to_owned(), Arc::clone(&file));
        Ok(Arc::new(OpenFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn Volume>>> {
        self.check(false)?;
        let file = lock(&self.platter).files.get(name).cloned();
        Ok(file.map(|file| Arc::new(OpenFile { disk: self.clone(), file }) as Arc<dyn Volume>))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check(true)?;
        let mut platter = lock(&self.platter);
        let file = platter.files.remove(from).ok_or(ErrorKind::NotFound)?;
        platter.files.insert(to.to_owned(), file);
        Ok(())
    }
}

/// A file that a process has open.
#[derive(Clone, Debug)]
pub(super) struct OpenFile {
    disk: BootedDisk,
    file: Arc<Mutex<SimFile>>,
}

impl OpenFile {
    fn read_into(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.check(false)?;
        let file = lock(&self.file);
        let begin = usize::try_from(offset).map_err(io::Error::other)?;
        let part = file.now.get(begin..begin + bytes.len()).ok_or(ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(part);
        Ok(())
    }

    fn write_from(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.check(true)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        lock(&self.file).change(FileChange::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn make_durable(&self) -> io::Result<()> {
        self.disk.check(true)?;
        lock(&self.file).sync();
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        self.disk.check(false)?;
        Ok(lock(&self.file).now.len() as u64)
    }
}

impl Volume for OpenFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_into(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_from(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.make_durable()
    }

    fn length(&self) -> io::Result<u64> {
        self.bytes()
    }
}

impl redb::StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_into(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.check(true)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        lock(&self.file).change(FileChange::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.make_durable()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_from(data, offset)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn read(file: &OpenFile) -> Vec<u8> {
        let mut bytes = vec![0; file.bytes().unwrap() as usize];
        file.read_into(&mut bytes, 0).unwrap();
        bytes
    }

    /// Goal: what was synced is there after every crash, and what was not is kept or lost as the crash says. Method:
    /// one synced and one unsynced write, and each fate.
    #[test]
    fn a_crash_spares_what_was_synced() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (fate, after) in [(Unsynced::Kept, b"abXY".to_vec()), (Unsynced::Dropped, b"abcd".to_vec())] {
            let disk = SimDisk::default();
            let before = disk.boot().log();
            before.write_from(b"abcd", 0).unwrap();
            before.make_durable().unwrap();
            before.write_from(b"XY", 2).unwrap();
            disk.crash(fate, &mut rng);
            assert!(before.write_from(b"late", 0).is_err(), "a process that is gone writes");
            assert_eq!(read(&disk.boot().log()), after);
        }
    }

    /// Goal: a torn write keeps whole sectors from its beginning. Method: many crashes of one long write.
    #[test]
    fn a_torn_write_is_cut_between_sectors() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut lengths = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let disk = SimDisk::default();
            disk.boot().log().write_from(&[7; 3 * SECTOR + 10], 0).unwrap();
            disk.crash(Unsynced::Torn, &mut rng);
            let kept = read(&disk.boot().log());
            assert!(kept.iter().all(|byte| *byte == 7));
            lengths.insert(kept.len());
        }
        let expected = [0, 1, 2, 3].map(|sectors| sectors * SECTOR);
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [&expected[..], &[3 * SECTOR + 10]].concat());
    }

    /// Goal: a disk that fails does nothing any more, until another process starts. Method: it fails at its second
    /// write.
    #[test]
    fn a_failed_disk_stays_so() {
        let disk = SimDisk::default();
        let file = disk.boot().log();
        disk.fail_after(1);
        file.write_from(b"a", 0).unwrap();
        assert!(file.write_from(b"b", 1).is_err() && disk.has_failed());
        assert!(file.make_durable().is_err() && file.bytes().is_err());
        disk.crash(Unsynced::Kept, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(read(&disk.boot().log()), b"a");
    }
}
