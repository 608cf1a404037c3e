//! Goal: no fencing token is ever given out twice, and no foreign file is touched. Method: a record is written step
//! by step, so that a test can fail at each step, or look at what a crash there would leave.

use super::record::{Done, MOST_BYTES, Wrong, parse, text_of};
use super::*;
use crate::tokens::HIGHEST_TOKEN;
use std::fs;
use std::future::poll_fn;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::sync::mpsc;
use std::task::Poll;
use tempfile::TempDir;

/// A clock that is so far behind that only the record counts.
const NO_CLOCK: u64 = 0;

fn state() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("state");
    (parent, dir)
}

/// Reserves as the source does. `reached` is called after each step.
fn reserve(
    dir: &Path,
    tokens: &mut FileTokens,
    reached: &mut dyn FnMut(Done) -> io::Result<()>,
) -> io::Result<RangeInclusive<u64>> {
    let (range, recorded) = tokens.plan(NO_CLOCK)?;
    record(dir, recorded, reached)?;
    tokens.ranges.taken(&range);
    Ok(range)
}

fn reserve_all(dir: &Path, tokens: &mut FileTokens) -> RangeInclusive<u64> {
    reserve(dir, tokens, &mut |_| Ok(())).unwrap()
}

/// A copy of the directory, as a crash at this moment would leave it.
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
    let range = reserve_all(&dir, &mut tokens);
    assert_eq!(range, Ranges::HEADROOM..=Ranges::HEADROOM + LENGTH - 1);
    let text = fs::read_to_string(dir.join(FILE)).unwrap();
    assert!(text.starts_with("elockd fencing tokens\nformat 1\nreserved up to 1179647\nchecksum "), "{text}");
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
        // The daemon is killed while it writes the first record, or a later one.
        for _ in 0..2 {
            let mut left = None;
            let range = reserve(&dir, &mut tokens, &mut |done| {
                if done == last {
                    left = Some(copy(&dir));
                }
                Ok(())
            });
            // Before the last step no token of this range was given out. After it, all may have been.
            let range = range.unwrap();
            let given = if last == Done::DirectorySynced { *range.end() } else { range.start() - 1 };
            let left = left.unwrap();
            let mut restarted = FileTokens::open(left.path()).unwrap();
            let next = reserve_all(left.path(), &mut restarted);
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
        let first = reserve_all(&dir, &mut tokens);
        for _ in 0..3 {
            let full = || io::Error::from(ErrorKind::StorageFull);
            let failed =
                reserve(&dir, &mut tokens, &mut |done| if done == last { Err(full()) } else { Ok(()) });
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "{last:?}: nothing is left over");
        }
        let second = reserve_all(&dir, &mut tokens);
        assert_eq!(*second.start(), first.end() + 1, "{last:?}");
        drop(tokens);
        let third = reserve_all(&dir, &mut FileTokens::open(&dir).unwrap());
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

#[tokio::test]
async fn it_stays_locked_until_a_record_in_progress_is_written() {
    let (_parent, dir) = state();
    let (begun, has_begun) = mpsc::channel();
    let (end, may_end) = mpsc::channel::<()>();
    let own = dir.clone();
    let slowly = move |highest| {
        begun.send(()).unwrap();
        let _ = may_end.recv();
        record(&own, highest, &mut |_| Ok(()))
    };
    let mut slow = FileTokens::open_with(&dir, slowly).unwrap();
    let mut reserving = slow.reserve();
    assert!(poll_fn(|cx| Poll::Ready(reserving.as_mut().poll(cx))).await.is_pending());
    has_begun.recv().unwrap();
    drop(reserving);
    drop(slow);
    let error = FileTokens::open(&dir).unwrap_err();
    assert!(matches!(error, StateError::Locked { .. }), "the record would replace a newer one: {error}");
    drop(end);
    // Waits for the thread.
    File::open(dir.join(LOCK)).unwrap().lock().unwrap();
    let tokens = FileTokens::open(&dir).unwrap();
    assert!(*tokens.plan(NO_CLOCK).unwrap().0.start() > Ranges::HEADROOM + LENGTH, "it is written");
}

#[tokio::test]
async fn a_failed_record_and_a_thread_that_has_ended_are_failed_reservations() {
    let (_parent, dir) = state();
    let mut tokens = FileTokens::open_with(&dir, |_| Err(ErrorKind::StorageFull.into())).unwrap();
    assert_eq!(tokens.reserve().await.unwrap_err().kind(), ErrorKind::StorageFull);
    drop(tokens);
    let mut tokens = FileTokens::open_with(&dir, |_| panic!("a bug")).unwrap();
    for _ in 0..2 {
        assert!(tokens.reserve().await.unwrap_err().to_string().contains("has ended"));
    }
}

/// Checks that opening is refused and changes nothing.
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
    // The form is right, but the number is not a token.
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
    reserve_all(&link, &mut FileTokens::open(&link).unwrap());
    assert!(dir.join(FILE).exists());
}
