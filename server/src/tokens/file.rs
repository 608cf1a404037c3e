//! Tokens by a file: the highest token that was ever reserved is on disk before any of its range is given out, so that
//! they ascend whatever becomes of the daemon, the machine, or the clock.
//!
//! A file that is not whole, or not ours, is never touched: to guess would be to give tokens out twice.

use super::clock::wall_micros;
use super::{HIGHEST_TOKEN, Ranges, Reserving, TokenSource};
use rustix::fs::OFlags;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::task::spawn_blocking;

/// Tokens of one range: at a thousand a second, a write every nine minutes or so.
const LENGTH: u64 = 1 << 20;
/// The file, in the state directory.
const FILE: &str = "tokens";
/// The file that is locked for as long as the daemon lives. Nothing is in it. The other one is replaced each time, so
/// that a lock on it would be lost.
const LOCK: &str = "lock";
/// What the names of files begin with that are not yet in the place of `FILE`.
const UNFINISHED: &str = ".tokens-";
/// Bytes of the file at the most: more than this format has, for those that may come.
const MOST_BYTES: u64 = 4096;
/// The first line.
const MAGIC: &str = "elockd fencing tokens";
/// The format that is written, and the only one that is read.
const FORMAT: u64 = 1;

/// Fencing tokens with a record of them in a directory, which is locked as long as this lives.
#[derive(Debug)]
pub struct FileTokens {
    dir: Arc<Path>,
    ranges: Ranges,
    _lock: File,
}

/// Why a state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// What the system says.
    #[error("cannot use the state directory: {}: {source}", .path.display())]
    Io {
        /// The directory itself, or what in it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error(
        "the state directory {} is locked by another daemon: stop that one first, or give this one a directory of \
         its own with --state-dir", .dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// There is something else where the file should be.
    #[error(
        "{} is not what elockd writes there, and is left as it is: give --state-dir another directory, or move \
         it away", .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is in a format that is not known yet.
    #[error(
        "{} has format {format}, of a newer elockd, and is left as it is: start that one, or give --state-dir \
         another directory", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// It is ours, but not whole.
    #[error(
        "{} is damaged, and is left as it is: look for what harmed it, then move it away; fencing tokens then go on \
         from the clock, see `The state directory` in docs/operations.md", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// What has been done of a record, in this order. Only after all of it the range may be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Nothing,
    Created,
    Written,
    Synced,
    Renamed,
    DirectorySynced,
}

impl FileTokens {
    /// Locks a directory, makes it when only itself is missing, and reads what is in it. It changes no record.
    ///
    /// # Errors
    ///
    /// When another daemon has it, when what is there is damaged or not ours, or what the system says.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let in_dir = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        make(dir).map_err(in_dir(dir))?;
        let path = dir.join(LOCK);
        let mut options = own();
        let lock = options.write(true).create(true).truncate(false).open(&path).map_err(in_dir(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(in_dir(&path)(error)),
        }
        let recorded = read(&dir.join(FILE))?;
        remove_unfinished(dir).map_err(in_dir(dir))?;
        Ok(Self { dir: dir.into(), ranges: Ranges::new(LENGTH, recorded), _lock: lock })
    }

    /// The next range, by a clock, and what has to be on record before it is handed out.
    fn plan(&self, micros: u64) -> io::Result<(RangeInclusive<u64>, u64)> {
        let range = self.ranges.next(micros)?;
        let recorded = self.ranges.record_of(&range);
        Ok((range, recorded))
    }
}

impl TokenSource for FileTokens {
    fn reserve(&mut self) -> Reserving<'_> {
        Box::pin(async {
            let (range, recorded) = self.plan(wall_micros())?;
            let dir = Arc::clone(&self.dir);
            let recording = spawn_blocking(move || record(&dir, recorded, &mut |_| Ok(())));
            recording.await.map_err(io::Error::other)??;
            self.ranges.taken(&range);
            Ok(range)
        })
    }
}

