//! Which host keys are known, for the way in this process. The format is that of OpenSSH's `known_hosts`: names,
//! patterns, hashed names, and the mark `@revoked`. Certificates of hosts are not understood: their lines say nothing
//! here.

use ring::hmac;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts as Lines, Marker};
use russh::keys::{Algorithm, PublicKey};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file of the system.
const OF_SYSTEM: &str = "/etc/ssh/ssh_known_hosts";

/// What is known of one host's keys.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    good: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

/// What is known of one key of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is one of its keys.
    Known,
    /// Nothing is known of the host.
    New,
    /// The host has other keys.
    Changed,
    /// Somebody has said that it is not to be trusted any more.
    Revoked,
}

impl KnownKeys {
    /// Reads the files. One that is not there says nothing.
    pub(crate) fn read(files: &[PathBuf], host: &str, port: u16) -> io::Result<Self> {
        let mut keys = Self::default();
        for file in files {
            match fs::read(file) {
                Ok(bytes) => keys.take(&String::from_utf8_lossy(&bytes), &name_of(host, port)),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => {
                    let text = format!("cannot read {}: {error}", file.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        Ok(keys)
    }

    fn take(&mut self, text: &str, name: &str) {
        for line in text.lines() {
            // A line that makes no sense is passed over, as OpenSSH does.
            let Some(Ok(entry)) = Lines::new(line.trim_start()).next() else { continue };
            if !is_meant(&entry, name) {
                continue;
            }
            match entry.marker() {
                None => self.good.push(entry.public_key().clone()),
                Some(Marker::Revoked) => self.revoked.push(entry.public_key().clone()),
                Some(Marker::CertAuthority) => {}
            }
        }
    }

    pub(crate) fn verdict(&self, key: &PublicKey) -> Verdict {
        let has = |keys: &[PublicKey]| keys.iter().any(|known| known.key_data() == key.key_data());
        if has(&self.revoked) {
            Verdict::Revoked
        } else if has(&self.good) {
            Verdict::Known
        } else if self.good.is_empty() {
            Verdict::New
        } else {
            // Also if the others are of another kind. Who cannot show the known key could offer such a one.
            Verdict::Changed
        }
    }

    /// Whether a host has keys of this kind.
    pub(crate) fn has(&self, algorithm: &Algorithm) -> bool {
        self.good.iter().any(|known| known.algorithm() == *algorithm)
    }
}

/// The file of the user, if there is a user with a home.
pub(crate) fn of_user() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".ssh/known_hosts"))
}

/// The files that OpenSSH reads.
pub(crate) fn default_files() -> Vec<PathBuf> {
    of_user().into_iter().chain([OF_SYSTEM.into()]).collect()
}

/// Adds a key of a host, in one write.
pub(crate) fn learn(file: &Path, host: &str, port: u16, key: &PublicKey) -> io::Result<()> {
    let key = PublicKey::new(key.key_data().clone(), "");
    let key = key.to_openssh().map_err(io::Error::other)?;
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last)?;
    }
    // The last line may have no end.
    let begin = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{begin}{} {}\n", name_of(host, port), key.trim_end()).as_bytes())
}

/// How a host is called in the file.
fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

fn is_meant(entry: &Entry, name: &str) -> bool {
    match entry.host_patterns() {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, name.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let fits = |pattern: &str| fits(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes());
            let is_excluded = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(fits);
            !is_excluded && patterns.iter().any(|pattern| fits(pattern))
        }
    }
}

/// Whether a name fits a pattern, where `*` stands for anything and `?` for one character.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // The last star, and how much of the name it stands for.
    let (mut at, mut in_name, mut star) = (0, 0, None);
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(b'?') => (at, in_name) = (at + 1, in_name + 1),
            Some(byte) if *byte == name[in_name] => (at, in_name) = (at + 1, in_name + 1),
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, in_name) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";
    /// A key of a kind that this process cannot check.
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCzbWYW591AGJQZc9DpJX3S9gmsD4HifFdmWMFnuolW46SK9fwzWZAMhUiHnDSxq7LvUnU2ZqdlqrhM+uP3ijFRRFGmfwWpeua5q33lb1FT9lAtSAMR/aRqjoDd/SNc4AYTr2I+llkd+EjvyfLKY5r2WtY+rCbRD+k4Z3LJStAGLQ==";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    fn verdict(file: &str, host: &str, port: u16) -> Verdict {
        let mut keys = KnownKeys::default();
        keys.take(file, &name_of(host, port));
        keys.verdict(&key(ONE))
    }

    #[test]
    fn a_line_counts_for_the_hosts_that_it_names() {
        for (names, host, port, is_known) in [
            ("gw", "gw", 22, true),
            ("gw", "GW", 22, true),
            ("gw", "gw", 2222, false),
            ("[gw]:2222", "gw", 2222, true),
            ("other,gw", "gw", 22, true),
            ("*.example", "gw.example", 22, true),
            ("*.example,!gw.example", "gw.example", 22, false),
            ("g?", "gw", 22, true),
            ("g?", "gww", 22, false),
            ("10.0.0.*", "10.0.0.7", 22, true),
        ] {
            let expected = if is_known { Verdict::Known } else { Verdict::New };
            assert_eq!(
                verdict(&format!("# comment\n\n{names} {ONE} me@home\n"), host, port),
                expected,
                "{names}"
            );
        }
    }

    #[test]
    fn hashed_names_are_recognized() {
        // Made with Python's hmac, of `[gw]:2222` and a salt of twenty sevens.
        let line = format!("|1|BwcHBwcHBwcHBwcHBwcHBwcHBwc=|XoPlFqRBr2y7A4Rkd+tvewM9Ydg= {ONE}\n");
        assert_eq!(verdict(&line, "gw", 2222), Verdict::Known);
        assert_eq!(verdict(&line, "gw", 22), Verdict::New);
    }

    #[test]
    fn another_key_is_a_change_whatever_its_kind() {
        assert_eq!(verdict(&format!("gw {TWO}\n"), "gw", 22), Verdict::Changed);
        assert_eq!(verdict(&format!("gw {RSA}\n"), "gw", 22), Verdict::Changed);
        assert_eq!(verdict(&format!("gw {TWO}\ngw {ONE}\n"), "gw", 22), Verdict::Known);
        assert_eq!(verdict(&format!("gw {ONE}\n@revoked * {ONE}\n"), "gw", 22), Verdict::Revoked);
        assert_eq!(verdict(&format!("@cert-authority * {TWO}\n"), "gw", 22), Verdict::New);
        assert_eq!(verdict(&format!("gw nonsense\ngw\n gw {ONE}\n"), "gw", 22), Verdict::Known);
    }

    #[test]
    fn what_is_learned_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/known_hosts");
        let verdict =
            |host, port| KnownKeys::read(std::slice::from_ref(&file), host, port).unwrap().verdict(&key(ONE));
        assert_eq!(verdict("gw", 2222), Verdict::New);
        learn(&file, "GW", 2222, &key(ONE)).unwrap();
        assert_eq!((verdict("gw", 2222), verdict("gw", 22)), (Verdict::Known, Verdict::New));
        // A file that somebody has edited without an end of its last line.
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.trim_end()).unwrap();
        learn(&file, "gw", 22, &key(ONE)).unwrap();
        assert_eq!((verdict("gw", 2222), verdict("gw", 22)), (Verdict::Known, Verdict::Known));
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
        assert!(KnownKeys::read(&[folder.path().to_owned()], "gw", 22).is_err(), "a folder is no file");
    }
}
