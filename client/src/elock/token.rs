//! The token that elock logs in with: from a file, the environment, or the configuration file. Never from the command
//! line, which everybody on the machine can read.

use crate::status::Failure;
use clap::Args;
use elockd_client::AccessToken;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The variable with the token itself.
const VARIABLE: &str = "ELOCK_TOKEN";
/// The most bytes that are read of a file with a token.
const MOST_BYTES: u64 = 4096;
/// Permissions of others. A file with a secret has none of them.
const OTHERS: u32 = 0o007;

/// The flag.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TokenArgs {
    /// File with the token by which the daemon knows the account. ELOCK_TOKEN may have the token itself, and so may
    /// `token` in the configuration file.
    #[arg(long, value_name = "FILE", env = "ELOCK_TOKEN_FILE", global = true)]
    token_file: Option<PathBuf>,
}

/// What the configuration file says of it.
pub(crate) struct TokenInFile<'a> {
    /// The configuration file.
    pub(crate) path: Option<&'a Path>,
    pub(crate) token: Option<&'a str>,
    pub(crate) token_file: Option<&'a Path>,
}

impl TokenArgs {
    /// The token, from the first place that has one. `var` looks a variable up.
    pub(crate) fn or_in(
        self,
        var: impl Fn(&str) -> Option<String>,
        file: &TokenInFile<'_>,
    ) -> Result<Option<AccessToken>, Failure> {
        let made = |text: &str, place: &str| {
            AccessToken::new(text).map(Some).map_err(|error| Failure::usage(format_args!("{place}: {error}")))
        };
        if let Some(path) = &self.token_file {
            return read(path).map(Some);
        }
        if let Some(text) = var(VARIABLE).filter(|text| !text.is_empty()) {
            return made(&text, VARIABLE);
        }
        match file {
            TokenInFile { token: Some(_), token_file: Some(_), .. } => {
                Err(Failure::usage("in the configuration file: give either token or token-file"))
            }
            TokenInFile { token: Some(text), path, .. } => {
                if let Some(path) = path {
                    check(path, &File::open(path).map_err(|error| cannot_read(path, &error))?)?;
                }
                made(text, "token in the configuration file")
            }
            TokenInFile { token_file: Some(path), .. } => read(path).map(Some),
            _ => Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<AccessToken, Failure> {
    let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    check(path, &file)?;
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| cannot_read(path, &error))?;
    AccessToken::new(&text).map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format_args!("cannot read the token in {}: {error}", path.display()))
}

/// A secret that others can read is none. A pipe has no others.
fn check(path: &Path, file: &File) -> Result<(), Failure> {
    let metadata = file.metadata().map_err(|error| cannot_read(path, &error))?;
    if metadata.is_file() && metadata.mode() & OTHERS != 0 {
        return Err(Failure::usage(format_args!(
            "{} has a token in it, and others can read or write it: chmod 600 {0}",
            path.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    const NOTHING: TokenInFile<'_> = TokenInFile { path: None, token: None, token_file: None };

    #[test]
    fn a_flag_wins_over_the_variable_and_the_variable_over_the_file() {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        let (a, c) = (place.file("a", "a\n", 0o600), place.file("c", "c", 0o640));
        let token = |text| Some(AccessToken::new(text).unwrap());
        let var = |key: &str| (key == "ELOCK_TOKEN").then(|| "b".to_owned());
        let none = |_: &str| Some(String::new());
        let in_file = TokenInFile { token_file: Some(&c), ..NOTHING };
        let flag = TokenArgs { token_file: Some(a) };
        assert_eq!(flag.or_in(var, &in_file).unwrap(), token("a"));
        let without = TokenArgs::default;
        assert_eq!(without().or_in(var, &in_file).unwrap(), token("b"));
        assert_eq!(without().or_in(none, &in_file).unwrap(), token("c"));
        let path = place.file("elock.toml", "token = 'd'", 0o600);
        let in_file = TokenInFile { path: Some(&path), token: Some("d"), token_file: None };
        assert_eq!(without().or_in(none, &in_file).unwrap(), token("d"));
        assert_eq!(without().or_in(none, &NOTHING).unwrap(), None);
    }

    #[test]
    fn what_others_can_read_or_is_no_token_is_refused_without_showing_it() {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        let none = |_: &str| None;
        let refusal = |path: PathBuf| {
            let flag = TokenArgs { token_file: Some(path) };
            flag.or_in(none, &NOTHING).unwrap_err()
        };
        for mode in [0o604, 0o602, 0o601] {
            let failure = refusal(place.file("a", "secret", mode));
            assert!(failure.status == 64 && failure.message.contains("chmod 600"), "{failure:?}");
        }
        for text in ["", "se cret", "\n"] {
            let failure = refusal(place.file("b", text, 0o600));
            assert!(failure.message.contains("one word"), "{failure:?}");
            assert!(!failure.message.contains("cret"), "{failure:?}");
        }
        assert!(refusal(place.folder.path().join("none")).message.contains("cannot read"));
        let path = place.file("elock.toml", "token = 'secret'", 0o644);
        let in_file = TokenInFile { path: Some(&path), token: Some("secret"), token_file: None };
        let failure = TokenArgs::default().or_in(none, &in_file).unwrap_err();
        assert!(failure.message.contains("chmod 600") && !failure.message.contains("secret"), "{failure:?}");
        let both = TokenInFile { path: None, token: Some("a"), token_file: Some(Path::new("/b")) };
        assert!(TokenArgs::default().or_in(none, &both).unwrap_err().message.contains("either"));
    }
}