/// Makes the directory when it is missing, and makes sure that it stays.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// How files are opened that are our own: a link is not followed, and nothing is waited for.
fn own() -> OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(flags);
    options
}

/// Puts a new record in the place of the old one, so that at every moment there is one of the two, whole. `reached` is
/// told how far it has come, and can make it fail there.
fn record(dir: &Path, highest: u64, reached: &mut dyn FnMut(Done) -> io::Result<()>) -> io::Result<()> {
    reached(Done::Nothing)?;
    let mut builder = tempfile::Builder::new();
    // Removed when dropped, unless it has taken its place; readable by its owner alone.
    let mut file = builder.prefix(UNFINISHED).tempfile_in(dir)?;
    reached(Done::Created)?;
    file.write_all(text_of(highest).as_bytes())?;
    reached(Done::Written)?;
    file.as_file().sync_all()?;
    reached(Done::Synced)?;
    file.persist(dir.join(FILE))?;
    reached(Done::Renamed)?;
    File::open(dir)?.sync_all()?;
    reached(Done::DirectorySynced)
}

/// The file's text.
fn text_of(highest: u64) -> String {
    let text = format!("{MAGIC}\nformat {FORMAT}\nreserved up to {highest}\n");
    let checksum = crc32fast::hash(text.as_bytes());
    format!("{text}checksum {checksum:08x}\n")
}

/// Reads a record; there may be none.
fn read(path: &Path) -> Result<Option<u64>, StateError> {
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    let foreign = || StateError::Foreign { path: path.to_owned() };
    // To open some things is to do something.
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_file() => return Err(foreign()),
        Ok(_) => {}
    }
    let file = own().read(true).open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(foreign());
    }
    parse(&bytes).map(Some).map_err(|wrong| {
        let path = path.to_owned();
        match wrong {
            Wrong::Foreign => StateError::Foreign { path },
            Wrong::Newer(format) => StateError::Newer { path, format },
            Wrong::Damaged => StateError::Damaged { path },
        }
    })
}

/// What is wrong with a record.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    Foreign,
    Newer(u64),
    Damaged,
}

/// The number in a record. Every byte has to be as it was written.
fn parse(bytes: &[u8]) -> Result<u64, Wrong> {
    let head = format!("{MAGIC}\nformat ");
    let Some(rest) = bytes.strip_prefix(head.as_bytes()) else {
        // The start of one, or nothing at all, is most likely what is left of one.
        return Err(if head.as_bytes().starts_with(bytes) { Wrong::Damaged } else { Wrong::Foreign });
    };
    let rest = std::str::from_utf8(rest).map_err(|_| Wrong::Damaged)?;
    let mut lines = rest.split('\n');
    let format = lines.next().and_then(|format| format.parse().ok());
    match format {
        Some(FORMAT) => {}
        Some(format) if format > FORMAT && rest.contains('\n') => return Err(Wrong::Newer(format)),
        _ => return Err(Wrong::Damaged),
    }
    let highest = lines.next().and_then(|line| line.strip_prefix("reserved up to ")?.parse().ok());
    let is_whole = |highest: &u64| *highest <= HIGHEST_TOKEN && text_of(*highest).as_bytes() == bytes;
    highest.filter(is_whole).ok_or(Wrong::Damaged)
}

