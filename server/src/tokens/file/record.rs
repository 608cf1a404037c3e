//! The record: the file that says up to which token all are reserved, written so that a crash at any moment leaves the
//! old one or the new one, whole, and read so that every byte has to be as it was written.

use super::StateError;
use crate::tokens::HIGHEST_TOKEN;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file, in the state directory.
pub(super) const FILE: &str = "tokens";
/// What the names of files begin with that are not yet in the place of `FILE`.
const UNFINISHED: &str = ".tokens-";
/// Bytes of the file at the most: more than this format has, for those that may come.
pub(super) const MOST_BYTES: u64 = 4096;
/// The first line.
const MAGIC: &str = "elockd fencing tokens";
/// The format that is written, and the only one that is read.
const FORMAT: u64 = 1;

/// What has been done of a record, in this order. Only after all of it the range may be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    Created,
    Written,
    Synced,
    Renamed,
    DirectorySynced,
}

/// How files are opened that are our own: a link is not followed, and nothing is waited for.
pub(super) fn own() -> OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(flags);
    options
}

/// Puts a new record in the place of the old one, so that at every moment there is one of the two, whole. `reached` is
/// told how far it has come, and can make it fail there.
pub(super) fn record(
    dir: &Path,
    highest: u64,
    reached: &mut dyn FnMut(Done) -> io::Result<()>,
) -> io::Result<()> {
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
pub(super) fn text_of(highest: u64) -> String {
    let text = format!("{MAGIC}\nformat {FORMAT}\nreserved up to {highest}\n");
    let checksum = crc32fast::hash(text.as_bytes());
    format!("{text}checksum {checksum:08x}\n")
}

/// Reads a record; there may be none.
pub(super) fn read(path: &Path) -> Result<Option<u64>, StateError> {
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
pub(super) enum Wrong {
    Foreign,
    Newer(u64),
    Damaged,
}

/// The number in a record. Every byte has to be as it was written.
pub(super) fn parse(bytes: &[u8]) -> Result<u64, Wrong> {
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
pub(super) fn remove_unfinished(dir: &Path) -> io::Result<()> {
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
