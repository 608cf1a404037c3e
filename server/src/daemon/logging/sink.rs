//! Where bytes of the log go: stderr, or a file. Whatever somebody has put at its path, writing there can be given up:
//! a pipe that nobody reads from holds up nobody for good.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Bytes that fit into a pipe with any room at all: a write of more could wait.
const PIECE: usize = 4096;
/// How long one look waits for room.
const LOOK: Duration = Duration::from_millis(50);

/// A place for bytes.
#[derive(Debug)]
pub(crate) struct Sink {
    /// `None` is stderr.
    file: Option<File>,
    /// Whether it takes everything at once, as a regular file does.
    is_regular: bool,
}

/// How a write went. The number is how many bytes were taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    GivenUp(usize),
    Failed(usize),
}

impl Sink {
    /// The process's stderr.
    pub(crate) fn stderr() -> Self {
        Self { is_regular: is_regular(io::stderr().as_fd()), file: None }
    }

    /// Opens a file to write at its end. Makes it if it is missing. A pipe is opened whether or not somebody reads from
    /// it yet.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let is_pipe = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
        let both_ends = || OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path);
        let one_end = || {
            let mut options = OpenOptions::new();
            // With --verbose the log has names in it. Not everybody may read those.
            options.append(true).create(true).mode(0o640).custom_flags(nonblocking).open(path)
        };
        // Who may write there may not be allowed to read.
        let file = if is_pipe { both_ends().or_else(|_| one_end()) } else { one_end() }?;
        Ok(Self { is_regular: is_regular(file.as_fd()), file: Some(file) })
    }

    /// Writes all of it. While there is no room, it asks now and then whether to give up.
    pub(crate) fn write(&self, bytes: &[u8], mut gives_up: impl FnMut() -> bool) -> Written {
        let stderr = io::stderr();
        let at = self.file.as_ref().map_or_else(|| stderr.as_fd(), AsFd::as_fd);
        let mut taken = 0;
        while taken < bytes.len() {
            if !self.is_regular && !has_room(at) {
                if gives_up() {
                    return Written::GivenUp(taken);
                }
                continue;
            }
            let most = if self.is_regular { bytes.len() } else { bytes.len().min(taken + PIECE) };
            match rustix::io::write(at, &bytes[taken..most]) {
                Ok(written) if written > 0 => taken += written,
                // Somebody else took the room.
                Err(Errno::AGAIN | Errno::INTR) => {
                    if gives_up() {
                        return Written::GivenUp(taken);
                    }
                }
                Ok(_) | Err(_) => return Written::Failed(taken),
            }
        }
        Written::All
    }
}

fn is_regular(file: BorrowedFd<'_>) -> bool {
    fstat(file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// Waits a moment for room. An error counts as room: the write says what it is.
fn has_room(file: BorrowedFd<'_>) -> bool {
    let look = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    !matches!(poll(&mut [PollFd::new(&file, PollFlags::OUT)], Some(&look)), Ok(0) | Err(Errno::INTR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mknodat};
    use std::io::Read;

    #[test]
    fn a_pipe_is_opened_without_a_reader_and_given_up_when_it_is_full() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let sink = Sink::open(&path).unwrap();
        assert_eq!(sink.write(b"first\n", || true), Written::All);
        let mut looks = 0;
        let rest = sink.write(&vec![b'x'; 1 << 20], || {
            looks += 1;
            looks == 2
        });
        let Written::GivenUp(taken) = rest else { panic!("{rest:?}") };
        // It lies there for a reader who comes later.
        let mut reader = OpenOptions::new().read(true).open(&path).unwrap();
        let mut bytes = vec![0; 6 + taken];
        reader.read_exact(&mut bytes).unwrap();
        assert!(bytes.starts_with(b"first\nx") && taken > 4096, "{taken}");
        assert_eq!(sink.write(b"again\n", || true), Written::All, "there is room again");
    }

    #[test]
    fn a_file_takes_all_and_keeps_what_it_had() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let bytes = [b'y'; 3 * PIECE];
        assert_eq!(Sink::open(&path).unwrap().write(&bytes, || true), Written::All);
        assert_eq!(fs::read(&path).unwrap(), [b"old\n", &bytes[..]].concat());
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let sink = Sink::open(Path::new("/dev/full")).unwrap();
        assert_eq!(sink.write(b"line\n", || false), Written::Failed(0));
        assert!(Sink::open(Path::new("/nowhere/at/all")).is_err());
    }
}