/// Removes what a daemon left behind that was killed while it made a record.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
            && entry.file_type()?.is_file()
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};
    use tempfile::TempDir;

    /// A clock so far behind that only the record counts.
    const NO_CLOCK: u64 = 0;

    fn state() -> (TempDir, PathBuf) {
        let parent = TempDir::new().unwrap();
        let dir = parent.path().join("state");
        (parent, dir)
    }

    /// Reserves as the source does, telling `reached` how far it has come.
    fn reserve(
        tokens: &mut FileTokens,
        reached: &mut dyn FnMut(Done) -> io::Result<()>,
    ) -> io::Result<RangeInclusive<u64>> {
        let (range, recorded) = tokens.plan(NO_CLOCK)?;
        record(&tokens.dir, recorded, reached)?;
        tokens.ranges.taken(&range);
        Ok(range)
    }

    fn reserve_all(tokens: &mut FileTokens) -> RangeInclusive<u64> {
        reserve(tokens, &mut |_| Ok(())).unwrap()
    }

    /// What a crash at this moment would leave.
    fn copy(dir: &Path) -> TempDir {
        let copy = TempDir::new().unwrap();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    const STEPS: [Done; 6] =
        [Done::Nothing, Done::Created, Done::Written, Done::Synced, Done::Renamed, Done::DirectorySynced];

    #[test]
    fn it_is_made_for_its_owner_alone_and_has_a_record_that_people_can_read() {
        let (_parent, dir) = state();
        let mut tokens = FileTokens::open(&dir).unwrap();
        let range = reserve_all(&mut tokens);
        assert_eq!(range, Ranges::HEADROOM..=Ranges::HEADROOM + LENGTH - 1);
        let text = fs::read_to_string(dir.join(FILE)).unwrap();
        assert!(
            text.starts_with("elockd fencing tokens\nformat 1\nreserved up to 1179647\nchecksum "),
            "{text}"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join(FILE)), mode(&dir.join(LOCK))), (0o700, 0o600, 0o600));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "and nothing else");
    }

    #[tokio::test]
    async fn with_no_record_it_begins_at_the_clock_and_goes_on_from_the_record_after_a_restart() {
        let (_parent, dir) = state();
        let begun = wall_micros();
        let mut tokens = FileTokens::open(&dir).unwrap();
        let first = tokens.reserve().await.unwrap();
        assert!((begun..=wall_micros()).contains(&(first.start() - Ranges::HEADROOM)));
        let second = tokens.reserve().await.unwrap();
        assert!(second.start() > first.end());
        drop(tokens);
        let third = FileTokens::open(&dir).unwrap().reserve().await.unwrap();
        assert!(third.start() > second.end());
    }

    #[test]
    fn whatever_step_it_is_killed_at_no_token_is_given_out_twice() {
        for last in STEPS {
            let (_parent, dir) = state();
            let mut tokens = FileTokens::open(&dir).unwrap();
            // Killed while it makes the first record, or a later one.
            for _ in 0..2 {
                let mut left = None;
                let range = reserve(&mut tokens, &mut |done| {
                    if done == last {
                        left = Some(copy(&dir));
                    }
                    Ok(())
                });
                // Nothing of this range was given out before the last step, all of it may have been after it.
                let range = range.unwrap();
                let given = if last == Done::DirectorySynced { *range.end() } else { range.start() - 1 };
                let left = left.unwrap();
                let mut restarted = FileTokens::open(left.path()).unwrap();
                let next = reserve_all(&mut restarted);
                assert!(*next.start() > given, "{last:?}: {next:?} after {given}");
                assert_eq!(fs::read_dir(left.path()).unwrap().count(), 2, "{last:?}: nothing is left over");
            }
        }
    }

    #[test]
    fn after_a_failure_at_any_step_the_same_daemon_and_the_next_go_on_above() {
        for last in STEPS {
            let (_parent, dir) = state();
            let mut tokens = FileTokens::open(&dir).unwrap();
            let first = reserve_all(&mut tokens);
            for _ in 0..3 {
                let full = || io::Error::from(ErrorKind::StorageFull);
                let failed =
                    reserve(&mut tokens, &mut |done| if done == last { Err(full()) } else { Ok(()) });
                assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
                assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "{last:?}: nothing is left over");
            }
            let second = reserve_all(&mut tokens);
            assert_eq!(*second.start(), first.end() + 1, "{last:?}");
            drop(tokens);
            let third = reserve_all(&mut FileTokens::open(&dir).unwrap());
            assert!(third.start() > second.end(), "{last:?}");
        }
    }

    #[test]
    fn it_is_had_once_at_a_time() {
        let (_parent, dir) = state();
        let first = FileTokens::open(&dir).unwrap();
        let error = FileTokens::open(&dir).unwrap_err();
        assert!(matches!(error, StateError::Locked { .. }), "{error}");
        drop(first);
        FileTokens::open(&dir).unwrap();
    }

    /// Opening has to be refused, and nothing may be changed by it.
    fn refused(bytes: &[u8]) -> StateError {
        let (_parent, dir) = state();
        drop(FileTokens::open(&dir).unwrap());
        fs::write(dir.join(FILE), bytes).unwrap();
        let error = FileTokens::open(&dir).expect_err(&String::from_utf8_lossy(bytes));
        assert_eq!(fs::read(dir.join(FILE)).unwrap(), bytes);
        assert!(error.to_string().contains(dir.join(FILE).to_str().unwrap()), "{error}");
        error
    }

    #[test]
    fn a_record_that_is_cut_off_or_changed_anywhere_is_refused() {
        let whole = text_of(1_764_074_409_000_000).into_bytes();
        assert_eq!(parse(&whole), Ok(1_764_074_409_000_000));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), Err(Wrong::Damaged), "cut off at {end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                assert!(parse(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert_eq!(parse(&[&whole[..], b"\n"].concat()), Err(Wrong::Damaged));
        assert!(matches!(refused(&whole[..40]), StateError::Damaged { .. }));
        assert!(matches!(refused(b""), StateError::Damaged { .. }));
        // Of the right form, but no token.
        assert!(matches!(refused(text_of(HIGHEST_TOKEN + 1).as_bytes()), StateError::Damaged { .. }));
        assert_eq!(parse(text_of(HIGHEST_TOKEN).as_bytes()), Ok(HIGHEST_TOKEN));
        assert_eq!(parse(text_of(0).as_bytes()), Ok(0));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for bytes in [&b"12\n"[..], b"\0", b"a whole book", &[0xff; 40], &b"x".repeat(1 << 20)] {
            assert!(matches!(refused(bytes), StateError::Foreign { .. }));
        }
        let long = [text_of(5).as_bytes(), &[b'\n'; MOST_BYTES as usize]].concat();
        assert!(matches!(refused(&long), StateError::Foreign { .. }));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let newer = b"elockd fencing tokens\nformat 2\nwhatever that has";
        assert!(matches!(refused(newer), StateError::Newer { format: 2, .. }));
        assert!(matches!(refused(b"elockd fencing tokens\nformat 0\n"), StateError::Damaged { .. }));
        assert!(matches!(refused(b"elockd fencing tokens\nformat two\n"), StateError::Damaged { .. }));
    }

    #[test]
    fn what_is_no_file_of_its_own_is_refused() {
        let (parent, dir) = state();
        drop(FileTokens::open(&dir).unwrap());
        let target = parent.path().join("target");
        fs::write(&target, text_of(5)).unwrap();
        symlink(&target, dir.join(FILE)).unwrap();
        assert!(matches!(FileTokens::open(&dir).unwrap_err(), StateError::Foreign { .. }));
        fs::remove_file(dir.join(FILE)).unwrap();
        fs::create_dir(dir.join(FILE)).unwrap();
        assert!(matches!(FileTokens::open(&dir).unwrap_err(), StateError::Foreign { .. }));
    }

    #[test]
    fn a_directory_that_cannot_be_had_is_named() {
        let (parent, dir) = state();
        let file = parent.path().join("file");
        fs::write(&file, "precious").unwrap();
        for path in [&file, &dir.join("its-parent-is-missing")] {
            let error = FileTokens::open(path).unwrap_err();
            assert!(matches!(error, StateError::Io { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn a_link_to_a_directory_will_do() {
        let (parent, dir) = state();
        let link = parent.path().join("link");
        fs::create_dir(&dir).unwrap();
        symlink(&dir, &link).unwrap();
        reserve_all(&mut FileTokens::open(&link).unwrap());
        assert!(dir.join(FILE).exists());
    }
}
