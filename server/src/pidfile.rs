//! The file with the daemon's process id. It is locked for as long as the daemon lives, so that two daemons
//! cannot share one, whatever is written in it; a file that a dead daemon left is taken over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A locked file. Dropping it removes the file, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct PidFile {
    file: File,
    path: PathBuf,
}

/// Why there is no such file.
#[derive(Debug, Error)]
pub(crate) enum PidFileError {
    #[error("cannot use the pidfile {}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the pidfile {} is locked by another daemon{}: stop that one first, or give this one a file of its own",
        .path.display(), of_process(.pid)
    )]
    Locked { path: PathBuf, pid: String },
}

fn of_process(pid: &str) -> String {
    if pid.is_empty() { String::new() } else { format!(", process {pid}") }
}

impl PidFile {
    /// Makes the file, or takes over the one that is there.
    ///
    /// # Errors
    ///
    /// When another daemon has it, or what the system says.
    pub(crate) fn create(path: &Path) -> Result<Self, PidFileError> {
        let failed = |source| PidFileError::Io { path: path.to_owned(), source };
        loop {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let mut file = options.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    // Only for the message, which does without it too.
                    let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
                    let pid = pid.trim().to_owned();
                    return Err(PidFileError::Locked { path: path.to_owned(), pid });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Between opening and locking, its owner may have ended and removed it: then this is the lock of
            // a file that nobody else will ever see.
            if !is_at(&file, path).map_err(failed)? {
                continue;
            }
            file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
            return Ok(Self { file, path: path.to_owned() });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        match is_at(&self.file, &self.path) {
            Ok(false) => {}
            Ok(true) => {
                if let Err(error) = fs::remove_file(&self.path) {
                    tracing::warn!("cannot remove the pidfile {}: {error}", self.path.display());
                }
            }
            Err(error) => tracing::warn!("cannot look at the pidfile {}: {error}", self.path.display()),
        }
    }
}

/// Whether a path still leads to this file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(other) => Ok((own.dev(), own.ino()) == (other.dev(), other.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_process_id_is_had_once_and_is_removed() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "a longer text than any process id\n").unwrap();
        let first = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let error = PidFile::create(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}:", std::process::id())), "{error}");
        drop(first);
        assert!(!path.exists());
        drop(PidFile::create(&path).unwrap());
    }

    #[test]
    fn a_file_that_took_its_place_is_left_alone() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("pid");
        let ours = PidFile::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let theirs = PidFile::create(&path).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(theirs);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        let error = PidFile::create(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
