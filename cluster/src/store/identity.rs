//! The state directory of a node: which cluster it belongs to, and under which number. One process has it at a time.

use crate::store::DAMAGED;
use crate::store::log::DiskLog;
use crate::store::snapshot::{BUILT, Folder, RECEIVED, SNAPSHOT};
use crate::wire::{Malformed, decode, encode, seal, unseal};
use bincode::{Decode, Encode};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = "cluster.lock";
const IDENTITY: &str = "cluster.identity";
const LOG: &str = "cluster.log";
const LOG_PART: &str = "cluster.log.part";
const REFUSED: &str = "cluster.refused";

/// How the directory is laid out. Another number is another layout.
const FORMAT: u32 = 1;

/// Who a node is.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Identity {
    /// The cluster. Drawn when it was founded.
    pub cluster: u128,
    /// The node's number. Never used for another node.
    pub node: u16,
    /// The cluster's timeout, in milliseconds.
    pub timeout_ms: u64,
}

impl Identity {
    /// The first node of a new cluster.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn found(timeout_ms: u64) -> io::Result<Self> {
        let mut random = [0; 16];
        let mut filled = 0;
        while filled < random.len() {
            filled += rustix::rand::getrandom(&mut random[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(Self { cluster: u128::from_le_bytes(random), node: 1, timeout_ms })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of {:032x}, timeout {} ms", self.node, self.cluster, self.timeout_ms)
    }
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another process has it.
    #[error("another process uses the state directory {}", .0.display())]
    InUse(PathBuf),
    /// It belongs to a cluster already.
    #[error("the state directory {} has a cluster's files: {file}; use an empty one", .directory.display())]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
        /// One of the files.
        file: &'static str,
    },
    /// It belongs to none.
    #[error("the state directory {} belongs to no cluster: run `elockd cluster init` or `join` first", .0.display())]
    Missing(PathBuf),
    /// A later release made it.
    #[error("the state directory has format {0}, which this release does not know: start a later one")]
    Format(u32),
    /// A record is damaged.
    #[error("the identity: {0}; {DAMAGED}")]
    Damaged(String),
    /// The node is not to be started again.
    #[error("this node is not to be started again: {0}")]
    Refused(String),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// A state directory that this process has for itself.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    identity: Identity,
    /// Locked as long as it is open.
    _lock: File,
}

impl StateDirectory {
    /// Makes a directory the state directory of a node.
    ///
    /// # Errors
    ///
    /// If another process has it, or it has files of a cluster, or the disk fails.
    pub fn create(path: &Path, identity: Identity) -> Result<Self, IdentityError> {
        let lock = lock(path)?;
        // A log without an identity is what a crash left of an earlier call.
        for file in [IDENTITY, SNAPSHOT, REFUSED] {
            if fs::exists(path.join(file))? {
                return Err(IdentityError::NotEmpty { directory: path.to_owned(), file });
            }
        }
        make_log(path)?;
        write(path, IDENTITY, &record(identity))?;
        Ok(Self { path: path.to_owned(), identity, _lock: lock })
    }

    /// Opens the state directory of a node.
    ///
    /// # Errors
    ///
    /// If another process has it, it belongs to no cluster, a record is damaged, or the disk fails.
    pub fn open(path: &Path) -> Result<Self, IdentityError> {
        let directory = Self::open_refused(path)?;
        if fs::exists(path.join(REFUSED))? {
            let reason = fs::read(path.join(REFUSED))?;
            return Err(IdentityError::Refused(String::from_utf8_lossy(&reason).trim().to_owned()));
        }
        Ok(directory)
    }

    /// Like [`StateDirectory::open`], but opens one too that is not to be started again.
    ///
    /// # Errors
    ///
    /// The same, but for [`IdentityError::Refused`].
    pub fn open_refused(path: &Path) -> Result<Self, IdentityError> {
        if !Self::is_one(path)? {
            return Err(IdentityError::Missing(path.to_owned()));
        }
        let lock = lock(path)?;
        let identity = read(&fs::read(path.join(IDENTITY))?)?;
        Ok(Self { path: path.to_owned(), identity, _lock: lock })
    }

    /// Whether a directory belongs to a cluster. It is not locked.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn is_one(path: &Path) -> io::Result<bool> {
        fs::exists(path.join(IDENTITY))
    }

    /// Who this node is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log. It may be opened once.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the log is damaged or missing.
    pub fn log(&self) -> io::Result<DiskLog> {
        let file = File::options().read(true).write(true).open(self.path.join(LOG));
        DiskLog::open_file(file.map_err(|error| match error.kind() {
            // A node that forgot what it voted for must not vote again.
            ErrorKind::NotFound => {
                io::Error::new(ErrorKind::InvalidData, format!("the log is missing; {DAMAGED}"))
            }
            _ => error,
        })?)
    }

    /// Bytes of the log's file.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn log_bytes(&self) -> io::Result<u64> {
        Ok(fs::metadata(self.path.join(LOG))?.len())
    }

    /// Where the snapshot is.
    #[must_use]
    pub fn folder(&self) -> Folder {
        Folder(self.path.clone())
    }

    /// Has no later process start on this directory.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn refuse(&self, reason: &str) -> io::Result<()> {
        write(&self.path, REFUSED, reason.as_bytes())
    }

    /// Forgets the log and the snapshot, and goes on as another node. If it is interrupted, it is to be called again:
    /// no process starts on the directory before that.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub fn renew(&mut self, identity: Identity) -> io::Result<()> {
        self.refuse("its recovery was interrupted; run `elockd cluster recover` again")?;
        for file in [LOG, SNAPSHOT, BUILT, RECEIVED] {
            remove(&self.path.join(file))?;
        }
        make_log(&self.path)?;
        write(&self.path, IDENTITY, &record(identity))?;
        self.identity = identity;
        remove(&self.path.join(REFUSED))?;
        File::open(&self.path)?.sync_all()
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The identity's bytes. The format comes first, in the same four bytes for ever: every release can read it.
fn record(identity: Identity) -> Vec<u8> {
    let mut bytes = FORMAT.to_le_bytes().to_vec();
    bytes.extend(encode(&identity));
    seal(&bytes)
}

fn read(sealed: &[u8]) -> Result<Identity, IdentityError> {
    let damaged = |error: Malformed| IdentityError::Damaged(error.to_string());
    let bytes = unseal(sealed).map_err(damaged)?;
    let Some((format, identity)) = bytes.split_first_chunk() else {
        return Err(IdentityError::Damaged("it is too short".to_owned()));
    };
    match u32::from_le_bytes(*format) {
        FORMAT => decode(identity).map_err(damaged),
        format => Err(IdentityError::Format(format)),
    }
}

fn lock(path: &Path) -> Result<File, IdentityError> {
    let file = File::options().write(true).create(true).truncate(false).open(path.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IdentityError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Makes an empty log. A log that a crash left half made never has its name.
fn make_log(directory: &Path) -> io::Result<()> {
    let part = directory.join(LOG_PART);
    remove(&part)?;
    let file = File::options().read(true).write(true).create_new(true).open(&part)?;
    drop(DiskLog::open_file(file)?);
    File::open(&part)?.sync_all()?;
    fs::rename(part, directory.join(LOG))?;
    File::open(directory)?.sync_all()
}

/// Writes a file as a whole: after a crash it is there, or what was there before.
fn write(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = directory.join(format!("{name}.part"));
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, directory.join(name))?;
    File::open(directory)?.sync_all()
}
