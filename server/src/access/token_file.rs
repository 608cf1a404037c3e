//! The file of tokens: a line for each token, with the account that it is of and the token's digest. It has no secret.
//! Whoever can write it can log in.
//!
//! ```text
//! # ACCOUNT  DIGEST  what else there is to say
//! web        sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  made 2026-11-30
//! ```

use super::token::{ParseDigestError, TokenDigest};
use thiserror::Error;

/// The most tokens in a file. Each is compared with every token that a client sends.
pub const MAX_TOKENS: usize = 1000;
/// The most bytes of an account's name.
pub const MAX_ACCOUNT_BYTES: usize = 64;
/// Names that no account of a file may have, because the daemon has accounts of these names by itself.
pub const RESERVED: [&str; 3] = ["admin", "default", "unauthenticated"];

/// The tokens of a file. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    /// Each token's digest and the name of its account.
    lines: Vec<(TokenDigest, String)>,
}

/// What is wrong with a file of tokens.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TokenFileError {
    /// A line is not UTF-8.
    #[error("line {line} is not UTF-8")]
    NotText {
        /// Its number, from 1 on.
        line: usize,
    },
    /// A line has no digest.
    #[error("line {line}: it has one word; it must have the account and the token's digest")]
    NoDigest {
        /// Its number, from 1 on.
        line: usize,
    },
    /// A name is none that an account can have.
    #[error("line {line}: {error}")]
    Account {
        /// Its number, from 1 on.
        line: usize,
        /// What is wrong with the name.
        error: AccountNameError,
    },
    /// The second word of a line is no digest.
    #[error("line {line}: of the second word, {error}")]
    Digest {
        /// Its number, from 1 on.
        line: usize,
        /// What is wrong with the word.
        error: ParseDigestError,
    },
    /// Two lines have the same digest.
    #[error("lines {first} and {line} are of the same token: remove one")]
    Twice {
        /// The number of the second one, from 1 on.
        line: usize,
        /// The number of the first one.
        first: usize,
    },
    /// There are too many lines.
    #[error("it has more than {MAX_TOKENS} tokens")]
    TooMany,
    /// There is no line. It would let nobody in, which is hardly meant.
    #[error("it has no token, so nobody could log in; `elockd token new` makes one")]
    Empty,
}

/// A text is no name of an account.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AccountNameError {
    /// It has other characters, none, or too many.
    #[error(
        "an account's name has 1 to {MAX_ACCOUNT_BYTES} letters (a to z, A to Z), digits, dots, hyphens and underscores"
    )]
    Characters,
    /// The daemon has an account of this name by itself.
    #[error("`{0}` is an account that the daemon has by itself: give another name")]
    Reserved(String),
}

/// Checks a name of an account, as files of tokens and rules have them.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_account_name(name: &str) -> Result<(), AccountNameError> {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if name.is_empty() || name.len() > MAX_ACCOUNT_BYTES || !name.bytes().all(is_right) {
        return Err(AccountNameError::Characters);
    }
    if RESERVED.contains(&name) {
        return Err(AccountNameError::Reserved(name.to_owned()));
    }
    Ok(())
}

impl TokenFile {
    /// Reads the content of a file. Empty lines and lines that begin with `#` are skipped. What stands behind the first
    /// two words of a line is for people.
    ///
    /// # Errors
    ///
    /// The first line that is wrong, if one is. A file with a wrong line counts for nothing.
    pub fn parse(content: &[u8]) -> Result<Self, TokenFileError> {
        let mut lines: Vec<(TokenDigest, String)> = Vec::new();
        let mut numbers = Vec::new();
        for (text, line) in content.split(|byte| *byte == b'\n').zip(1..) {
            let text = std::str::from_utf8(text).map_err(|_| TokenFileError::NotText { line })?;
            let mut words = text.split_ascii_whitespace();
            let Some(name) = words.next().filter(|word| !word.starts_with('#')) else { continue };
            check_account_name(name).map_err(|error| TokenFileError::Account { line, error })?;
            let digest = words.next().ok_or(TokenFileError::NoDigest { line })?;
            let digest: TokenDigest =
                digest.parse().map_err(|error| TokenFileError::Digest { line, error })?;
            if let Some(at) = lines.iter().position(|(known, _)| *known == digest) {
                return Err(TokenFileError::Twice { line, first: numbers[at] });
            }
            if lines.len() == MAX_TOKENS {
                return Err(TokenFileError::TooMany);
            }
            lines.push((digest, name.to_owned()));
            numbers.push(line);
        }
        if lines.is_empty() { Err(TokenFileError::Empty) } else { Ok(Self { lines }) }
    }

    /// A line of the file, with its end.
    #[must_use]
    pub fn line(account: &str, digest: &TokenDigest, note: &str) -> String {
        format!("{account} {digest} {note}\n")
    }

