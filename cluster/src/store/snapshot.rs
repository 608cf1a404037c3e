//! The snapshot of a node: one file that holds the state at a position of the log. It is written beside the present one
//! and takes its place when it is whole and synced: a crash leaves the old or the new one.
//!
//! ```text
//!   magic (8) | length of the header (4) | checksum and header | the state
//! ```

use crate::store::DAMAGED;
use crate::store::record::{Position, StoredMembers};
use crate::wire::{decode, encode, seal, unseal};
use bincode::{Decode, Encode};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// The snapshot.
pub const SNAPSHOT: &str = "cluster.snapshot";
/// One that this node is writing.
pub const BUILT: &str = "cluster.snapshot.built";
/// One that another node is sending.
pub const RECEIVED: &str = "cluster.snapshot.received";

/// The largest state.
pub const STATE_BYTES_MAX: u64 = 64 << 30;
/// The longest header. Thousands of members fit.
const HEADER_BYTES_MAX: u32 = 1 << 20;
const MAGIC: &[u8; 8] = b"elocksn1";
/// How much is read at a time to compare checksums.
const SLICE_BYTES: usize = 256 << 10;

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotHeader {
    /// The last entry that the state has in it.
    pub position: Option<Position>,
    /// The members at that entry.
    pub members: StoredMembers,
    /// Bytes of the state.
    pub length: u64,
    /// Their CRC-32.
    pub checksum: u32,
}

/// A file of a [`Shelf`].
pub trait Volume: Send + Sync + fmt::Debug {
    /// Reads all of `bytes`, from an offset on.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the file is shorter.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes`, at an offset.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all that was written durable.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn sync(&self) -> io::Result<()>;

    /// Bytes of the file.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn length(&self) -> io::Result<u64>;
}

/// Where snapshots are kept.
pub trait Shelf: Send + Sync + 'static {
    /// An empty file of this name, in place of one that was there.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn create(&self, name: &str) -> io::Result<Arc<dyn Volume>>;

    /// The file of this name. `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn Volume>>>;

    /// Gives a file another name, durably. Who has a file of that name open still reads the old one.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Shelf for Folder {
    fn create(&self, name: &str) -> io::Result<Arc<dyn Volume>> {
        let path = self.0.join(name);
        // Not truncated: somebody may still be reading it.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Arc::new(File::options().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn Volume>>> {
        match File::open(self.0.join(name)) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))?;
        File::open(&self.0)?.sync_all()
    }
}

impl Volume for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// A snapshot that is whole: its checksum was compared.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    header: SnapshotHeader,
    volume: Arc<dyn Volume>,
    /// Where the state begins.
    begin: u64,
}

impl SnapshotFile {
    /// Writes a snapshot, under the name of [`BUILT`].
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn build(
        shelf: &dyn Shelf,
        position: Option<Position>,
        members: StoredMembers,
        state: &[u8],
    ) -> io::Result<Self> {
        let header = SnapshotHeader {
            position,
            members,
            length: state.len() as u64,
            checksum: crc32fast::hash(state),
        };
        let mut part = SnapshotPart::create(shelf, BUILT, header)?;
        part.write(state)?;
        part.finish()
    }

    /// The present snapshot. `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the snapshot is damaged.
    pub fn open(shelf: &dyn Shelf) -> io::Result<Option<Self>> {
        let Some(volume) = shelf.open(SNAPSHOT)? else { return Ok(None) };
        let (header, begin) = read_header(&*volume)?;
        let snapshot = Self { header, volume, begin };
        snapshot.check()?;
        Ok(Some(snapshot))
    }

