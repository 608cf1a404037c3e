//! Reads and extends the file of tokens. Who can write to it can log in as anybody. So a file that others can write
//! to is refused, as sshd refuses such keys. Its digests are no secrets, but they are nobody's business either: a
//! file that everybody can read is refused too.

use elockd_server::access::{TokenFile, TokenFileError};
use rustix::fs::OFlags;
use rustix::process::geteuid;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use thiserror::Error;

/// The most bytes that are read of a file: a thousand lines with long notes.
const MOST_BYTES: u64 = 1 << 20;
/// Permissions that nobody needs: that the group writes, and all of others.
const TOO_MUCH: u32 = 0o027;

/// Why a file of tokens cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ReadTokensError {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("it is not a regular file")]
    NotRegular,
    #[error(
        "its mode {mode:03o} lets others read or write it, or its group write it; set it with `chmod 640`"
    )]
    Mode { mode: u32 },
    #[error("it belongs to user {owner}; it must belong to root or to user {own}, as whom the daemon runs")]
    Owner { owner: u32, own: u32 },
    #[error("it has more than {MOST_BYTES} bytes; is it the right file?")]
    TooLarge,
    #[error("{0}")]
    Content(#[from] TokenFileError),
}

/// Reads a file. A pipe is none: what it had would be gone at the next reload.
///
/// # Errors
///
/// If it cannot be read, others could have written it, or a line is wrong.
pub(crate) fn read_tokens(path: &Path) -> Result<TokenFile, ReadTokensError> {
    let mut options = OpenOptions::new();
    // It does not wait for somebody to write.
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(ReadTokensError::NotRegular);
    }
    check_owner(&file)?;
    let mut content = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST_BYTES {
        return Err(ReadTokensError::TooLarge);
    }
    Ok(TokenFile::parse(&content)?)
}

/// Adds a line. Makes the file if it does not exist, with mode 600.
///
/// # Errors
///
/// If it cannot be written, others could have written it, or it is not a file of tokens.
pub(crate) fn append(path: &Path, line: &str) -> Result<(), ReadTokensError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(ReadTokensError::NotRegular);
    }
    check_owner(&file)?;
    let mut content = Vec::new();
    (&file).take(MOST_BYTES + 1).read_to_end(&mut content)?;
    let is_cut = content.last().is_some_and(|byte| *byte != b'\n');
    let line = format!("{}{line}", if is_cut { "\n" } else { "" });
    content.extend_from_slice(line.as_bytes());
    if content.len() as u64 > MOST_BYTES {
        return Err(ReadTokensError::TooLarge);
    }
    // A file that is wrong, or would be, stays as it is.
    TokenFile::parse(&content)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

fn check_owner(file: &File) -> Result<(), ReadTokensError> {
    let metadata = file.metadata()?;
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    if owner != 0 && owner != own {
        return Err(ReadTokensError::Owner { owner, own });
    }
    let mode = metadata.mode() & 0o777;
    if mode & TOO_MUCH != 0 { Err(ReadTokensError::Mode { mode }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elockd_server::access::TokenDigest;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn line(account: &str, token: &str) -> String {
        TokenFile::line(account, &TokenDigest::of(token.as_bytes()), "made today")
    }

    #[test]
    fn only_a_file_that_others_cannot_write_and_read_counts() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("tokens");
        fs::write(&path, line("web", "a")).unwrap();
        for (mode, is_right) in [
            (0o600, true),
            (0o640, true),
            (0o400, true),
            (0o660, false),
            (0o644, false),
            (0o602, false),
            (0o601, false),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = read_tokens(&path);
            assert_eq!(read.is_ok(), is_right, "{mode:o}: {read:?}");
            let refused = matches!(read, Err(ReadTokensError::Mode { mode: of }) if of == mode);
            assert!(is_right || refused, "{mode:o}");
        }
        let refusal = append(&path, &line("web", "b")).unwrap_err().to_string();
        assert!(refusal.contains("chmod 640"), "{refusal}");
    }

    #[test]
    fn a_line_is_added_and_nothing_is_lost() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("tokens");
        append(&path, &line("web", "a")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // Somebody has edited it, and has left no line end.
        fs::write(&path, format!("# ours\n{}", line("web", "a").trim_end())).unwrap();
        append(&path, &line("cron", "b")).unwrap();
        append(&path, &line("web", "c")).unwrap();
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content, format!("# ours\n{}{}{}", line("web", "a"), line("cron", "b"), line("web", "c")));
        assert_eq!(read_tokens(&path).unwrap().lines().count(), 3);
        fs::write(&path, "something else\n").unwrap();
        assert!(matches!(append(&path, &line("web", "d")), Err(ReadTokensError::Content(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "something else\n");
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("tokens");
        assert!(matches!(read_tokens(&path), Err(ReadTokensError::Read(_))));
        assert!(matches!(read_tokens(dir.path()), Err(ReadTokensError::NotRegular)));
        assert!(matches!(read_tokens(Path::new("/dev/zero")), Err(ReadTokensError::NotRegular)));
        let most = usize::try_from(MOST_BYTES).unwrap();
        let one = line("web", "a");
        for (bytes, is_right) in [(most, true), (most + 1, false)] {
            let comment = "#".repeat(bytes - one.len());
            fs::write(&path, format!("{one}{comment}")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(read_tokens(&path).is_ok(), is_right, "{bytes} bytes");
        }
    }
}
