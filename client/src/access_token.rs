//! The secret by which a client says which account it is.

use crate::error::Error;
use std::fmt;
use std::sync::Arc;

/// The most bytes of a token that a daemon knows.
const MOST_BYTES: usize = 256;

/// A token, as `elockd token new` prints it. It does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Arc<str>);

impl AccessToken {
    /// A token. White space at its ends is dropped, so that it may be the content of a file.
    ///
    /// # Errors
    ///
    /// [`Error::BadSetting`] if it is empty or too long, or if there is white space or a control character in it.
    pub fn new(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let is_right = |char: char| !char.is_whitespace() && !char.is_control();
        if text.is_empty() || text.len() > MOST_BYTES || !text.chars().all(is_right) {
            return Err(Error::BadSetting("a token is one word of at most 256 bytes"));
        }
        Ok(Self(text.into()))
    }

    /// What goes over the wire.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_does_not_show_itself() {
        let longest = "x".repeat(MOST_BYTES);
        for right in ["x", " elockd_0a\r\n", &longest] {
            assert_eq!(AccessToken::new(right).unwrap().bytes(), right.trim().as_bytes());
        }
        for wrong in ["", " \n", "a b", "a\nra", "a\u{0}", &format!("{longest}x")] {
            assert!(matches!(AccessToken::new(wrong), Err(Error::BadSetting(_))), "{wrong:?}");
        }
        let shown = format!("{:?}", AccessToken::new("secret").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
