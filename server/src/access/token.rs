//! Access tokens: secrets by which a client says whose it is. The daemon keeps only their digests, so that whoever
//! reads its file or its memory cannot log in with what was found.
//!
//! A token is 256 random bits. Nobody can guess it, so one plain SHA-256 is enough: slow hashes are for what people
//! choose. It also bounds what a wrong token costs.

use sha2::{Digest, Sha256};
use std::fmt;
use std::fmt::Write;
use std::str::FromStr;
use subtle::ConstantTimeEq;

/// The most bytes of a token. What is longer is no token, and is not hashed.
pub const MAX_TOKEN_BYTES: usize = 256;

/// How tokens begin that [`AccessToken::from_random`] makes. Scanners for leaked secrets look for such words.
const PREFIX: &str = "elockd_";
/// How a digest is written: this, and its bytes in hexadecimal.
const ALGORITHM: &str = "sha256:";

/// A secret, readable only by who asks for its text.
pub struct AccessToken(String);

impl AccessToken {
    /// A token of these bytes, which must come from the system's source of random numbers.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(PREFIX.to_owned() + &hexadecimal(&bytes))
    }

    /// What the client sends after `auth`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What the daemon keeps of it.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// What is kept of a token. It displays as in the file of tokens: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Enough of it to tell tokens apart in a log.
    #[must_use]
    pub fn short(&self) -> String {
        hexadecimal(&self.0[..4])
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", hexadecimal(&self.0))
    }
}

/// A text is no digest of a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not `sha256:` and 64 hexadecimal digits; `elockd token new` makes such a line")]
pub struct ParseDigestError;

impl FromStr for TokenDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let digits = text.strip_prefix(ALGORITHM).ok_or(ParseDigestError)?.as_bytes();
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(ParseDigestError);
        }
        let mut digest = [0; 32];
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Result<u8, ParseDigestError> {
    let value = char::from(digit).to_digit(16).ok_or(ParseDigestError)?;
    Ok(value as u8)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to memory does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of `abc`, from FIPS 180-2.
    const OF_ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_digest_is_the_one_of_the_standard_and_reads_as_it_is_written() {
        let digest = TokenDigest::of(b"abc");
        assert_eq!(digest.to_string(), OF_ABC);
        assert_eq!(OF_ABC.parse(), Ok(digest));
        assert_eq!(OF_ABC.to_uppercase().replace("SHA", "sha").parse(), Ok(digest), "digits of either case");
        assert_eq!(digest.short(), "ba7816bf");
        assert!(digest.is(&TokenDigest::of(b"abc")) && !digest.is(&TokenDigest::of(b"abd")));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let cut = &OF_ABC[..OF_ABC.len() - 1];
        let longer = format!("{OF_ABC}0");
        let other = OF_ABC.replace("sha256", "sha1");
        for wrong in
            ["", "sha256:", cut, &longer, &other, &OF_ABC[7..], &OF_ABC.replace('b', "g"), &format!("{cut}é")]
        {
            assert_eq!(wrong.parse::<TokenDigest>(), Err(ParseDigestError), "{wrong}");
        }
    }

    #[test]
    fn a_token_has_all_bits_and_does_not_show_itself() {
        let token = AccessToken::from_random(std::array::from_fn(|at| at as u8));
        assert_eq!(token.text(), "elockd_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        assert!(token.digest().is(&TokenDigest::of(token.text().as_bytes())));
        assert_eq!(format!("{token:?}"), "AccessToken(..)");
        assert!(token.text().len() <= MAX_TOKEN_BYTES);
    }
}