    /// Puts it in the place of the present one, durably. `name` is what it is called until then.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn keep(&self, shelf: &dyn Shelf, name: &str) -> io::Result<()> {
        self.volume.sync()?;
        shelf.rename(name, SNAPSHOT)
    }

    /// What it holds.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// The state.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the state is damaged.
    pub fn state(&self) -> io::Result<Vec<u8>> {
        let mut state = vec![0; usize::try_from(self.header.length).map_err(io::Error::other)?];
        self.volume.read_at(&mut state, self.begin)?;
        if crc32fast::hash(&state) != self.header.checksum {
            return Err(damaged("the checksum of the state is wrong"));
        }
        Ok(state)
    }

    /// At most `bytes_max` bytes of the state, from an offset on.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn piece(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let left = self.header.length.saturating_sub(offset).min(bytes_max as u64);
        let mut piece = vec![0; left as usize];
        self.volume.read_at(&mut piece, self.begin + offset)?;
        Ok(piece)
    }

    fn check(&self) -> io::Result<()> {
        if self.volume.length()? != self.begin + self.header.length {
            return Err(damaged("it is longer or shorter than its header says"));
        }
        let (mut offset, mut hasher) = (0, crc32fast::Hasher::new());
        while offset < self.header.length {
            let piece = self.piece(offset, SLICE_BYTES)?;
            hasher.update(&piece);
            offset += piece.len() as u64;
        }
        if hasher.finalize() != self.header.checksum {
            return Err(damaged("the checksum of the state is wrong"));
        }
        Ok(())
    }
}

/// A snapshot of which not all has been written.
#[derive(Debug)]
pub struct SnapshotPart {
    header: SnapshotHeader,
    volume: Arc<dyn Volume>,
    begin: u64,
    written: u64,
    hasher: crc32fast::Hasher,
}

impl SnapshotPart {
    /// A snapshot that another node sends.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the state would be too large.
    pub fn receive(shelf: &dyn Shelf, header: SnapshotHeader) -> io::Result<Self> {
        if header.length > STATE_BYTES_MAX {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("a snapshot of {} bytes is too large", header.length),
            ));
        }
        Self::create(shelf, RECEIVED, header)
    }

    fn create(shelf: &dyn Shelf, name: &str, header: SnapshotHeader) -> io::Result<Self> {
        let volume = shelf.create(name)?;
        let sealed = seal(&encode(&header));
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&(sealed.len() as u32).to_le_bytes());
        head.extend_from_slice(&sealed);
        volume.write_at(&head, 0)?;
        Ok(Self { header, volume, begin: head.len() as u64, written: 0, hasher: crc32fast::Hasher::new() })
    }

    /// What it will hold.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// How many bytes of the state are written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes more of the state.
    ///
    /// # Errors
    ///
    /// If the disk fails, or these are more bytes than the header said.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.written + piece.len() as u64 > self.header.length {
            return Err(io::Error::new(ErrorKind::InvalidData, "a snapshot is longer than its header says"));
        }
        self.volume.write_at(piece, self.begin + self.written)?;
        self.hasher.update(piece);
        self.written += piece.len() as u64;
        Ok(())
    }

    /// The snapshot, once all bytes are written.
    ///
    /// # Errors
    ///
    /// If some are missing, or the checksum is wrong.
    pub fn finish(self) -> io::Result<SnapshotFile> {
        if self.written < self.header.length || self.hasher.finalize() != self.header.checksum {
            return Err(io::Error::new(ErrorKind::InvalidData, "a snapshot came damaged"));
        }
        Ok(SnapshotFile { header: self.header, volume: self.volume, begin: self.begin })
    }
}

fn read_header(volume: &dyn Volume) -> io::Result<(SnapshotHeader, u64)> {
    let short = |error: io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => damaged("it is too short"),
        _ => error,
    };
    let mut head = [0; 12];
    volume.read_at(&mut head, 0).map_err(short)?;
    let (magic, length) = head.split_at(MAGIC.len());
    let length = length.iter().rev().fold(0, |length, byte| length << 8 | u32::from(*byte));
    if magic != MAGIC || length > HEADER_BYTES_MAX {
        return Err(damaged("it does not begin like one"));
    }
    let mut sealed = vec![0; length as usize];
    volume.read_at(&mut sealed, head.len() as u64).map_err(short)?;
    let header =
        unseal(&sealed).and_then(decode).map_err(|error| damaged(&format!("its header: {error}")))?;
    Ok((header, (head.len() + sealed.len()) as u64))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the snapshot: {what}; {DAMAGED}"))
}