    /// Each token's digest and the name of its account.
    pub fn lines(&self) -> impl Iterator<Item = (TokenDigest, &str)> {
        self.lines.iter().map(|(digest, name)| (*digest, name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn digest(token: &str) -> TokenDigest {
        TokenDigest::of(token.as_bytes())
    }

    #[test]
    fn lines_comments_and_notes_are_read() {
        let (a, b) = (digest("a"), digest("b"));
        let text = format!("# of us\n\n web\t{a}   made today # by me\r\nweb {b}\n  # end");
        let file = TokenFile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.lines().collect::<Vec<_>>(), [(a, "web"), (b, "web")], "an account may have several");
        let line = TokenFile::line("cron.daily_1-x", &a, "made today");
        let file = TokenFile::parse(line.as_bytes()).unwrap();
        assert_eq!(file.lines().collect::<Vec<_>>(), [(a, "cron.daily_1-x")]);
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number() {
        let a = digest("a");
        let refusal = |text: &str| TokenFile::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refusal("\nweb"), TokenFileError::NoDigest { line: 2 });
        let error = AccountNameError::Reserved("admin".into());
        assert_eq!(refusal(&format!("web {a}\nadmin {a}")), TokenFileError::Account { line: 2, error });
        assert!(matches!(refusal(&format!("wéb {a}")), TokenFileError::Account { line: 1, .. }));
        assert!(matches!(refusal("web secret"), TokenFileError::Digest { line: 1, .. }));
        assert_eq!(refusal(&format!("#\nweb {a}\n\ncron {a}")), TokenFileError::Twice { line: 4, first: 2 });
        assert_eq!((refusal(""), refusal("# nothing\n\n")), (TokenFileError::Empty, TokenFileError::Empty));
        let not_text = TokenFile::parse(b"#\n\xff").unwrap_err();
        assert_eq!(not_text, TokenFileError::NotText { line: 2 });
    }

    /// Goal: no file makes the daemon panic, and what is read is what stands there. Method: files with bytes changed,
    /// cut out and doubled at random. What can be read is written again, and must read the same.
    #[test]
    fn any_file_is_read_or_refused() {
        let whole =
            format!("# ours\nweb {} note\ncron\t{}\r\n\nweb {}\n", digest("a"), digest("b"), digest("c"));
        let mut seed = 0x9e37_79b9_u64;
        let mut draw = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let (mut read, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = whole.clone().into_bytes();
            for _ in 0..draw(4) {
                // It may be empty by now.
                bytes.push(b'\n');
                let at = draw(bytes.len());
                match draw(4) {
                    0 => bytes[at] = draw(256) as u8,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b" \n\t#a\xff"[draw(6)]),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let lines = bytes.split(|byte| *byte == b'\n').count();
            match TokenFile::parse(&bytes) {
                Ok(file) => {
                    let again: String =
                        file.lines().map(|(digest, name)| TokenFile::line(name, &digest, "")).collect();
                    assert_eq!(TokenFile::parse(again.as_bytes()), Ok(file));
                    read += 1;
                }
                Err(
                    TokenFileError::NotText { line }
                    | TokenFileError::NoDigest { line }
                    | TokenFileError::Account { line, .. }
                    | TokenFileError::Digest { line, .. }
                    | TokenFileError::Twice { line, .. },
                ) => {
                    assert!((1..=lines).contains(&line), "line {line} of {lines}");
                    refused += 1;
                }
                Err(TokenFileError::TooMany | TokenFileError::Empty) => refused += 1,
            }
        }
        assert!(read > 2000 && refused > 2000, "{read} read, {refused} refused");
    }

    #[test]
    fn no_refusal_shows_what_may_be_a_secret() {
        // A token that somebody put where its digest belongs.
        let refusal = TokenFile::parse(b"web elockd_0123\n").unwrap_err().to_string();
        assert!(!refusal.contains("0123"), "{refusal}");
        let refusal = TokenFile::parse(b"elockd_0123\n").unwrap_err().to_string();
        assert!(!refusal.contains("0123"), "{refusal}");
    }

    #[test]
    fn names_and_tokens_are_taken_up_to_their_bounds() {
        let long = "n".repeat(MAX_ACCOUNT_BYTES);
        assert_eq!(check_account_name(&long), Ok(()));
        for wrong in [format!("{long}n"), String::new(), "a b".into(), "a/b".into(), "a\u{1b}".into()] {
            assert_eq!(check_account_name(&wrong), Err(AccountNameError::Characters), "{wrong:?}");
        }
        for name in RESERVED {
            assert_eq!(check_account_name(name), Err(AccountNameError::Reserved(name.into())));
        }
        let mut text = String::new();
        for number in 0..MAX_TOKENS {
            writeln!(text, "web {}", digest(&number.to_string())).unwrap();
        }
        assert_eq!(TokenFile::parse(text.as_bytes()).unwrap().lines().count(), MAX_TOKENS);
        writeln!(text, "web {}", digest("one more")).unwrap();
        assert_eq!(TokenFile::parse(text.as_bytes()), Err(TokenFileError::TooMany));
    }
}
