//! The file with the daemon's process id. It is locked as long as the daemon lives, so that two daemons cannot share
//! one. A file that a dead daemon left is taken over. A file that is not a pidfile is left alone.

use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Only for the owner. Whoever may read a file may lock it, and then no daemon would start any more.
const MODE: u32 = 0o600;
/// Bytes of a pidfile at the most. The process id has few of them.
const MOST_BYTES: usize = 4096;
/// Digits of a process id at the most.
const MOST_DIGITS: usize = 20;

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
        .path.display(), of_process(.pid.as_deref())
    )]
    Locked { path: PathBuf, pid: Option<String> },
    #[error(
        "{} is no pidfile, which is a file with a process id and nothing else: it is left as it is; give \
         --pidfile another path, or remove what is there",
        .path.display()
    )]
    NotAPidFile { path: PathBuf },
}

fn of_process(pid: Option<&str>) -> String {
    pid.map_or_else(String::new, |pid| format!(", process {pid}"))
}

impl PidFile {
    /// Makes the file, or takes over the one that is there.
    ///
    /// # Errors
    ///
    /// If another daemon has locked it, if something other than a pidfile is there, or if the system refuses.
    pub(crate) fn create(path: &Path) -> Result<Self, PidFileError> {
        let failed = |source| PidFileError::Io { path: path.to_owned(), source };
        let is_none = || PidFileError::NotAPidFile { path: path.to_owned() };
        loop {
            // Checked before opening, because opening some devices has an effect.
            if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
                return Err(is_none());
            }
            let mut file = open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if !metadata.is_file() {
                return Err(is_none());
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    // Only for the message. It may be missing there.
                    let pid = pid_in(&mut file).ok().flatten().filter(|pid| !pid.is_empty());
                    return Err(PidFileError::Locked { path: path.to_owned(), pid });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Between opening and locking, the file's owner may have ended and removed it. Then this file is locked,
            // but nobody else will ever see it.
            if !is_at(&file, path).map_err(failed)? {
                continue;
            }
            if pid_in(&mut file).map_err(failed)?.is_none() {
                return Err(is_none());
            }
            if metadata.mode() & 0o777 != MODE {
                file.set_permissions(Permissions::from_mode(MODE)).map_err(failed)?;
            }
            let pid = format!("{}\n", std::process::id());
            file.set_len(0).and_then(|()| file.write_all_at(pid.as_bytes(), 0)).map_err(failed)?;
            return Ok(Self { file, path: path.to_owned() });
        }
    }
}

/// Opens or makes the file. Leaves its content as it is. Does not follow a link, and does not wait.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(MODE).custom_flags(flags).open(path)
}

/// The process id in a file that was not read from yet; empty for a file with none, `None` when there is anything else
/// in it. Programs write it in many ways: without the end of the line, with that of another system, or filled up with
/// blanks. A power failure leaves NULs.
fn pid_in(file: &mut File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MOST_BYTES {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes);
    let digits = text.trim_matches([' ', '\t', '\r', '\n', '\0']);
    let is_pid = digits.len() <= MOST_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    Ok(is_pid.then(|| digits.to_owned()))
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

/// Whether this file is still at `path` itself, not behind a link.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(other) => Ok((own.dev(), own.ino()) == (other.dev(), other.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;

    #[test]
    fn it_has_the_process_id_is_had_once_and_is_removed() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "12345678901234567890\n").unwrap();
        let first = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let error = PidFile::create(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}:", std::process::id())), "{error}");
        drop(first);
        assert!(!path.exists());
        drop(PidFile::create(&path).unwrap());
    }

    #[test]
    fn a_file_with_anything_else_in_it_is_left_as_it_is() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("precious");
        let filled = format!("12{}", "\n".repeat(MOST_BYTES));
        for text in ["1 2\n", "12\n3", "-1\n", "x\n", "12\u{b}", "123456789012345678901\n", "a book", &filled]
        {
            fs::write(&path, text).unwrap();
            let error = PidFile::create(&path).unwrap_err();
            assert!(matches!(error, PidFileError::NotAPidFile { .. }), "{text:?}: {error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_process_id_is_known_however_it_was_written() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("pid");
        let blank = "\0".repeat(MOST_BYTES);
        // The first is glockd's.
        for text in ["12", "12\n", "12\r\n", " 12 \n", "\t12\n\n", "12\n\0\0", "12 \r\n", "", "\n", &blank] {
            fs::write(&path, text).unwrap();
            let ours = PidFile::create(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()), "{text:?}");
            drop(ours);
            assert!(!path.exists());
        }
        fs::write(&path, "12\r\n").unwrap();
        let theirs = File::open(&path).unwrap();
        theirs.lock().unwrap();
        let error = PidFile::create(&path).unwrap_err().to_string();
        assert!(error.contains("process 12:"), "{error}");
    }

    #[test]
    fn what_is_no_file_of_its_own_is_left_as_it_is() {
        let dir = tempfile::TempDir::new().unwrap();
        let (target, link, fifo) =
            (dir.path().join("target"), dir.path().join("link"), dir.path().join("fifo"));
        fs::write(&target, "12\n").unwrap();
        symlink(&target, &link).unwrap();
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&link, &fifo, dir.path()] {
            let error = PidFile::create(path).unwrap_err();
            assert!(matches!(error, PidFileError::NotAPidFile { .. }), "{error}");
            assert!(fs::symlink_metadata(path).is_ok());
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "12\n");
        fs::remove_file(&target).unwrap();
        assert!(PidFile::create(&link).is_err(), "a link that leads nowhere makes nothing there");
        assert!(!target.exists());
    }

    #[test]
    fn nobody_else_may_open_it_and_so_lock_it() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        for _ in 0..2 {
            let ours = PidFile::create(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            drop(ours);
        }
    }

    #[test]
    fn a_link_that_took_its_place_is_left_alone() {
        let dir = tempfile::TempDir::new().unwrap();
        let (path, moved) = (dir.path().join("pid"), dir.path().join("moved"));
        let ours = PidFile::create(&path).unwrap();
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        drop(ours);
        assert!(fs::symlink_metadata(&path).is_ok() && moved.exists());
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
