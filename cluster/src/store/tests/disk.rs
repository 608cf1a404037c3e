//! A disk that crashes. What was synced stays. What was not is kept, or lost, or each write fares for itself: it is
//! kept, lost, or cut in the middle, and a later one may be there and an earlier one not.

use crate::store::{Change, DiskLog, Head, Log, Record};
use redb::StorageBackend;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, mpsc};

/// Numbers that look random, and are the same each time.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    /// One of `0..end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (drawn ^ (drawn >> 31)) % end
    }
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct CrashDisk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    synced: Vec<u8>,
    /// What the process sees.
    seen: Vec<u8>,
    /// Not synced yet, in the order of the writes.
    unsynced: Vec<Write>,
    /// How many more writes and syncs there are before the process dies. `None` if it does not.
    left: Option<u64>,
    syncs: u64,
}

#[derive(Debug)]
enum Write {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

impl CrashDisk {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let platter = Platter { synced: bytes.clone(), seen: bytes, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    /// All that is on it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().seen.clone()
    }

    pub(super) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    /// Has the process die within so many writes and syncs.
    pub(super) fn die_after(&self, left: u64) {
        self.0.lock().unwrap().left = Some(left);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.0.lock().unwrap().left == Some(0)
    }

    /// What is there after the crash.
    pub(super) fn crash(self, draw: &mut Draw) -> Self {
        let mut platter = self.0.lock().unwrap();
        let mut bytes = std::mem::take(&mut platter.synced);
        let is_kept = draw.below(3) == 0;
        for write in platter.unsynced.drain(..) {
            let fate = if is_kept { 3 } else { draw.below(4) };
            match (write, fate) {
                (_, 0) => {}
                (Write::Length(length), _) => bytes.resize(length as usize, 0),
                (Write::Bytes(offset, mut written), _) => {
                    if fate == 1 {
                        written.truncate(draw.below(written.len() as u64 + 1) as usize);
                    }
                    put(&mut bytes, offset, &written);
                }
            }
        }
        drop(platter);
        Self::of(bytes)
    }
}

impl Platter {
    fn live(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the process is dead")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, written: &[u8]) {
    let (begin, end) = (offset as usize, offset as usize + written.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[begin..end].copy_from_slice(written);
}

impl StorageBackend for CrashDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock().unwrap();
        let begin = offset as usize;
        let read = platter.seen.get(begin..begin + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(read);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.live()?;
        platter.seen.resize(length as usize, 0);
        platter.unsynced.push(Write::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.live()?;
        platter.syncs += 1;
        platter.synced = platter.seen.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.live()?;
        put(&mut platter.seen, offset, data);
        platter.unsynced.push(Write::Bytes(offset, data.to_vec()));
        Ok(())
    }
}

/// A log that waits before each step, until it is told to go on. At the end it goes on by itself.
pub(super) struct Stepped {
    log: DiskLog,
    /// Says that a step waits.
    waits: mpsc::Sender<()>,
    go_on: Mutex<mpsc::Receiver<io::Result<()>>>,
}

/// The other side of a [`Stepped`].
pub(super) struct Steps {
    waits: mpsc::Receiver<()>,
    go_on: mpsc::Sender<io::Result<()>>,
}

impl Stepped {
    pub(super) fn new(log: DiskLog) -> (Self, Steps) {
        let ((waits, waiting), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
        (Self { log, waits, go_on: Mutex::new(goes_on) }, Steps { waits: waiting, go_on })
    }
}

impl Steps {
    /// Waits until a step waits.
    pub(super) fn wait(&self) {
        self.waits.recv().unwrap();
    }

    /// Lets the next step be made, or fail.
    pub(super) fn go_on(&self, how: io::Result<()>) {
        self.go_on.send(how).unwrap();
    }
}

impl Log for Stepped {
    fn head(&self) -> io::Result<(Head, u64)> {
        self.log.head()
    }

    fn change(&self, changes: &[Change]) -> io::Result<()> {
        // Nobody steps any more.
        let _ = self.waits.send(());
        self.go_on.lock().unwrap().recv().unwrap_or(Ok(()))?;
        self.log.change(changes)
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Record>> {
        self.log.read(range, bytes_max)
    }
}
