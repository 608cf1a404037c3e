//! The record: the file with the highest reserved token. A crash at any moment of a write leaves the old record or
//! the new one, whole. A record is accepted only if every byte is as it was written.

use super::StateError;
use crate::tokens::HIGHEST_TOKEN;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The name of the record in the state directory.
pub(super) const FILE: &str = "tokens";
/// How the names of unfinished records begin, which have not replaced the old record yet.
const UNFINISHED: &str = ".tokens-";
/// The most bytes of a record. This format has fewer; later formats may have more.
pub(super) const MOST_BYTES: u64 = 4096;
/// The first line.
const MAGIC: &str = "elockd fencing tokens";
/// The format that is written. No other is read.
const FORMAT: u64 = 1;

/// The steps of a record, in this order. Only after the last step may the range be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    Created,
    Written,
    Synced,
    Renamed,
    DirectorySynced,
}

/// Opens elockd's own files: a link is not followed, and opening never waits.
pub(super) fn own() -> OpenOptions {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(flags);
    options
}

/// Replaces the old record by a new one. At every moment one of the two is there, whole. `reached` is called after
/// each step, and can make it fail there.
pub(super) fn record(
    dir: &Path,
    highest: u64,
    reached: &mut dyn FnMut(Done) -> io::Result<()>,
) -> io::Result<()> {
    reached(Done::Nothing)?;
    let mut builder = tempfile::Builder::new();
    // The file is removed when dropped, unless it has replaced the record. Only its owner can read it.
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

/// The text of a record.
pub(super) fn text_of(highest: u64) -> String {
    let text = format!("{MAGIC}\nformat {FORMAT}\nreserved up to {highest}\n");
    let checksum = crc32fast::hash(text.as_bytes());
    format!("{text}checksum {checksum:08x}\n")
}

/// Reads the record, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<u64>, StateError> {
    let failed = |source| StateError::Io { path: path.to_owned(), source };
    let foreign = || StateError::Foreign { path: path.to_owned() };
    // Opening some kinds of files has effects of its own.
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

/// Why a record is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Foreign,
    Newer(u64),
    Damaged,
}

/// The number in a record. Every byte must be as it was written.
pub(super) fn parse(bytes: &[u8]) -> Result<u64, Wrong> {
    let head = format!("{MAGIC}\nformat ");
    let Some(rest) = bytes.strip_prefix(head.as_bytes()) else {
        // The start of a record, or an empty file, is most likely the rest of a record.
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

/// Removes unfinished records of a daemon that was killed meanwhile.
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
